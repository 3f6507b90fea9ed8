using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Runs a single operator on given tensors, without a session.</summary>
internal static class OneNode
{
    /// <summary>All outputs of one node.</summary>
    /// <param name="type">Operator type.</param>
    /// <param name="inputs">Inputs; null for one left out.</param>
    /// <param name="attributes">Attributes.</param>
    /// <param name="domain">Operator domain.</param>
    /// <param name="opset">Version of ONNX's own operator set.</param>
    /// <param name="outputs">How many outputs the node lists.</param>
    /// <param name="constants">Whether the inputs are constants of the graph (weights are packed) or run-time values.</param>
    public static Tensor[] Run(string type, Tensor?[] inputs, AttributeMap? attributes = null, string domain = "", int opset = 21, int outputs = 1, bool constants = false)
    {
        var graph = new TestGraph(opset);
        Value?[] values = [.. inputs.Select((input, i) => input is null ? null
            : constants && i > 0 ? graph.Editor.AddConstant($"x{i}", input)
            : graph.Input($"x{i}", new TensorType(input.Type, input.Shape)))];
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => graph.Editor.AddValue($"y{i}"))];
        Node node = graph.Editor.AddNode(type, values, results, attributes, domain);
        var c = new EvaluateContext(node, [.. inputs], TestGraph.Options, Parallelism.None);
        return [.. OperatorTable.Require(node).Evaluate(c).Select(result => (Tensor)result!)];
    }
}
