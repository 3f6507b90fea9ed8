using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Execution;

/// <summary>Concatenations whose producers write into their output.</summary>
internal sealed class JoinTests
{
    /// <summary>Two convolutions and a slice, joined along <paramref name="axis"/>; exposed as outputs too, nothing can be written in place.</summary>
    private static Model Network(int axis, bool exposed, int batch)
    {
        var g = new TestGraph();
        Value input = g.Input("x", batch, 16, 9, 9);
        Value Conv(string name, Value from, int channels, int outputs, int kernel) => g.Node("Conv", [from, g.Random(name + "_w", name.Length + outputs, outputs, channels, kernel, kernel)],
            new AttributeMap { { "pads", new long[] { kernel / 2, kernel / 2, kernel / 2, kernel / 2 } } }, name);
        Value x = Conv("stem", input, 16, 16, 1);
        Value a = g.Node("Relu", [Conv("wide", x, 16, 24, 3)], name: "relu_a"), b = Conv("narrow", x, 16, 24, 1);
        Value slice = g.Node("Slice", [x, g.Ints("starts", 0, 1), g.Ints("ends", 9, 16), g.Ints("axes", 2, 1), g.Ints("steps", 1, 2)], name: "slice");
        Value c = axis == 1 ? slice : Conv("spread", slice, 8, 24, 1);
        Value joined = g.Node("Concat", [a, b, c], new AttributeMap { { "axis", (long)axis } }, "join");
        g.Output(Conv("last", joined, axis == 1 ? 56 : 24, 20, 1), "y");
        if (exposed)
        {
            g.Output(a, "a");
            g.Output(b, "b");
            g.Output(c, "c");
        }
        return new Model(g.Graph);
    }

    private static (float[] Y, IReadOnlyList<OpProfile> Steps) Run(Model model, int batch, int threads, OpHook? hook = null)
    {
        var session = new InferenceSession(model, new SessionOptions { Threads = threads });
        Tensor x = TestGraph.RandomTensor(7, batch, 16, 9, 9);
        using IDisposable? registration = hook is null ? null : session.RegisterOpHook(hook, monitorAll: true);
        float[] y = session.Run(new Dictionary<string, Tensor> { ["x"] = x })["y"].Span<float>().ToArray();
        return (y, session.Profile([x], 1).Operators);
    }

    private static int InPlace(IReadOnlyList<OpProfile> steps)
    {
        string kernel = steps.Single(step => step.OperatorType == "Concat").Kernel;
        return kernel.StartsWith("Concat, ", StringComparison.Ordinal) ? kernel["Concat, ".Length] - '0' : 0;
    }

    [Test]
    public void ProducersWriteTheSameBits([Values(0, 1, 2)] int axis, [Values(1, 2)] int batch, [Values(1, 3)] int threads)
    {
        (float[] expected, IReadOnlyList<OpProfile> copied) = Run(Network(axis, exposed: true, batch), batch, 1);
        (float[] y, IReadOnlyList<OpProfile> steps) = Run(Network(axis, exposed: false, batch), batch, threads);
        Assert.That(y, Is.EqualTo(expected));
        if (axis == 1) Assert.That(InPlace(copied), Is.Zero);   // whoever else reads a value needs it dense, which only one row leaves it
        // Channels are the last axis in memory: rows of one pixel. Along the height of several images rows are longer than any producer's.
        Assert.That(InPlace(steps), axis == 2 && batch == 2 ? Is.Zero : Is.AtLeast(2));
    }

    [Test]
    public void IntegersAreWrittenInPlaceToo()
    {
        Model Quantized(bool exposed) => Quantizer.Quantize(Network(1, exposed, 1),
            [new Dictionary<string, Tensor> { ["x"] = TestGraph.RandomTensor(8, 1, 16, 9, 9) }], new QuantizationOptions { Calibration = CalibrationMode.Naive, Type = ActivationType.UInt8 }).Model;
        (float[] y, IReadOnlyList<OpProfile> steps) = Run(Quantized(exposed: false), 1, 1);
        Assert.That(y, Is.EqualTo(Run(Quantized(exposed: true), 1, 1).Y));
        Assert.That(InPlace(steps), Is.GreaterThan(0));
    }

    [Test]
    public void HooksSeeEveryValueDense()
    {
        var made = new Dictionary<string, float[]>();
        float[]? joined = null;
        void Hook(in OpEvent e)
        {
            if (e.IsInput || e.Tensor.Type != DataType.Float32) return;
            float[] values = e.Tensor.Elements<float>().ToArray();
            if (e.OperatorType == "Concat") joined = values;
            else made[e.NodeName] = values;
        }
        (float[] y, _) = Run(Network(1, exposed: false, 1), 1, 1, Hook);
        Assert.That(y, Is.EqualTo(Run(Network(1, exposed: false, 1), 1, 1).Y));
        Assert.That(joined, Is.Not.Null);
        float[] first = [.. Enumerable.Range(0, 81).SelectMany(pixel => joined!.Skip(pixel * 56).Take(24))];
        Assert.That(made.Values.Any(values => values.SequenceEqual(first)), "no hook saw what lies in the first columns of the concatenation");
    }
}
