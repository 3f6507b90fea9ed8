using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Forms that operators had in older versions of ONNX's operator set: attributes where inputs are now, other defaults, other broadcasting.</summary>
internal sealed class OldVersionTests
{
    private static readonly Tensor X = Tensor.Create(new float[] { -3, -1, 2, 5, 4, 0 }, 2, 3);

    public static IEnumerable<TestCaseData> Cases()
    {
        yield return Case("Clip", 6, new() { ["min"] = -1f, ["max"] = 4f }, [2, 3], [-1, -1, 2, 4, 4, 0]);
        yield return Case("Clip", 10, new() { ["max"] = 0f }, [2, 3], [-3, -1, 0, 0, 0, 0]);
        yield return Case("Slice", 1, new() { ["starts"] = new long[] { 1, -2 }, ["ends"] = new long[] { 2, 1000 } }, [1, 2], [4, 0]);
        yield return Case("Slice", 9, new() { ["axes"] = new long[] { 1 }, ["starts"] = new long[] { 0 }, ["ends"] = new long[] { -1 } }, [2, 2], [-3, -1, 5, 4]);
        yield return Case("Unsqueeze", 1, new() { ["axes"] = new long[] { 0, 3 } }, [1, 2, 3, 1], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Unsqueeze", 11, new() { ["axes"] = new long[] { -1 } }, [2, 3, 1], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Pad", 2, new() { ["pads"] = new long[] { 0, 1, 0, 0 }, ["value"] = 9f }, [2, 4], [9, -3, -1, 2, 9, 5, 4, 0]);
        yield return Case("Pad", 1, new() { ["paddings"] = new long[] { 0, 0, 1, 0 }, ["mode"] = "edge" }, [3, 3], [-3, -1, 2, 5, 4, 0, 5, 4, 0]);
        yield return Case("TopK", 1, new() { ["k"] = 2 }, [2, 2], [2, -1, 5, 4]);
        yield return Case("Reshape", 1, new() { ["shape"] = new long[] { -1, 2 } }, [3, 2], [-3, -1, 2, 5, 4, 0]);
        yield return Case("ReduceSum", 11, new() { ["axes"] = new long[] { -1 }, ["keepdims"] = 0 }, [2], [-2, 9]);
        yield return Case("ReduceMax", 1, new() { ["axes"] = new long[] { 0 } }, [1, 3], [5, 4, 2]);
        yield return Case("ReduceMean", 13, [], [1, 1], [7f / 6]);
        yield return Case("Dropout", 6, new() { ["is_test"] = 1, ["ratio"] = 0.5f }, [2, 3], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Dropout", 10, new() { ["ratio"] = 0.9f }, [2, 3], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Hardmax", 11, new() { ["axis"] = 0 }, [2, 3], [0, 0, 0, 1, 0, 0]);
        yield return Case("Hardmax", 13, new() { ["axis"] = 0 }, [2, 3], [0, 0, 1, 1, 1, 0]);
        yield return Case("Flatten", 9, new() { ["axis"] = 2 }, [6, 1], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Cast", 1, new() { ["to"] = "FLOAT" }, [2, 3], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Concat", 1, [], [2, 3], [-3, -1, 2, 5, 4, 0]);
        yield return Case("Relu", 1, new() { ["consumed_inputs"] = new long[] { 0 } }, [2, 3], [0, 0, 2, 5, 4, 0]);
        yield return Case("Elu", 1, new() { ["alpha"] = 0f }, [2, 3], [0, 0, 2, 5, 4, 0]);
        yield return Case("ArgMax", 11, new() { ["axis"] = 1, ["keepdims"] = 0 }, [2], [2, 0]);
    }

    [TestCaseSource(nameof(Cases))]
    public void GivesWhatThatVersionSays(string type, int opset, AttributeMap attributes, int[] shape, float[] expected)
    {
        Tensor y = OneNode.Run(type, [X], attributes, opset: opset, outputs: type == "TopK" ? 2 : 1)[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(shape));
        Assert.That(y.ToFloat32Array(), Is.EqualTo(expected));
    }

    [Test]
    public void SqueezeSplitAndTileOfOldVersions()
    {
        Tensor x = X.Reshape(1, 2, 1, 3);
        Assert.That(OneNode.Run("Squeeze", [x], new() { ["axes"] = new long[] { 0 } }, opset: 11)[0].Shape.ToArray(), Is.EqualTo(new[] { 2, 1, 3 }));
        Assert.That(OneNode.Run("Squeeze", [x], opset: 1)[0].Shape.ToArray(), Is.EqualTo(new[] { 2, 3 }));
        Tensor[] y = OneNode.Run("Split", [X], new() { ["axis"] = 1, ["split"] = new long[] { 1, 2 } }, opset: 2, outputs: 2);
        Assert.That(y[1].Span<float>().ToArray(), Is.EqualTo(new float[] { -1, 2, 4, 0 }));
        Tensor tiled = OneNode.Run("Tile", [X, Tensor.Scalar(2L), Tensor.Scalar(0L)], opset: 1)[0];
        Assert.That(tiled.Shape.ToArray(), Is.EqualTo(new[] { 4, 3 }));
    }

    [Test]
    public void SlopesOfVersion6BelongToChannels()
    {
        Tensor x = Tensor.Create(new float[] { -1, -1, -1, -1 }, 1, 2, 1, 2), slope = Tensor.Create(new float[] { 2, 3 }, 2);
        Assert.That(OneNode.Run("PRelu", [x, slope], opset: 6)[0].Span<float>().ToArray(), Is.EqualTo(new float[] { -2, -2, -3, -3 }));
    }

    [Test]
    public void RecurrentLayersOfVersion1AreThoseOfVersion7([Values("RNN", "GRU", "LSTM")] string type)
    {
        int gates = type == "RNN" ? 1 : type == "GRU" ? 3 : 4;
        Tensor[] inputs = [TestGraph.RandomTensor(1, 5, 2, 3), TestGraph.RandomTensor(2, 1, gates * 4, 3), TestGraph.RandomTensor(3, 1, gates * 4, 4), TestGraph.RandomTensor(4, 1, 2 * gates * 4)];
        Tensor[] old = OneNode.Run(type, inputs, new() { ["hidden_size"] = 4, ["output_sequence"] = 1 }, opset: 1, outputs: 2);
        Tensor[] now = OneNode.Run(type, inputs, new() { ["hidden_size"] = 4 }, opset: 7, outputs: 2);
        for (int i = 0; i < 2; i++) Assert.That(old[i].Span<float>().ToArray(), Is.EqualTo(now[i].Span<float>().ToArray()));
    }

    [Test]
    public void SecondOperandOfVersion1LiesUnderAnAxis([Values("Add", "Sub", "Mul", "Div", "Pow", "And", "Less", "Equal")] string type)
    {
        // B [3, 4] belongs under axis 1 of A [2, 3, 4, 5].
        Tensor a = TestGraph.RandomTensor(1, 2, 3, 4, 5), b = TestGraph.RandomTensor(2, 3, 4);
        foreach (ref float value in a.Span<float>()) value = MathF.Abs(value) + 0.5f;
        if (type is "And" or "Equal")
        {
            DataType element = type == "And" ? DataType.Bool : DataType.Int32;
            (a, b) = (OneNode.Run("Cast", [a], new() { ["to"] = (long)element })[0], OneNode.Run("Cast", [b], new() { ["to"] = (long)element })[0]);
        }
        Tensor old = OneNode.Run(type, [a, b], new() { ["broadcast"] = 1, ["axis"] = 1 }, opset: 1)[0];
        Tensor now = OneNode.Run(type, [a, b.Reshape(3, 4, 1)], opset: 13)[0];
        Assert.That(old.Shape.ToArray(), Is.EqualTo(new[] { 2, 3, 4, 5 }));
        Assert.That(old.Bytes.ToArray(), Is.EqualTo(now.Bytes.ToArray()));
    }

    [Test]
    public void GemmOfVersion6BroadcastsItsAddend()
    {
        Tensor a = TestGraph.RandomTensor(1, 3, 4), b = TestGraph.RandomTensor(2, 4, 5), c = TestGraph.RandomTensor(3, 5);
        Tensor old = OneNode.Run("Gemm", [a, b, c], new() { ["broadcast"] = 1 }, opset: 6)[0], now = OneNode.Run("Gemm", [a, b, c], opset: 13)[0];
        Assert.That(old.Span<float>().ToArray(), Is.EqualTo(now.Span<float>().ToArray()));
    }

    [Test]
    public void UpsampleOfVersion1NamesTwoScales()
    {
        Tensor x = Tensor.Create(new float[] { 1, 2 }, 1, 1, 1, 2);
        Tensor y = OneNode.Run("Upsample", [x], new() { ["width_scale"] = 2f, ["height_scale"] = 3f, ["mode"] = "nearest" }, opset: 1)[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 1, 1, 3, 4 }));
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new float[] { 1, 1, 2, 2, 1, 1, 2, 2, 1, 1, 2, 2 }));
    }

    [Test]
    public void BatchNormalizationOfVersion6InTestMode()
    {
        Tensor x = TestGraph.RandomTensor(1, 2, 3, 4, 5), variance = Tensor.Create<float>([0.5f, 1, 2], 3);
        Tensor[] inputs = [x, TestGraph.RandomTensor(2, 3), TestGraph.RandomTensor(3, 3), TestGraph.RandomTensor(4, 3), variance];
        Tensor old = OneNode.Run("BatchNormalization", inputs, new() { ["is_test"] = 1, ["consumed_inputs"] = new long[] { 0, 0, 0, 1, 1 }, ["spatial"] = 1 }, opset: 1)[0];
        Tensor now = OneNode.Run("BatchNormalization", inputs, opset: 15)[0];
        Assert.That(old.Span<float>().ToArray(), Is.EqualTo(now.Span<float>().ToArray()));
    }

    [Test]
    public void DepthOfOneHotMayBeAFloat()
    {
        Tensor y = OneNode.Run("OneHot", [Tensor.Create(new float[] { 1, -1, 7 }, 3), Tensor.Scalar(3f), Tensor.Create([0, 5], 2)], opset: 11)[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 3, 3 }));
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(new[] { 0, 5, 0, 0, 0, 5, 0, 0, 0 }));
    }

    private static TestCaseData Case(string type, int opset, AttributeMap attributes, int[] shape, float[] expected) =>
        new TestCaseData(type, opset, attributes, shape, expected).SetArgDisplayNames(type, opset.ToString(System.Globalization.CultureInfo.InvariantCulture), string.Join(",", attributes.Select(attribute => attribute.Key)));
}
