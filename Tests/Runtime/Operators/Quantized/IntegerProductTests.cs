using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators.Quantized;

/// <summary>Integer products and convolutions in every form, against a definition written with 64-bit integers. Integers have one right answer.</summary>
internal sealed class IntegerProductTests
{
    private static readonly DataType[] Bytes = [DataType.UInt8, DataType.Int8];

    [Test]
    public void MatMulIntegerBroadcastsBatches([ValueSource(nameof(Bytes))] DataType a, [ValueSource(nameof(Bytes))] DataType b, [Values] bool constants)
    {
        Tensor x = Random(1, a, 2, 1, 3, 5), w = Random(2, b, 4, 5, 7);
        Tensor xZero = Random(3, a, 1), wZero = Random(4, b, 7);
        int[] y = OneNode.Run("MatMulInteger", [x, w, xZero, wZero], constants: constants)[0].Span<int>().ToArray();
        long[] p = x.ToInt64Array(), q = w.ToInt64Array(), zp = xZero.ToInt64Array(), zq = wZero.ToInt64Array();
        var expected = new List<int>();
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 4; j++)
                for (int m = 0; m < 3; m++)
                    for (int n = 0; n < 7; n++)
                        expected.Add((int)Enumerable.Range(0, 5).Sum(k => (p[(i * 3 + m) * 5 + k] - zp[0]) * (q[(j * 5 + k) * 7 + n] - zq[n])));
        Assert.That(y, Is.EqualTo(expected));
    }

    [Test]
    public void MatMulIntegerTakesAZeroPointPerRow()
    {
        Tensor x = Tensor.Create(new byte[] { 1, 2, 3, 4 }, 2, 2), w = Tensor.Create(new byte[] { 1, 1, 1, 1 }, 2, 2);
        int[] y = OneNode.Run("MatMulInteger", [x, w, Tensor.Create(new byte[] { 1, 2 }, 2)])[0].Span<int>().ToArray();
        Assert.That(y, Is.EqualTo(new[] { 1, 1, 3, 3 }));
    }

    [TestCase(5, 2)]
    [TestCase(1, 3)]
    public void VectorsCountAsOneRowOrColumn(int k, int n)
    {
        Tensor x = Random(1, DataType.UInt8, k), w = Random(2, DataType.Int8, k, n);
        Tensor y = OneNode.Run("MatMulInteger", [x, w])[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { n }));
        Tensor z = OneNode.Run("MatMulInteger", [x, Random(3, DataType.Int8, k)])[0];
        Assert.That(z.Rank, Is.Zero);
    }

    [Test]
    public void QLinearMatMulRequantizesOnce([ValueSource(nameof(Bytes))] DataType type, [Values] bool constants)
    {
        Tensor x = Random(1, type, 6, 20), w = Random(2, type, 20, 9), xZero = Random(3, type, 1), wZero = Random(4, type, 1), yZero = Random(5, type, 1);
        float sx = 0.02f, sw = 0.013f, sy = 0.11f;
        Tensor y = OneNode.Run("QLinearMatMul", [x, Tensor.Scalar(sx), xZero, w, Tensor.Scalar(sw), wZero, Tensor.Scalar(sy), yZero], constants: constants)[0];
        long[] p = x.ToInt64Array(), q = w.ToInt64Array(), actual = y.ToInt64Array();
        (int low, int high) = type == DataType.Int8 ? (-128, 127) : (0, 255);
        for (int i = 0; i < 6 * 9; i++)
        {
            int acc = (int)Enumerable.Range(0, 20).Sum(k => (p[i / 9 * 20 + k] - xZero.ToInt64Array()[0]) * (q[k * 9 + i % 9] - wZero.ToInt64Array()[0]));
            long expected = Math.Clamp((long)MathF.Round(acc * (sx * sw / sy), MidpointRounding.ToEven) + yZero.ToInt64Array()[0], low, high);
            Assert.That(actual[i], Is.EqualTo(expected));
        }
    }

    [TestCase(1, 1, 1)]
    [TestCase(1, 2, 2)]
    [TestCase(2, 1, 1)]
    [TestCase(4, 1, 2)]
    public void ConvIntegerMatchesTheDefinition(int groups, int stride, int dilation)
    {
        foreach (DataType type in Bytes)
        {
            Tensor x = Random(1, type, 2, 4, 7, 6), w = Random(2, DataType.Int8, 8, 4 / groups, 3, 2), xZero = Random(3, type, 1), wZero = Random(4, DataType.Int8, 8);
            var attributes = new AttributeMap
            {
                ["group"] = (long)groups,
                ["strides"] = new long[] { stride, 1 },
                ["dilations"] = new long[] { 1, dilation },
                ["pads"] = new long[] { 1, 0, 2, 1 },
            };
            Tensor y = OneNode.Run("ConvInteger", [x, w, xZero, wZero], attributes)[0];
            int height = (7 + 3 - 3) / stride + 1, width = 6 + 1 - dilation - 1 + 1;
            Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 2, 8, height, width }));
            long[] p = x.ToInt64Array(), q = w.ToInt64Array(), actual = y.ToInt64Array();
            int at = 0, channels = 4 / groups;
            for (int n = 0; n < 2; n++)
                for (int o = 0; o < 8; o++)
                    for (int h = 0; h < height; h++)
                        for (int v = 0; v < width; v++, at++)
                        {
                            long sum = 0;
                            for (int c = 0; c < channels; c++)
                                for (int kh = 0; kh < 3; kh++)
                                    for (int kw = 0; kw < 2; kw++)
                                    {
                                        int row = h * stride - 1 + kh, column = v + kw * dilation;
                                        if (row < 0 || row >= 7 || column >= 6) continue;
                                        long data = p[((n * 4 + o / (8 / groups) * channels + c) * 7 + row) * 6 + column] - xZero.ToInt64Array()[0];
                                        sum += data * (q[((o * channels + c) * 3 + kh) * 2 + kw] - wZero.ToInt64Array()[o]);
                                    }
                            Assert.That(actual[at], Is.EqualTo(sum));
                        }
        }
    }

    [Test]
    public void QLinearConvAddsItsBiasBeforeScaling()
    {
        Tensor x = Random(1, DataType.UInt8, 1, 3, 5, 5), w = Random(2, DataType.Int8, 4, 3, 3, 3), bias = Tensor.Create([1000, -2000, 3, 0], 4);
        float[] wScale = [0.01f, 0.02f, 0.005f, 0.03f];
        Tensor acc = OneNode.Run("ConvInteger", [x, w, Tensor.Scalar((byte)77)])[0];
        Tensor y = OneNode.Run("QLinearConv",
            [x, Tensor.Scalar(0.02f), Tensor.Scalar((byte)77), w, Tensor.Create(wScale, 4), Tensor.Create(new sbyte[4], 4), Tensor.Scalar(0.25f), Tensor.Scalar((sbyte)-3), bias])[0];
        ReadOnlySpan<int> sums = acc.Span<int>();
        for (int i = 0; i < y.Length; i++)
        {
            int o = i / 9;
            float steps = (sums[i] + bias.Span<int>()[o]) * (0.02f * wScale[o] / 0.25f);
            Assert.That(y.Span<sbyte>()[i], Is.EqualTo((sbyte)Math.Clamp(MathF.Round(steps, MidpointRounding.ToEven) - 3, -128, 127)));
        }
    }

    [Test]
    public void ChannelsThatDoNotFitAreAnError()
    {
        var error = Assert.Throws<ModelException>(() => OneNode.Run("ConvInteger", [Random(1, DataType.UInt8, 1, 3, 5, 5), Random(2, DataType.Int8, 4, 2, 3, 3)]));
        Assert.That(error!.Message, Does.Contain("3 input channels").And.Contain("weights for 2"));
    }

    [Test]
    public void QGemmGivesBytesOrRealValues()
    {
        Tensor a = Random(1, DataType.UInt8, 3, 8), b = Random(2, DataType.Int8, 5, 8), bScale = Tensor.Create([.1f, .2f, .3f, .4f, .5f], 5), c = Tensor.Create([5, 4, 3, 2, 1], 5);
        var attributes = new AttributeMap { ["transB"] = 1L, ["alpha"] = 2f };
        Tensor real = OneNode.Run("QGemm", [a, Tensor.Scalar(0.5f), Tensor.Scalar((byte)9), b, bScale, Tensor.Create(new sbyte[5], 5)], attributes, Operator.MicrosoftDomain)[0];
        Tensor bytes = OneNode.Run("QGemm",
            [a, Tensor.Scalar(0.5f), Tensor.Scalar((byte)9), b, bScale, Tensor.Create(new sbyte[5], 5), c, Tensor.Scalar(16f), Tensor.Scalar((byte)100)], attributes, Operator.MicrosoftDomain)[0];
        for (int i = 0; i < 15; i++)
        {
            int m = i / 5, n = i % 5, acc = 0;
            for (int k = 0; k < 8; k++) acc += (a.Span<byte>()[m * 8 + k] - 9) * b.Span<sbyte>()[n * 8 + k];
            float scale = 2f * 0.5f * bScale.Span<float>()[n];
            Assert.That(real.Span<float>()[i], Is.EqualTo(acc * scale));
            Assert.That(bytes.Span<byte>()[i], Is.EqualTo((byte)Math.Clamp(MathF.Round((acc + c.Span<int>()[n]) * (scale / 16f), MidpointRounding.ToEven) + 100, 0, 255)));
        }
    }

    [Test]
    public void DynamicProductIsTheThreeOperatorsItStandsFor()
    {
        Tensor x = TestGraph.RandomTensor(1, 4, 16), w = Random(2, DataType.Int8, 16, 6), scale = Tensor.Create([.1f, .2f, .3f, .4f, .5f, .6f], 6), bias = TestGraph.RandomTensor(3, 6);
        Tensor[] quantized = OneNode.Run("DynamicQuantizeLinear", [x], outputs: 3);
        Tensor expected = OneNode.Run("MatMulIntegerToFloat", [quantized[0], w, quantized[1], scale, quantized[2], null, bias], domain: Operator.MicrosoftDomain)[0];
        Tensor actual = OneNode.Run("DynamicQuantizeMatMul", [x, w, scale, null, bias], domain: Operator.MicrosoftDomain)[0];
        Assert.That(actual.ToFloat32Array(), Is.EqualTo(expected.ToFloat32Array()));
    }

    [TestCase(2)]
    [TestCase(4)]
    [TestCase(8)]
    public void MatMulNBitsUnpacksLowBitsFirst(int bits)
    {
        const int k = 20, n = 3, block = 16, blocks = 2;
        var random = new Random(bits);
        var q = new int[n, blocks * block];
        var packed = new byte[n * blocks * block * bits / 8];
        for (int row = 0; row < n; row++)
            for (int i = 0; i < blocks * block; i++)
            {
                q[row, i] = random.Next(1 << bits);
                packed[(row * blocks * block + i) * bits / 8] |= (byte)(q[row, i] << (i * bits % 8));
            }
        float[] scales = [.5f, 1f, 2f, 4f, .25f, .125f];   // powers of two and small integers: every sum is exact
        Tensor x = Tensor.Create([.. Enumerable.Range(0, 2 * k).Select(i => (float)(i % 7 - 3))], 2, k);
        Tensor y = OneNode.Run("MatMulNBits", [x, Tensor.Create(packed, n, blocks, block * bits / 8), Tensor.Create(scales, n * blocks)],
            new AttributeMap { ["K"] = (long)k, ["N"] = (long)n, ["bits"] = (long)bits, ["block_size"] = (long)block }, Operator.MicrosoftDomain, constants: true)[0];
        for (int m = 0; m < 2; m++)
            for (int row = 0; row < n; row++)
            {
                float expected = 0;
                for (int i = 0; i < k; i++) expected += x.Span<float>()[m * k + i] * (q[row, i] - (1 << (bits - 1))) * scales[row * blocks + i / block];
                Assert.That(y.Span<float>()[m * n + row], Is.EqualTo(expected));
            }
    }

    private static Tensor Random(int seed, DataType type, params int[] shape)
    {
        var tensor = new Tensor(type, shape);
        new Random(seed).NextBytes(tensor.Bytes.Span);
        return tensor;
    }
}
