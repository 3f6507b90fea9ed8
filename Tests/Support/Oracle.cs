using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Runs a graph through a session, node by node, and through ONNX Runtime, and compares the three.</summary>
internal static class Oracle
{
    /// <summary>Fails where an output differs.</summary>
    /// <param name="graph">The graph; its inputs are float32, integers or bool.</param>
    /// <param name="inputs">A value per input.</param>
    /// <param name="bound">Largest difference of a float from the oracle's, as a share of the largest magnitude of that output.</param>
    /// <param name="threads">Threads of the session.</param>
    public static void Compare(Graph graph, IReadOnlyDictionary<string, Tensor> inputs, float bound = Tolerance.PeerRelative, int threads = 1)
    {
        GraphVerifier.Verify(graph);
        var model = new Model(graph);
        string path = Path.Combine(Path.GetTempPath(), $"octet-oracle-{Guid.NewGuid():N}.onnx");
        try
        {
            model.Save(path);
            IReadOnlyDictionary<string, Tensor> expected = OnnxRuntimePeer.Run(path, inputs, exact: true);
            Model loaded = Model.Load(path);
            IReadOnlyDictionary<string, Tensor> planned = new InferenceSession(loaded, new SessionOptions { Threads = threads }).Run(inputs);
            RuntimeValue?[] interpreted = Interpreter.Run(loaded.Graph, inputs.ToDictionary(pair => pair.Key, pair => (RuntimeValue?)pair.Value), TestGraph.Options);
            for (int o = 0; o < loaded.Graph.Outputs.Count; o++)
            {
                string name = loaded.Graph.OutputNames[o];
                Equal(planned[name], expected[name], bound, $"session, output '{name}'");
                Equal((Tensor)interpreted[o]!, expected[name], bound, $"interpreter, output '{name}'");
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static void Equal(Tensor actual, Tensor expected, float bound, string what)
    {
        Assert.That(actual.ToString(), Is.EqualTo(expected.ToString()), what);
        if (actual.Type == DataType.String)
        {
            Assert.That(actual.Strings.ToArray(), Is.EqualTo(expected.Strings.ToArray()), what);
            return;
        }
        if (!actual.Type.IsFloat())
        {
            Assert.That(actual.ToInt64Array(), Is.EqualTo(expected.ToInt64Array()), what);
            return;
        }
        float[] a = actual.ToFloat32Array(), b = expected.ToFloat32Array();
        float largest = b.Where(float.IsFinite).Select(Math.Abs).DefaultIfEmpty(0).Max();
        for (int i = 0; i < a.Length; i++)
        {
            if (a[i] == b[i] || float.IsNaN(a[i]) && float.IsNaN(b[i])) continue;
            Assert.That(Math.Abs(a[i] - b[i]), Is.LessThanOrEqualTo(bound * Math.Max(largest, 1e-3f)), $"{what}, element {i}: {a[i]} instead of {b[i]}");
        }
    }
}
