using Octet.Runtime.Graphs;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>Fuses a copy of a graph and compares what both compute.</summary>
internal sealed class FusionCheck
{
    private readonly Graph _original;

    public FusionCheck(TestGraph graph, string? only = null, RewriteOptions? options = null, bool portable = false)
    {
        TypeInference.Run(graph.Graph);
        _original = graph.Graph;
        Fused = graph.Graph.Clone();
        options ??= new RewriteOptions();
        if (only is not null)
        {
            options = options with { Disabled = Fusions.Portable.Concat(Fusions.Plan).Select(rule => rule.Name).Where(name => name != only).ToHashSet() };
        }
        if (portable) Octet.Runtime.Passes.Fusion.RunPortable(Fused, options, Report);
        else Octet.Runtime.Passes.Fusion.Run(Fused, options, Report);
        GraphVerifier.Verify(Fused);
    }

    public Graph Fused { get; }

    public List<RewriteReport> Report { get; } = [];

    public string[] Types => [.. Fused.Nodes.Select(node => node.QualifiedType)];

    /// <summary>The reason with which <paramref name="rule"/> refused.</summary>
    public string Refusal(string rule) => string.Join("; ", Report.Where(entry => entry.Rule == rule && !entry.Applied).Select(entry => entry.Reason));

    /// <summary>Both graphs' outputs for seeded inputs are equal, bit for bit where <paramref name="exact"/>.</summary>
    public FusionCheck Agrees(bool exact = false)
    {
        int seed = 100;
        Dictionary<string, Tensor> inputs = _original.Inputs.Where(input => !input.IsConstant).ToDictionary(input => input.Name,
            input => exact ? TestGraph.PowersOfTwo(seed++, input.Type.ConcreteShape()) : TestGraph.RandomTensor(seed++, input.Type.ConcreteShape()));
        Tensor[] expected = OperatorRunner.Run(_original, inputs), actual = OperatorRunner.Run(Fused, inputs);
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.That(actual[i].Shape.ToArray(), Is.EqualTo(expected[i].Shape.ToArray()));
            float[] e = expected[i].ToFloat32Array(), a = actual[i].ToFloat32Array();
            if (exact) Assert.That(a, Is.EqualTo(e));
            else Tolerance.AssertFused(a, e);
        }
        return this;
    }
}
