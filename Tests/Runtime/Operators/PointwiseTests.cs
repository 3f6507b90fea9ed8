using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>What the conformance cases leave open: extremes of integers, NaN, empty tensors, old broadcasting, errors.</summary>
internal sealed class PointwiseTests
{
    [Test]
    public void BitsAreReadAsAnotherType()
    {
        Tensor y = OneNode.Run("BitCast", [Tensor.Create<float>([1, -2, 0], 3)], new() { ["to"] = (long)DataType.Int32 }, opset: 26)[0];
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(new[] { 0x3F800000, unchecked((int)0xC0000000), 0 }));
        Assert.That(OneNode.Run("BitCast", [y], new() { ["to"] = (long)DataType.Float32 }, opset: 26)[0].Span<float>().ToArray(), Is.EqualTo(new[] { 1f, -2, 0 }));
        Assert.That(() => OneNode.Run("BitCast", [y], new() { ["to"] = (long)DataType.Int64 }, opset: 26), Throws.TypeOf<ModelException>());
    }

    [Test]
    public void MultinomialDrawsByProbability()
    {
        const int Draws = 4000;
        Tensor logits = Tensor.Create<float>([MathF.Log(1), MathF.Log(2), MathF.Log(5), 7, 7, float.NegativeInfinity], 2, 3);
        Tensor y = OneNode.Run("Multinomial", [logits], new() { ["sample_size"] = (long)Draws, ["dtype"] = (long)DataType.Int64, ["seed"] = 3f })[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 2, Draws }));
        long[] drawn = y.Span<long>().ToArray();
        double[] expected = [1 / 8.0, 2 / 8.0, 5 / 8.0, 0.5, 0.5, 0];
        // Six standard deviations of a share: √(p·(1 − p) / Draws) ≤ 0.008.
        for (int i = 0; i < expected.Length; i++) Assert.That(drawn[(i / 3 * Draws)..((i / 3 + 1) * Draws)].Count(value => value == i % 3) / (double)Draws, Is.EqualTo(expected[i]).Within(0.048));
    }

    private static Tensor Floats(float[] values, params int[] shape) => Tensor.Create(values, shape.Length == 0 ? [values.Length] : shape);

    [Test]
    public void IntegerDivisionByZeroAndOverflowDoNotThrow()
    {
        Tensor y = OneNode.Run("Div", [Tensor.Create([7, -7, int.MinValue, 0], 4), Tensor.Create([0, 2, -1, 5], 4)])[0];
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(new[] { 0, -3, int.MinValue, 0 }));
    }

    [Test]
    public void IntegerModuloByZeroAndOverflowDoNotThrow([Values(0, 1)] int fmod)
    {
        Tensor y = OneNode.Run("Mod", [Tensor.Create([7, int.MinValue, -7], 3), Tensor.Create([0, -1, 3], 3)], new() { ["fmod"] = fmod })[0];
        Assert.That(y.Span<int>().ToArray(), Is.EqualTo(new[] { 0, 0, fmod == 0 ? 2 : -1 }));
    }

    [Test]
    public void AbsOfLowestIntegerIsItself() =>
        Assert.That(OneNode.Run("Abs", [Tensor.Create(new sbyte[] { -128, -1, 127 }, 3)])[0].Span<sbyte>().ToArray(), Is.EqualTo(new sbyte[] { -128, 1, 127 }));

    [TestCase("Relu")]
    [TestCase("Neg")]
    [TestCase("Clip")]
    [TestCase("Max")]
    [TestCase("Min")]
    [TestCase("ReduceMax")]
    public void NaNStaysNaN(string type)
    {
        Tensor?[] inputs = type == "Clip" ? [Floats([float.NaN]), Tensor.Scalar(-1f), Tensor.Scalar(1f)] : type is "Max" or "Min" ? [Floats([float.NaN]), Floats([1])] : [Floats([float.NaN])];
        Assert.That(OneNode.Run(type, inputs)[0].Span<float>()[0], Is.NaN);
        if (type is "Max" or "Min") Assert.That(OneNode.Run(type, [inputs[1], inputs[0]])[0].Span<float>()[0], Is.NaN);
    }

    [TestCase(new[] { 2, 3, 4 }, new[] { 4 })]
    [TestCase(new[] { 2, 3, 4 }, new[] { 3, 1 })]
    [TestCase(new[] { 2, 1, 4 }, new[] { 3, 1 })]
    [TestCase(new[] { 4 }, new[] { 2, 3, 4 })]
    [TestCase(new[] { 1, 3, 1, 2 }, new[] { 5, 1, 4, 1 })]
    [TestCase(new[] { 2, 0, 4 }, new[] { 1, 1 })]
    [TestCase(new int[] { }, new[] { 3, 2 })]
    [TestCase(new int[] { }, new int[] { })]
    [TestCase(new[] { 70000 }, new[] { 1 })]
    [TestCase(new[] { 3, 20000 }, new[] { 3, 1 })]
    public void BroadcastingFollowsNumPy(int[] aShape, int[] bShape)
    {
        Tensor a = TestGraph.RandomTensor(1, aShape), b = TestGraph.RandomTensor(2, bShape);
        Tensor y = OneNode.Run("Sub", [a, b])[0];
        int rank = Math.Max(aShape.Length, bShape.Length);
        Assert.That(y.Rank, Is.EqualTo(rank));
        for (int i = 0; i < y.Length; i++) Assert.That(y.Span<float>()[i], Is.EqualTo(At(a, y.Shape, i) - At(b, y.Shape, i)));

        static float At(Tensor x, ReadOnlySpan<int> shape, int index)
        {
            int offset = 0, stride = 1;
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                int own = axis - (shape.Length - x.Rank), position = index % shape[axis];
                index /= shape[axis];
                if (own < 0) continue;
                if (x.Shape[own] != 1) offset += position * stride;
                stride *= x.Shape[own];
            }
            return x.Span<float>()[offset];
        }
    }

    [Test]
    public void Version6BroadcastsAlongAnAxis()
    {
        Tensor y = OneNode.Run("Add", [Floats([1, 2, 3, 4, 5, 6, 7, 8], 2, 2, 2), Floats([10, 20])], new() { ["broadcast"] = 1, ["axis"] = 1 }, opset: 6)[0];
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(new float[] { 11, 12, 23, 24, 15, 16, 27, 28 }));
    }

    [Test]
    public void MismatchedExtentsAreAnErrorWithFacts()
    {
        ModelException error = Assert.Throws<ModelException>(() => OneNode.Run("Add", [Floats([1, 2, 3]), Floats([1, 2])]))!;
        Assert.That(error.Message, Does.Contain("extents 3 and 2").And.Contain("float32[3]").And.Contain("rule:"));
    }

    [Test]
    public void MixedTypesAreAnError() =>
        Assert.Throws<ModelException>(() => OneNode.Run("Add", [Floats([1]), Tensor.Create([1], 1)]));

    [Test]
    public void CastSaturatesFloatsAndWrapsIntegers()
    {
        Tensor x = Floats([300, -1, float.NaN, 1.9f, -1.9f, float.PositiveInfinity]);
        Assert.That(OneNode.Run("Cast", [x], new() { ["to"] = (int)DataType.UInt8 })[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 255, 0, 0, 1, 0, 255 }));
        Assert.That(OneNode.Run("Cast", [x], new() { ["to"] = (int)DataType.Int32 })[0].Span<int>().ToArray(), Is.EqualTo(new[] { 300, -1, 0, 1, -1, int.MaxValue }));
        Assert.That(OneNode.Run("Cast", [Tensor.Create([300, -1], 2)], new() { ["to"] = (int)DataType.UInt8 })[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 44, 255 }));
        Assert.That(OneNode.Run("Cast", [x], new() { ["to"] = (int)DataType.Bool })[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 1, 1, 1, 1, 1, 1 }));
    }

    [Test]
    public void CastToBFloat16RoundsHalfToEven()
    {
        float[] x = [1f, 1.00390625f, 1.01171875f, float.NaN];   // 1 + 2⁻⁸ lies between 1 and 1 + 2⁻⁷; 1 + 3·2⁻⁸ between that and 1 + 2⁻⁶
        ushort[] y = OneNode.Run("Cast", [Floats(x)], new() { ["to"] = (int)DataType.BFloat16 })[0].Span<ushort>().ToArray();
        Assert.That(y[..3], Is.EqualTo(new ushort[] { 0x3F80, 0x3F80, 0x3F82 }));
        Assert.That(BitConverter.UInt32BitsToSingle((uint)y[3] << 16), Is.NaN);
    }

    [Test]
    public void CastOfTextThatIsNoNumberIsADataError() =>
        Assert.Throws<DataException>(() => OneNode.Run("Cast", [new Tensor(["zwei"], [1])], new() { ["to"] = (int)DataType.Float32 }));

    [Test]
    public void IntegerPowersAreExactAndWrap()
    {
        Tensor y = OneNode.Run("Pow", [Tensor.Create([3L, -2L, 7L, 2L], 4), Tensor.Create([39L, 63L, -1L, 64L], 4)])[0];
        Assert.That(y.Span<long>().ToArray(), Is.EqualTo(new[] { 4052555153018976267L, long.MinValue, 0L, 0L }));
    }

    [Test]
    public void ErfIsAccurate()
    {
        // Abramowitz and Stegun, table 7.1.
        Tensor y = OneNode.Run("Erf", [Tensor.Create([0.0, 0.5, 1.0, 2.0, -1.0, 3.0], 6)])[0];
        double[] expected = [0, 0.5204998778, 0.8427007929, 0.9953222650, -0.8427007929, 0.9999779095];
        for (int i = 0; i < expected.Length; i++) Assert.That(y.Span<double>()[i], Is.EqualTo(expected[i]).Within(5.1e-11));
    }

    [Test]
    public void ShiftByTheWidthGivesZero()
    {
        Tensor y = OneNode.Run("BitShift", [Tensor.Create(new byte[] { 255, 255, 3 }, 3), Tensor.Create(new byte[] { 8, 200, 1 }, 3)], new() { ["direction"] = "LEFT" })[0];
        Assert.That(y.Span<byte>().ToArray(), Is.EqualTo(new byte[] { 0, 0, 6 }));
    }

    [Test]
    public void SoftmaxBefore13TakesAllAxesFromTheGivenOneAsOneLine()
    {
        Tensor x = Floats([0, 0, 0, 0], 1, 2, 2);
        Assert.That(OneNode.Run("Softmax", [x], opset: 12)[0].Span<float>().ToArray(), Is.All.EqualTo(0.25f));
        Assert.That(OneNode.Run("Softmax", [x], opset: 13)[0].Span<float>().ToArray(), Is.All.EqualTo(0.5f));
    }

    [Test]
    public void EmptyTensorsPassThrough()
    {
        foreach (string type in (string[])["Relu", "Exp", "Softmax", "Neg", "Identity", "Transpose"])
            Assert.That(OneNode.Run(type, [new Tensor(DataType.Float32, [2, 0])])[0].Length, Is.Zero, type);
    }
}
