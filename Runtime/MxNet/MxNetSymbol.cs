using System.Globalization;
using System.Text.Json;

namespace Octet.Runtime.MxNet;

/// <summary>One output of one node of a symbol.</summary>
/// <param name="Node">Index of the node.</param>
/// <param name="Output">Which of its outputs.</param>
internal readonly record struct SymbolEntry(int Node, int Output);

/// <summary>A node of a symbol file: an operator, or (<c>null</c>) a variable.</summary>
/// <param name="Operator">Operator type.</param>
/// <param name="Name">Its name.</param>
/// <param name="Attributes">Parameters as text; every dialect's dictionaries in one.</param>
/// <param name="Inputs">What it reads; earlier nodes only.</param>
internal sealed record SymbolNode(string Operator, string Name, IReadOnlyDictionary<string, string> Attributes, SymbolEntry[] Inputs)
{
    /// <summary>A parameter, or <paramref name="otherwise"/> where it is absent or <c>None</c>.</summary>
    public string Text(string key, string otherwise) => Attributes.TryGetValue(key, out string? text) && text != "None" ? text : otherwise;

    /// <summary>Whether a parameter is present and not <c>None</c>.</summary>
    public bool Has(string key) => Text(key, "None") != "None";

    /// <summary>A truth value: <c>True</c>, <c>False</c>, <c>1</c>, <c>0</c>.</summary>
    public bool Flag(string key, bool otherwise) => Text(key, otherwise ? "True" : "False") switch
    {
        "True" or "true" or "1" => true,
        "False" or "false" or "0" => false,
        string text => throw Wrong(key, text, "a truth value"),
    };

    /// <summary>An integer.</summary>
    public long Int(string key, long otherwise) => Ints(key) is not { } numbers ? otherwise : numbers.Length == 1 ? numbers[0] : throw Wrong(key, Text(key, ""), "an integer");

    /// <summary>A number.</summary>
    public float Float(string key, float otherwise)
    {
        if (!Has(key)) return otherwise;
        string text = Text(key, "");
        return double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) ? (float)number : throw Wrong(key, text, "a number");
    }

    /// <summary>A tuple of integers, such as <c>(3, 3)</c>, <c>[1,-1]</c> or <c>2</c>; null where it is absent; items that are <c>None</c> become <paramref name="none"/>.</summary>
    public long[]? Ints(string key, long none = long.MinValue)
    {
        if (!Has(key)) return null;
        string text = Text(key, "");
        string[] parts = text.Trim('(', ')', '[', ']', ' ').Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return Array.ConvertAll(parts, part =>
            part == "None" && none != long.MinValue ? none
            : long.TryParse(part.TrimEnd('L'), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number) && Math.Abs((decimal)number) <= int.MaxValue ? number
            : throw Wrong(key, text, "integers"));
    }

    /// <summary>The error for a parameter that cannot be understood.</summary>
    public ModelException Wrong(string key, string text, string rule) => new($"{this} has {key} = '{text}'; rule: it is {rule}");

    /// <summary>The error for what Octet does not translate.</summary>
    public UnsupportedModelException Unsupported(string what, string works) => new($"{this}: {what}; what works: {works}");

    /// <inheritdoc/>
    public override string ToString() => $"{Operator} '{Name}'";
}

/// <summary>A symbol file: nodes in an order in which they can run, and outputs.</summary>
internal sealed record MxNetSymbol(SymbolNode[] Nodes, SymbolEntry[] Heads)
{
    /// <summary>Reads a symbol file in the dialects of MXNet 0.x (<c>param</c>, <c>attr</c>) and 1.x (<c>attrs</c>).</summary>
    /// <exception cref="ModelException">The text is no symbol.</exception>
    public static MxNetSymbol Read(byte[] json)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            JsonElement list = Member(root, "nodes", JsonValueKind.Array, "the symbol");
            var nodes = new SymbolNode[list.GetArrayLength()];
            int index = 0;
            foreach (JsonElement node in list.EnumerateArray())
            {
                string what = $"node {index}";
                var attributes = new Dictionary<string, string>(StringComparer.Ordinal);
                foreach (string key in (ReadOnlySpan<string>)["attr", "attrs", "param"])
                {
                    if (node.ValueKind != JsonValueKind.Object || !node.TryGetProperty(key, out JsonElement given) || given.ValueKind != JsonValueKind.Object) continue;
                    foreach (JsonProperty attribute in given.EnumerateObject())
                        attributes[attribute.Name] = attribute.Value.ValueKind == JsonValueKind.String ? attribute.Value.GetString()! : attribute.Value.GetRawText();
                }
                string name = Member(node, "name", JsonValueKind.String, what).GetString()!;
                nodes[index] = new SymbolNode(Member(node, "op", JsonValueKind.String, what).GetString()!, name, attributes, Entries(Member(node, "inputs", JsonValueKind.Array, what), index, what));
                index++;
            }
            return new MxNetSymbol(nodes, Entries(Member(root, "heads", JsonValueKind.Array, "the symbol"), nodes.Length, "the list of outputs"));
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            throw new ModelException($"{json.Length} bytes are not a symbol: {e.Message}; rule: a symbol is a JSON object with nodes, inputs and heads", e);
        }
    }

    private static JsonElement Member(JsonElement parent, string name, JsonValueKind kind, string what) =>
        parent.ValueKind == JsonValueKind.Object && parent.TryGetProperty(name, out JsonElement member) && member.ValueKind == kind ? member
        : throw new ModelException($"{what} has no '{name}' of kind {kind}; rule: a symbol has nodes and heads, a node has op, name and inputs");

    private static SymbolEntry[] Entries(JsonElement list, int before, string what)
    {
        var entries = new List<SymbolEntry>();
        foreach (JsonElement entry in list.EnumerateArray())
        {
            if (entry.ValueKind == JsonValueKind.Array && entry.GetArrayLength() is 2 or 3 && entry[0].TryGetInt32(out int node) && entry[1].TryGetInt32(out int output)
                && node >= 0 && node < before && output >= 0)
            {
                entries.Add(new SymbolEntry(node, output));
                continue;
            }
            string text = entry.GetRawText();
            throw new ModelException($"{what} reads {(text.Length < 100 ? text : "something")}; rule: an input is [node, output] of one of the {before} nodes before");
        }
        return [.. entries];
    }
}
