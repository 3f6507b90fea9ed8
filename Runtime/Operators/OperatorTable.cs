using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>Every operator that Octet runs, one row each. Inference, folding, plans, documentation and conformance tests follow from it.</summary>
internal static partial class OperatorTable
{
    /// <summary>The parts of the table; all rows of one name are in one part.</summary>
    internal static readonly Func<Operator[]>[] Parts =
    [
        Quantized,
        Convolutions,
        Products,
        Pools,
        Pointwise,
        Shapes,
        Lowered,
        Fused,
        Movement,
        Reductions,
        Normalizations,
        Vision,
        Recurrent,
        ControlFlow,
        Attention,
        Signal,
        Text,
        Losses,
        Contributed,
    ];

    private static readonly Lock Gate = new();

    private static int _added;   // parts that are in ByName

    /// <summary>Domain → type → rows, the newest first. Grows by parts, since making every row costs more than compiling a small model; replaced as a whole.</summary>
    private static Dictionary<string, Dictionary<string, Operator[]>> _byName = new(StringComparer.Ordinal);

    /// <summary>All rows.</summary>
    public static IReadOnlyList<Operator> All => [.. Parts.SelectMany(part => part())];

    /// <summary>The operator that gives <paramref name="node"/> its meaning, or null where Octet has none.</summary>
    public static Operator? Find(Node node) => Find(node.Domain, node.OperatorType, node.Opset);

    /// <summary>The operator of that name in that version of its domain, or null.</summary>
    public static Operator? Find(string domain, string type, int opset)
    {
        if (Rows(domain, type) is not { } rows) return null;
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
        string rule = Rows(node.Domain, node.OperatorType) is { } rows
            ? $"Octet has it since version {string.Join(", ", rows.Select(row => row.Id.Since))}"
            : "the operator is in the table of docs/operators.md";
        throw new UnsupportedModelException(
            $"{node}: Octet has no operator '{node.QualifiedType}' of version {node.Opset}.\n" +
            $"  inputs  {string.Join(", ", node.Inputs.Select(input => input?.ToString() ?? "left out"))}\n  rule: {rule}");
    }

    private static Operator[]? Rows(string domain, string type)
    {
        while (true)
        {
            Dictionary<string, Dictionary<string, Operator[]>> known = Volatile.Read(ref _byName);
            if (known.TryGetValue(domain, out Dictionary<string, Operator[]>? types) && types.TryGetValue(type, out Operator[]? rows)) return rows;
            lock (Gate)
            {
                if (!ReferenceEquals(known, _byName)) continue;
                if (_added == Parts.Length) return null;
                Volatile.Write(ref _byName, With(known, Parts[_added]()));
                _added++;
            }
        }
    }

    private static Dictionary<string, Dictionary<string, Operator[]>> With(Dictionary<string, Dictionary<string, Operator[]>> known, Operator[] part)
    {
        var all = new Dictionary<string, Dictionary<string, Operator[]>>(StringComparer.Ordinal);
        foreach ((string domain, Dictionary<string, Operator[]> types) in known) all.Add(domain, new Dictionary<string, Operator[]>(types, StringComparer.Ordinal));
        foreach (Operator row in part)
        {
            OperatorId id = row.Id;
            if (!all.TryGetValue(id.Domain, out Dictionary<string, Operator[]>? types)) all.Add(id.Domain, types = new Dictionary<string, Operator[]>(StringComparer.Ordinal));
            Operator[] rows = types.GetValueOrDefault(id.Type, []);
            int at = 0;
            while (at < rows.Length && rows[at].Id.Since > id.Since) at++;
            types[id.Type] = [.. rows[..at], row, .. rows[at..]];
        }
        return all;
    }
}
