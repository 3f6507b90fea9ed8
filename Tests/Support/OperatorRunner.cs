using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Runs graphs node by node through <see cref="Operator.Evaluate"/>, for tests that need values and no session.</summary>
internal static class OperatorRunner
{
    /// <summary>Runs one operator on actual inputs, which are not constants.</summary>
    public static Tensor[] Run(string type, Tensor?[] inputs, AttributeMap? attributes = null, string domain = "", int opset = 21, int outputs = 1)
    {
        var g = new TestGraph(opset);
        Value?[] values = [.. inputs.Select((tensor, i) => tensor is null ? null : g.Editor.AddInput($"x{i}", new TensorType(tensor.Type, tensor.Shape)))];
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => g.Editor.AddValue($"y{i}"))];
        Node node = g.Editor.AddNode(type, values, results, attributes, domain);
        return [.. Evaluate(node, inputs).Cast<Tensor>()];
    }

    /// <summary>Runs a graph without subgraphs.</summary>
    public static Tensor[] Run(Graph graph, IReadOnlyDictionary<string, Tensor> inputs)
    {
        var values = new Dictionary<Value, RuntimeValue?>();
        foreach (Value value in graph.Values.Where(value => value.IsConstant)) values[value] = value.Constant;
        foreach (Value input in graph.Inputs) values[input] = inputs[input.Name];
        foreach (Node node in graph.Nodes)
        {
            RuntimeValue?[] results = Evaluate(node, [.. node.Inputs.Select(input => input is null ? null : values[input])]);
            for (int i = 0; i < node.Outputs.Count; i++)
            {
                if (node.Outputs[i] is { } output) values[output] = results[i];
            }
        }
        return [.. graph.Outputs.Select(output => (Tensor)values[output]!)];
    }

    private static RuntimeValue?[] Evaluate(Node node, RuntimeValue?[] inputs) =>
        OperatorTable.Require(node).Evaluate(new EvaluateContext(node, inputs, TestGraph.Options, Parallelism.None));
}
