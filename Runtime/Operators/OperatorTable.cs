using System.Collections.Frozen;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>Every operator that Octet runs, one row each. Inference, folding, plans, documentation and conformance tests follow from it.</summary>
internal static partial class OperatorTable
{
    /// <summary>All rows.</summary>
    public static IReadOnlyList<Operator> All { get; } =
    [
        .. Convolutions(),
        .. Products(),
        .. Pools(),
        .. Pointwise(),
        .. Reductions(),
        .. Normalizations(),
        .. Movement(),
        .. Shapes(),
        .. Vision(),
        .. Recurrent(),
        .. ControlFlow(),
        .. Attention(),
        .. Signal(),
        .. Text(),
        .. Losses(),
        .. Quantized(),
        .. Contributed(),
        .. Lowered(),
        .. Fused(),
    ];

    private static readonly FrozenDictionary<(string Domain, string Type), Operator[]> ByName =
        All.GroupBy(op => (op.Id.Domain, op.Id.Type)).ToFrozenDictionary(rows => rows.Key, rows => rows.OrderByDescending(op => op.Id.Since).ToArray());

    /// <summary>The operator that gives <paramref name="node"/> its meaning, or null where Octet has none.</summary>
    public static Operator? Find(Node node) => Find(node.Domain, node.OperatorType, node.Opset);

    /// <summary>The operator of that name in that version of its domain, or null.</summary>
    public static Operator? Find(string domain, string type, int opset)
    {
        if (!ByName.TryGetValue((domain, type), out Operator[]? rows)) return null;
        foreach (Operator row in rows)
        {
            if (row.Id.Since <= opset) return row;
        }
        return null;
    }

    /// <summary>The operator that gives <paramref name="node"/> its meaning.</summary>
    /// <exception cref="UnsupportedModelException">Octet has none; the message says which versions it has, or which names are close.</exception>
    public static Operator Require(Node node)
    {
        if (Find(node) is { } op) return op;
        string rule = ByName.TryGetValue((node.Domain, node.OperatorType), out Operator[]? rows)
            ? $"Octet has it since version {string.Join(", ", rows.Select(row => row.Id.Since))}"
            : "the operator is in the table of docs/operators.md";
        throw new UnsupportedModelException(
            $"{node}: Octet has no operator '{node.QualifiedType}' of version {node.Opset}.\n" +
            $"  inputs  {string.Join(", ", node.Inputs.Select(input => input?.ToString() ?? "left out"))}\n  rule: {rule}");
    }
}
