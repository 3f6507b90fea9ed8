using System.Diagnostics;

namespace Octet.Runtime.Execution;

/// <summary>Time and kernel of one operator of a profiled session.</summary>
/// <param name="Node">Name of the node; of the first original node where several were merged.</param>
/// <param name="Origins">All original nodes that it stands for.</param>
/// <param name="OperatorType">Operator type in the plan.</param>
/// <param name="OutputType">Type of its first output in memory.</param>
/// <param name="Kernel">Kernel or method.</param>
/// <param name="Reason">Why that kernel; may be empty.</param>
/// <param name="MeanMilliseconds">Mean time of one run.</param>
/// <param name="MultiplyAccumulates">Multiply-accumulates of one run; 0 where that means nothing.</param>
public sealed record OpProfile(string Node, IReadOnlyList<string> Origins, string OperatorType, string OutputType, string Kernel, string Reason,
    double MeanMilliseconds, long MultiplyAccumulates);

/// <summary>Where the time of a session's runs went.</summary>
/// <param name="Runs">Runs measured.</param>
/// <param name="Operators">One entry per operator, in order.</param>
public sealed record SessionProfile(int Runs, IReadOnlyList<OpProfile> Operators)
{
    /// <summary>Mean time of one run, all operators together.</summary>
    public double MeanMilliseconds => Operators.Sum(op => op.MeanMilliseconds);

    internal static SessionProfile From(Plan plan, long[] ticks, int runs) => new(runs,
    [
        .. plan.Steps.Select((step, s) => new OpProfile(
            step.Node.Origins.Count > 0 ? step.Node.Origins[0] : step.Node.Name, step.Node.Origins, step.Node.QualifiedType,
            step.Node.Outputs.FirstOrDefault(output => output is not null)?.Type.ToString() ?? "",
            step.Step?.Kernel ?? "dynamic", step.Step?.Reason ?? "shapes follow from data",
            ticks[s] * 1000.0 / Stopwatch.Frequency / runs, step.Step?.MultiplyAccumulates ?? 0)),
    ]);
}
