using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>What an operator did not foresee in a model (an element type, an extent, a count) becomes an error that names the node.</summary>
internal static class OperatorFailure
{
    /// <summary>Whether an exception speaks of values that do not fit, rather than of Octet's own errors, cancellation or the machine.</summary>
    public static bool Covers(Exception failure) =>
        failure is ArithmeticException or InvalidOperationException or ArgumentException or IndexOutOfRangeException or InvalidCastException or NullReferenceException or NotSupportedException or KeyNotFoundException;

    /// <summary>The error to throw instead.</summary>
    /// <param name="node">The node that was planned or run.</param>
    /// <param name="failure">What it threw; kept as the cause.</param>
    public static ModelException Of(Node node, Exception failure) => new(
        $"{node}: it cannot run on its inputs ({failure.Message}).\n  inputs  {string.Join(", ", node.Inputs.Select(input => input?.ToString() ?? "left out"))}\n" +
        $"  outputs {string.Join(", ", node.Outputs.Select(output => output?.ToString() ?? "left out"))}\n  rule: types, extents and attributes are those of the operator", failure);
}
