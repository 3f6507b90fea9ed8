using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.SConv;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.SConv;

internal sealed class SConvolutionTests
{
    private static WindowAxis Axis(int input, int kernel, int stride = 1, int dilation = 1, int begin = 0, int end = 0) =>
        new(input, kernel, stride, dilation, begin, end, (input + begin + end - ((kernel - 1) * dilation + 1)) / stride + 1);

    private static WindowAxis TransposedAxis(int input, int kernel, int stride = 1, int dilation = 1, int begin = 0, int end = 0, int extra = 0) =>
        new(input, kernel, stride, dilation, begin, end, (input - 1) * stride + (kernel - 1) * dilation + 1 - begin - end + extra);

    public static IEnumerable<TestCaseData> Shapes()
    {
        WindowAxis unit = WindowAxis.Unit;
        (string, SConvMethod, ConvShape)[] shapes =
        [
            ("pointwise", SConvMethod.Pointwise, new(2, 24, 40, 1, unit, Axis(5, 1), Axis(7, 1))),
            ("3x3 padded", SConvMethod.Indirect, new(2, 16, 35, 1, unit, Axis(6, 3, 1, 1, 1, 1), Axis(9, 3, 1, 1, 1, 1))),
            ("3x3 stride 2", SConvMethod.Indirect, new(1, 20, 33, 1, unit, Axis(9, 3, 2, 1, 1, 1), Axis(10, 3, 2, 1, 0, 1))),
            ("3x3 dilated", SConvMethod.Indirect, new(1, 17, 8, 1, unit, Axis(9, 3, 1, 2, 2, 2), Axis(9, 3, 1, 3, 3, 3))),
            ("1x1 stride 2", SConvMethod.Indirect, new(1, 32, 64, 1, unit, Axis(8, 1, 2), Axis(8, 1, 2))),
            ("window beyond input", SConvMethod.Indirect, new(1, 16, 4, 1, unit, Axis(2, 5, 1, 1, 2, 2), Axis(1, 5, 1, 1, 2, 2))),
            ("grouped", SConvMethod.Indirect, new(1, 24, 36, 3, unit, Axis(5, 3, 1, 1, 1, 1), Axis(6, 3, 1, 1, 1, 1))),
            ("one dimension", SConvMethod.Indirect, new(2, 16, 19, 1, unit, unit, Axis(31, 5, 2, 1, 2, 2))),
            ("three dimensions", SConvMethod.Indirect, new(1, 5, 9, 1, Axis(4, 3, 1, 1, 1, 1), Axis(5, 3, 2, 1, 1, 1), Axis(6, 2))),
            ("stem 7x7", SConvMethod.Rows, new(2, 3, 64, 1, unit, Axis(20, 7, 2, 1, 3, 3), Axis(30, 7, 2, 1, 3, 3))),
            ("stem without padding", SConvMethod.Rows, new(1, 1, 20, 1, unit, Axis(11, 5), Axis(13, 5))),
            ("stem of few taps", SConvMethod.Rows, new(2, 1, 32, 1, unit, Axis(9, 2), Axis(12, 2))),
            ("stem of few taps, narrow", SConvMethod.Rows, new(1, 3, 7, 1, unit, Axis(9, 3, 2, 1, 1, 1), Axis(12, 3, 2, 1, 1, 1))),
            ("stem dilated down", SConvMethod.Rows, new(1, 4, 9, 1, unit, Axis(11, 3, 1, 2, 2, 2), Axis(13, 3, 2, 1, 1, 0))),
            ("audio", SConvMethod.Rows, new(1, 1, 18, 1, unit, unit, Axis(200, 25, 7, 1, 12, 12))),
            ("depthwise 3x3", SConvMethod.Depthwise, new(2, 37, 37, 37, unit, Axis(7, 3, 1, 1, 1, 1), Axis(13, 3, 1, 1, 1, 1))),
            ("depthwise 5x5 stride 2", SConvMethod.Depthwise, new(1, 32, 32, 32, unit, Axis(11, 5, 2, 1, 2, 2), Axis(12, 5, 2, 1, 1, 2))),
            ("depthwise dilated", SConvMethod.Depthwise, new(1, 16, 16, 16, unit, Axis(9, 3, 1, 2, 2, 2), Axis(9, 3, 1, 4, 4, 4))),
            ("depthwise multiplier 2", SConvMethod.Depthwise, new(2, 9, 18, 9, unit, Axis(5, 3, 1, 1, 1, 1), Axis(6, 3, 1, 1, 1, 1))),
            ("depthwise 3-D", SConvMethod.Depthwise, new(1, 8, 8, 8, Axis(3, 3, 1, 1, 1, 1), Axis(4, 3, 1, 1, 1, 1), Axis(5, 3, 2, 1, 1, 1))),
            ("empty batch", SConvMethod.Indirect, new(0, 16, 8, 1, unit, Axis(4, 3), Axis(4, 3))),
        ];
        foreach ((string name, SConvMethod method, ConvShape shape) in shapes)
        {
            foreach (VectorWidth width in VectorWidths.Usable(CpuInfo.Detected))
                yield return new TestCaseData(shape, method, Features(width)).SetArgDisplayNames(name, width.ToString());
        }
    }

    /// <summary>A CPU that has the width and nothing wider.</summary>
    private static CpuFeatures Features(VectorWidth width) => CpuInfo.Cap(CpuInfo.Detected, width switch
    {
        VectorWidth.V512 => "avx512",
        VectorWidth.V256 => "avx2",
        VectorWidth.V128 => "sse41",
        _ => "scalar",
    });

    [TestCaseSource(nameof(Shapes))]
    public void MatchesTheDefinition(ConvShape shape, SConvMethod method, CpuFeatures cpu)
    {
        var random = new Random(1);
        float[] x = random.Floats(shape.Batch * shape.InputPixels * shape.InChannels);
        float[] w = random.Floats(shape.OutChannels * shape.GroupInChannels * shape.Taps), bias = random.Floats(shape.OutChannels);
        double[] expected = SConvReference.Convolve(shape, x, w);
        for (int i = 0; i < expected.Length; i++) expected[i] = Math.Max(0, expected[i] + bias[i % bias.Length]);
        var e = new SEpilogue(shape.OutChannels, bias, UnaryOperation.Relu, 0, 0, false, cpu);
        SConvolution convolution = SConvolution.Create(shape, w, e, cpu);
        Assert.That(convolution.Method, Is.EqualTo(method), convolution.Reason);

        var y = new float[expected.Length];
        convolution.Run(x, [], y, new byte[convolution.ScratchBytes(1)], Parallelism.None);
        int k = shape.GroupInChannels * shape.Taps;
        Close.Assert(y, expected, Tolerance.Gemm(k, 1, 1), Tolerance.GemmMean(k, 1, 1), shape.ToString());

        foreach (int threads in (int[])[2, 4])
        {
            var parallelism = new Parallelism(TestPool.Four, threads);
            var many = new float[y.Length];
            convolution.Run(x, [], many, new byte[convolution.ScratchBytes(parallelism.MaxWorkers)], parallelism);
            Assert.That(many, Is.EqualTo(y), $"{threads} threads");
        }
    }

    [TestCaseSource(nameof(Shapes))]
    public void SumActivationAndStridesAgreeWithSeparateSteps(ConvShape shape, SConvMethod method, CpuFeatures cpu) => AgreesWithSeparateSteps(shape, cpu, method);

    private static void AgreesWithSeparateSteps(ConvShape shape, CpuFeatures cpu, SConvMethod method)
    {
        var random = new Random(2);
        int pixels = shape.Batch * shape.OutputPixels, o = shape.OutChannels, yStride = o + 5;
        float[] x = random.Floats(shape.Batch * shape.InputPixels * shape.InChannels);
        float[] w = random.Floats(o * shape.GroupInChannels * shape.Taps), bias = random.Floats(o);
        var plain = new float[pixels * o];
        SConvWeights weights = SConvWeights.Pack(shape, w, cpu, method, "");
        SConvolution convolution = SConvolution.Create(shape, weights, SEpilogue.WithBias(bias));
        convolution.Run(x, [], plain, new byte[convolution.ScratchBytes(1)], Parallelism.None);

        foreach ((UnaryOperation operation, bool first) in ((UnaryOperation, bool)[])[(UnaryOperation.Clip, false), (UnaryOperation.Clip, true), (UnaryOperation.LeakyRelu, false), (UnaryOperation.LeakyRelu, true)])
        {
            const float alpha = -0.5f, beta = 0.75f;
            var e = new SEpilogue(o, bias, operation, alpha, beta, first, cpu);
            SConvolution fused = SConvolution.Create(shape, weights, e);
            float[] y = random.Floats(Math.Max(0, pixels * yStride - 5)), sum = [.. y];
            fused.Run(x, y, y, new byte[fused.ScratchBytes(1)], Parallelism.None, yStride, yStride);   // the sum is the output itself
            for (int i = 0; i < y.Length; i++)
            {
                int pixel = i / yStride, c = i % yStride;
                float expected = sum[i];
                if (c < o)
                {
                    float value = plain[pixel * o + c];
                    expected = first ? Apply(value) + sum[i] : Apply(value + sum[i]);
                }
                Assert.That(y[i], Is.EqualTo(expected), $"{operation} first={first} pixel {pixel} channel {c}");
            }

            float Apply(float v) => operation == UnaryOperation.Clip ? Math.Clamp(v, alpha, beta) : v < 0 ? alpha * v : v;
        }
    }

    public static IEnumerable<TestCaseData> WinogradShapes()
    {
        WindowAxis unit = WindowAxis.Unit;
        (string, ConvShape)[] shapes =
        [
            ("even", new(1, 16, 32, 1, unit, Axis(8, 3, 1, 1, 1, 1), Axis(8, 3, 1, 1, 1, 1))),
            ("ragged", new(2, 19, 37, 1, unit, Axis(7, 3, 1, 1, 1, 1), Axis(13, 3, 1, 1, 1, 1))),
            ("unpadded", new(1, 33, 17, 1, unit, Axis(10, 3), Axis(11, 3))),
            ("one-sided padding", new(1, 16, 70, 1, unit, Axis(5, 3, 1, 1, 2, 0), Axis(6, 3, 1, 1, 0, 2))),
            ("wide padding", new(1, 16, 16, 1, unit, Axis(2, 3, 1, 1, 5, 7), Axis(1, 3, 1, 1, 6, 4))),
            ("one output", new(1, 24, 8, 1, unit, Axis(3, 3), Axis(3, 3))),
            ("several groups of columns", new(1, 20, 200, 1, unit, Axis(9, 3, 1, 1, 1, 1), Axis(9, 3, 1, 1, 1, 1))),
            ("several blocks", new(1, 40, 24, 1, unit, Axis(61, 3, 1, 1, 1, 1), Axis(47, 3, 1, 1, 1, 1))),
            ("planes", new(2, 16, 16, 1, Axis(3, 1), Axis(6, 3, 1, 1, 1, 1), Axis(5, 3, 1, 1, 1, 1))),
            ("empty batch", new(0, 16, 8, 1, unit, Axis(4, 3), Axis(4, 3))),
        ];
        foreach ((string name, ConvShape shape) in shapes)
        {
            foreach (SConvMethod method in (SConvMethod[])[SConvMethod.WinogradTwo, SConvMethod.WinogradFour])
            {
                foreach (VectorWidth width in VectorWidths.Usable(CpuInfo.Detected))
                    yield return new TestCaseData(shape, method, Features(width)).SetArgDisplayNames(name, method.ToString(), width.ToString());
            }
        }
    }

    [TestCaseSource(nameof(WinogradShapes))]
    public void WinogradStaysWithinItsBound(ConvShape shape, SConvMethod method, CpuFeatures cpu)
    {
        var random = new Random(4);
        float[] x = random.Floats(shape.Batch * shape.InputPixels * shape.InChannels);
        float[] w = random.Floats(shape.OutChannels * shape.InChannels * shape.Taps), bias = random.Floats(shape.OutChannels);
        double[] expected = SConvReference.Convolve(shape, x, w);
        for (int i = 0; i < expected.Length; i++) expected[i] = Math.Max(0, expected[i] + bias[i % bias.Length]);
        var e = new SEpilogue(shape.OutChannels, bias, UnaryOperation.Relu, 0, 0, false, cpu);
        SConvolution convolution = SConvolution.Create(shape, SConvWeights.Pack(shape, w, cpu, method, ""), e);
        var y = new float[expected.Length];
        Array.Fill(y, float.NaN);
        convolution.Run(x, [], y, new byte[convolution.ScratchBytes(1)], Parallelism.None);
        double amplification = method == SConvMethod.WinogradTwo ? Tolerance.Amplification<WinogradTwo>() : Tolerance.Amplification<WinogradFour>();
        Close.Assert(y, expected, Tolerance.Winograd(shape.InChannels, amplification, 1, 1), Tolerance.WinogradMean(shape.InChannels, amplification, 1, 1), shape.ToString());

        foreach (int threads in (int[])[2, 4])
        {
            var parallelism = new Parallelism(TestPool.Four, threads);
            var many = new float[y.Length];
            convolution.Run(x, [], many, new byte[convolution.ScratchBytes(parallelism.MaxWorkers)], parallelism);
            Assert.That(many, Is.EqualTo(y), $"{threads} threads");
        }
    }

    /// <summary>Small integers leave no rounding in F(2×2): every output is exact, so a misplaced element or coefficient shows.</summary>
    [TestCaseSource(nameof(WinogradShapes))]
    public void WinogradOfSmallIntegersIsNearlyExact(ConvShape shape, SConvMethod method, CpuFeatures cpu)
    {
        var random = new Random(5);
        float[] x = Integers(shape.Batch * shape.InputPixels * shape.InChannels), w = Integers(shape.OutChannels * shape.InChannels * shape.Taps);
        double[] expected = SConvReference.Convolve(shape, x, w);
        SConvolution convolution = SConvolution.Create(shape, SConvWeights.Pack(shape, w, cpu, method, ""), SEpilogue.None(shape.OutChannels));
        var y = new float[expected.Length];
        convolution.Run(x, [], y, new byte[convolution.ScratchBytes(1)], Parallelism.None);
        for (int i = 0; i < y.Length; i++)
        {
            double value = method == SConvMethod.WinogradTwo ? y[i] : Math.Round(y[i]);
            Assert.That(value, Is.EqualTo(expected[i]), $"output {i}");
        }

        float[] Integers(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.Next(-7, 8))];
    }

    [TestCaseSource(nameof(WinogradShapes))]
    public void WinogradSumActivationAndStridesAgreeWithSeparateSteps(ConvShape shape, SConvMethod method, CpuFeatures cpu) =>
        AgreesWithSeparateSteps(shape, cpu, method);

    [Test]
    public void WinogradIsChosenWhereItPaysAndOnlyWhereAllowed()
    {
        var large = new ConvShape(1, 64, 64, 1, WindowAxis.Unit, Axis(56, 3, 1, 1, 1, 1), Axis(56, 3, 1, 1, 1, 1));
        var single = new ConvShape(1, 256, 256, 1, WindowAxis.Unit, Axis(3, 3), Axis(3, 3));
        var strided = new ConvShape(1, 64, 64, 1, WindowAxis.Unit, Axis(56, 3, 2, 1, 1, 1), Axis(56, 3, 2, 1, 1, 1));
        foreach (CpuFeatures cpu in VectorWidths.Usable(CpuInfo.Detected).Select(Features))
        {
            Assert.That(SConvWeights.Choose(large, cpu, winograd: true).Method, Is.EqualTo(SConvMethod.WinogradFour), $"{cpu}");
            Assert.That(SConvWeights.Choose(large, cpu, winograd: false).Method, Is.EqualTo(SConvMethod.Indirect), $"{cpu}");
            Assert.That(SConvWeights.Choose(single, cpu, winograd: true).Method, Is.EqualTo(SConvMethod.Indirect), $"{cpu}");
            Assert.That(SConvWeights.Choose(strided, cpu, winograd: true).Method, Is.EqualTo(SConvMethod.Indirect), $"{cpu}");
            Assert.That(() => SConvWeights.Pack(strided, new float[64 * 64 * 9], cpu, SConvMethod.WinogradTwo, ""), Throws.ArgumentException);
        }
    }

    public static IEnumerable<TestCaseData> TransposedShapes()
    {
        WindowAxis unit = WindowAxis.Unit;
        (string, ConvShape)[] shapes =
        [
            ("2x2 stride 2", new(2, 12, 20, 1, unit, TransposedAxis(4, 2, 2), TransposedAxis(5, 2, 2))),
            ("3x3 stride 2 padded", new(1, 7, 33, 1, unit, TransposedAxis(4, 3, 2, 1, 1, 1, 1), TransposedAxis(5, 3, 2, 1, 1, 1))),
            ("stride above kernel", new(1, 5, 6, 1, unit, TransposedAxis(3, 2, 3), TransposedAxis(4, 1, 3, 1, 0, 0, 2))),
            ("dilated", new(1, 5, 6, 1, unit, TransposedAxis(4, 3, 2, 2, 1, 1), TransposedAxis(4, 3, 1, 2, 2, 2))),
            ("grouped", new(1, 8, 12, 4, unit, TransposedAxis(3, 3, 1, 1, 1, 1), TransposedAxis(3, 4, 2, 1, 1, 1))),
            ("one dimension", new(2, 9, 10, 1, unit, unit, TransposedAxis(11, 16, 8, 1, 4, 4))),
            ("three dimensions", new(1, 4, 5, 1, TransposedAxis(2, 3, 2, 1, 1, 1), TransposedAxis(3, 2, 2), TransposedAxis(3, 3, 1))),
        ];
        foreach ((string name, ConvShape shape) in shapes)
        {
            foreach (VectorWidth width in VectorWidths.Usable(CpuInfo.Detected))
                yield return new TestCaseData(shape, Features(width)).SetArgDisplayNames(name, width.ToString());
        }
    }

    [TestCaseSource(nameof(TransposedShapes))]
    public void TransposedMatchesTheDefinition(ConvShape shape, CpuFeatures cpu)
    {
        var random = new Random(3);
        float[] x = random.Floats(shape.Batch * shape.InputPixels * shape.InChannels);
        float[] w = random.Floats(shape.InChannels * shape.GroupOutChannels * shape.Taps), bias = random.Floats(shape.OutChannels);
        double[] expected = SConvReference.Transpose(shape, x, w);
        for (int i = 0; i < expected.Length; i++) expected[i] += bias[i % bias.Length];
        SConvTranspose convolution = SConvTranspose.Create(shape, w, SEpilogue.WithBias(bias), cpu);
        var y = new float[expected.Length];
        Array.Fill(y, float.NaN);
        convolution.Run(x, [], y, new byte[convolution.ScratchBytes(1)], Parallelism.None);
        int k = shape.GroupInChannels * shape.Taps;
        Close.Assert(y, expected, Tolerance.Gemm(k, 1, 1), Tolerance.GemmMean(k, 1, 1), shape.ToString());

        var parallelism = new Parallelism(TestPool.Four, 3);
        var many = new float[y.Length];
        convolution.Run(x, [], many, new byte[convolution.ScratchBytes(parallelism.MaxWorkers)], parallelism);
        Assert.That(many, Is.EqualTo(y));
    }

    [Test]
    public void RunAllocatesNothing()
    {
        var shape = new ConvShape(1, 16, 16, 1, WindowAxis.Unit, Axis(8, 3, 1, 1, 1, 1), Axis(8, 3, 1, 1, 1, 1));
        SConvolution convolution = SConvolution.Create(shape, new float[16 * 16 * 9], SEpilogue.None(16), CpuInfo.Detected);
        float[] x = new float[8 * 8 * 16], y = new float[8 * 8 * 16];
        var scratch = new byte[convolution.ScratchBytes(1)];
        for (int i = 0; i < 3; i++) convolution.Run(x, [], y, scratch, Parallelism.None);
        long before = GC.GetAllocatedBytesForCurrentThread();
        convolution.Run(x, [], y, scratch, Parallelism.None);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ForeignWeightsAreRefused()
    {
        var shape = new ConvShape(1, 16, 8, 1, WindowAxis.Unit, Axis(8, 3), Axis(8, 3));
        SConvWeights weights = SConvWeights.Pack(shape, new float[16 * 8 * 9], CpuFeatures.None);
        Assert.That(() => SConvolution.Create(shape with { InChannels = 32 }, weights, SEpilogue.None(8)), Throws.ArgumentException);
        Assert.That(() => SConvolution.Create(shape, weights, SEpilogue.None(7)), Throws.ArgumentException);
        Assert.That(() => SConvWeights.Pack(shape, new float[5], CpuFeatures.None), Throws.ArgumentException);
    }
}
