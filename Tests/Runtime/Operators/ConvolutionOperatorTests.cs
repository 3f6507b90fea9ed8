using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Conv and ConvTranspose against the definition in float64, on values for which float32 is exact.</summary>
internal sealed class ConvolutionOperatorTests
{
    public sealed record Case(string Name, int[] X, int[] W, int Group = 1, long[]? Strides = null, long[]? Pads = null, long[]? Dilations = null, string? AutoPad = null)
    {
        public override string ToString() => Name;

        public AttributeMap Attributes()
        {
            var map = new AttributeMap { { "group", (long)Group } };
            if (Strides is not null) map.Add("strides", Strides);
            if (Pads is not null) map.Add("pads", Pads);
            if (Dilations is not null) map.Add("dilations", Dilations);
            if (AutoPad is not null) map.Add("auto_pad", AutoPad);
            return map;
        }
    }

    public static IEnumerable<Case> Cases =>
    [
        new("1x1", [2, 3, 4, 5], [7, 3, 1, 1]),
        new("3x3 padded", [1, 4, 6, 5], [8, 4, 3, 3], Pads: [1, 1, 1, 1]),
        new("asymmetric", [1, 2, 7, 9], [3, 2, 3, 2], Strides: [2, 3], Pads: [0, 1, 2, 0]),
        new("dilated", [1, 17, 9, 9], [5, 17, 3, 3], Dilations: [2, 3], Pads: [2, 3, 2, 3]),
        new("grouped", [2, 6, 5, 5], [9, 2, 3, 3], Group: 3),
        new("depthwise", [1, 8, 7, 7], [8, 1, 3, 3], Group: 8, Strides: [2, 2], Pads: [1, 1, 1, 1]),
        new("depthwise, multiplier 2", [1, 4, 6, 6], [8, 1, 5, 5], Group: 4, Pads: [2, 2, 2, 2]),
        new("one axis", [2, 3, 11], [4, 3, 4], Strides: [3], Pads: [2, 1]),
        new("three axes", [1, 2, 4, 5, 6], [3, 2, 2, 3, 2], Strides: [1, 2, 1], Pads: [1, 0, 1, 0, 1, 0]),
        new("same upper", [1, 3, 6, 7], [2, 3, 4, 2], Strides: [2, 2], AutoPad: "SAME_UPPER"),
        new("same lower", [1, 3, 6, 7], [2, 3, 4, 2], Strides: [2, 2], AutoPad: "SAME_LOWER"),
        new("valid", [1, 3, 6, 7], [2, 3, 2, 2], AutoPad: "VALID"),
        new("no images", [0, 3, 4, 4], [2, 3, 3, 3], Pads: [1, 1, 1, 1]),
    ];

    [TestCaseSource(nameof(Cases))]
    public void EqualsTheDefinition(Case test)
    {
        Tensor x = TestGraph.PowersOfTwo(1, test.X), w = TestGraph.PowersOfTwo(2, test.W), bias = TestGraph.PowersOfTwo(3, test.W[0]);
        Tensor y = OperatorRunner.Run("Conv", [x, w, bias], test.Attributes())[0];
        Tensor expected = OperatorRunner.Run("Conv", [ToDouble(x), ToDouble(w), ToDouble(bias)], test.Attributes())[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(expected.Shape.ToArray()));
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected.ToFloat32Array()));
    }

    [TestCaseSource(nameof(Cases))]
    public void ChannelsLastEqualsChannelsFirst(Case test)
    {
        Tensor x = TestGraph.PowersOfTwo(1, test.X), w = TestGraph.PowersOfTwo(2, test.W);
        Tensor first = OperatorRunner.Run("Conv", [x, w], test.Attributes())[0];
        AttributeMap attributes = test.Attributes();
        attributes.Add("channels_last", 1L);
        Tensor last = OperatorRunner.Run("Conv", [ToLast(x), w], attributes, "octet")[0];
        Assert.That(last.Span<float>().ToArray(), Is.EqualTo(ToLast(first).Span<float>().ToArray()));
    }

    [TestCase(false, 8f, TestName = "activation after the sum")]
    [TestCase(true, 5f, TestName = "activation before the sum")]
    public void AppliesTheEpilogueInOrder(bool activationFirst, float expected)
    {
        // conv + bias = 2·3 − 9 = −3;  relu(−3 + 11) = 8,  relu(−3) + 5 = 5
        Tensor One(float value) => Tensor.Create([value], 1, 1, 1, 1);
        var attributes = new AttributeMap { { "activation", "Relu" }, { "activation_first", activationFirst ? 1L : 0L } };
        Tensor y = OperatorRunner.Run("Conv", [One(2), One(3), Tensor.Create([-9f], 1), One(activationFirst ? 5 : 11)], attributes, "octet")[0];
        Assert.That(y.Span<float>()[0], Is.EqualTo(expected));
    }

    public static IEnumerable<TestCaseData> TransposeCases =>
    [
        new(new[] { 1, 2, 3, 3 }, new[] { 2, 3, 3, 3 }, new AttributeMap()),
        new(new[] { 1, 2, 3, 3 }, new[] { 2, 3, 3, 3 }, new AttributeMap { { "strides", new long[] { 3, 2 } }, { "pads", new long[] { 1, 0, 0, 2 } } }),
        new(new[] { 2, 4, 3, 5 }, new[] { 4, 2, 2, 3 }, new AttributeMap { { "group", 2L }, { "strides", new long[] { 2, 2 } }, { "output_padding", new long[] { 1, 1 } } }),
        new(new[] { 1, 2, 4 }, new[] { 2, 3, 3 }, new AttributeMap { { "dilations", new long[] { 2 } }, { "strides", new long[] { 2 } } }),
        new(new[] { 1, 1, 3, 4, 5 }, new[] { 1, 2, 3, 3, 3 }, new AttributeMap { { "strides", new long[] { 1, 2, 2 } } }),
        new(new[] { 1, 1, 3, 3 }, new[] { 1, 2, 3, 3 }, new AttributeMap { { "strides", new long[] { 3, 2 } }, { "output_shape", new long[] { 10, 8 } } }),
        new(new[] { 1, 1, 3, 3 }, new[] { 1, 2, 3, 3 }, new AttributeMap { { "strides", new long[] { 2, 2 } }, { "auto_pad", "SAME_UPPER" } }),
        new(new[] { 1, 1, 3, 3 }, new[] { 1, 2, 3, 3 }, new AttributeMap { { "strides", new long[] { 2, 2 } }, { "auto_pad", "SAME_LOWER" } }),
    ];

    [TestCaseSource(nameof(TransposeCases))]
    public void TransposedEqualsTheDefinition(int[] xShape, int[] wShape, AttributeMap attributes)
    {
        Tensor x = TestGraph.PowersOfTwo(1, xShape), w = TestGraph.PowersOfTwo(2, wShape);
        Tensor y = OperatorRunner.Run("ConvTranspose", [x, w], attributes)[0];
        Tensor expected = OperatorRunner.Run("ConvTranspose", [ToDouble(x), ToDouble(w)], attributes)[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(expected.Shape.ToArray()));
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected.ToFloat32Array()));
    }

    [Test]
    public void TransposedConvolutionIsTheAdjointOfConvolution()
    {
        // ⟨conv(x), y⟩ = ⟨x, convTranspose(y)⟩ for every x and y; exact because all terms are small powers of two.
        var attributes = new AttributeMap { { "strides", new long[] { 2, 1 } }, { "pads", new long[] { 1, 0, 0, 1 } } };
        Tensor w = TestGraph.PowersOfTwo(7, 3, 2, 2, 3), x = TestGraph.PowersOfTwo(8, 1, 2, 5, 6);
        Tensor forward = OperatorRunner.Run("Conv", [x, w], attributes)[0];
        Tensor y = TestGraph.PowersOfTwo(9, forward.Shape.ToArray());
        Tensor back = OperatorRunner.Run("ConvTranspose", [y, w], attributes)[0];
        Assert.That(back.Shape.ToArray(), Is.EqualTo(x.Shape.ToArray()));
        Assert.That(Dot(forward, y), Is.EqualTo(Dot(x, back)));
    }

    [Test]
    public void RefusesChannelsThatDoNotFit()
    {
        ModelException? error = Assert.Throws<ModelException>(() => OperatorRunner.Run("Conv", [TestGraph.RandomTensor(1, 1, 3, 4, 4), TestGraph.RandomTensor(2, 2, 4, 1, 1)]));
        Assert.That(error!.Message, Does.Contain("x has 3 channels but w takes 4").And.Contain("rule:"));
    }

    [Test]
    public void RefusesAWindowLargerThanThePaddedInput()
    {
        ModelException? error = Assert.Throws<ModelException>(() => OperatorRunner.Run("Conv", [TestGraph.RandomTensor(1, 1, 1, 2, 2), TestGraph.RandomTensor(2, 1, 1, 3, 3)]));
        Assert.That(error!.Message, Does.Contain("spans 3 elements"));
    }

    private static double Dot(Tensor a, Tensor b)
    {
        double sum = 0;
        for (int i = 0; i < a.Length; i++) sum += (double)a.Span<float>()[i] * b.Span<float>()[i];
        return sum;
    }

    private static Tensor ToDouble(Tensor tensor) => Tensor.Create(Array.ConvertAll(tensor.ToFloat32Array(), value => (double)value), tensor.Shape.ToArray());

    private static Tensor ToLast(Tensor x)
    {
        int[] shape = x.Shape.ToArray();
        int pixels = shape[2..].Aggregate(1, (a, b) => a * b), channels = shape[1];
        var y = new Tensor(DataType.Float32, [shape[0], .. shape[2..], channels]);
        for (int n = 0; n < shape[0]; n++)
            for (int c = 0; c < channels; c++)
                for (int p = 0; p < pixels; p++) y.Span<float>()[(n * pixels + p) * channels + c] = x.Span<float>()[(n * channels + c) * pixels + p];
        return y;
    }
}
