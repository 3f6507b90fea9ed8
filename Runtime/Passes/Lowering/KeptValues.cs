using Octet.Runtime.Graphs;

namespace Octet.Runtime.Passes;

/// <summary>
/// Values that hooks want to see: while a graph is rewritten they count as outputs of the graph, so that no rule merges across them; at the end each is there under its name, with the
/// numbers that the model gives it.
/// </summary>
internal sealed class KeptValues
{
    private readonly GraphEditor _editor;
    private readonly int _first;
    private readonly string[] _names;

    private KeptValues(GraphEditor editor, int first, string[] names) => (_editor, _first, _names) = (editor, first, names);

    /// <summary>Holds those of <paramref name="names"/> that a node of the graph makes; one that is an output already is held too, for its name.</summary>
    public static KeptValues Hold(Graph graph, IReadOnlySet<string> names)
    {
        var editor = new GraphEditor(graph);
        int first = graph.Outputs.Count;
        string[] held = [.. names.Where(name => graph.Find(name) is { Producer: not null }).Order(StringComparer.Ordinal)];
        foreach (string name in held) editor.AddOutput(graph.Find(name)!, name);
        return new KeptValues(editor, first, held);
    }

    /// <summary>Gives every held value its name and takes the outputs back. Nothing may remove unread nodes afterwards.</summary>
    public void Release()
    {
        Graph graph = _editor.Graph;
        Value[] values = [.. graph.Outputs.Skip(_first)];
        _editor.RemoveOutputs(_first);
        for (int i = 0; i < values.Length; i++)
        {
            Value value = values[i];
            if (value.Name == _names[i]) continue;
            if (graph.Find(_names[i]) is { } other) _editor.Rename(other, _names[i] + "/before");
            // The value stands for another one as well, whose name it keeps.
            Value named = _editor.Add("Identity", [value], null, "", _names[i] + "/kept", null, value.Type);
            named.MemoryOrder = value.MemoryOrder;
            _editor.Rename(named, _names[i]);
            _editor.SetOrigins(named.Producer!, []);
        }
    }
}
