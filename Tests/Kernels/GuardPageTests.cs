using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Layout;
using Octet.Kernels.Normalize;
using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;
using Octet.Kernels.Reduce;
using Octet.Kernels.SConv;
using Octet.Kernels.SGemm;
using Octet.Kernels.Softmax;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels;

/// <summary>
/// Every caller-owned buffer between two pages that must not be touched, first against the page behind it, then against the one before it: one byte read or written too far ends the process.
/// Results must be the same in both places. (The integer products and convolutions are guarded in their own fixtures.)
/// </summary>
[TestFixtureSource(typeof(Widths), nameof(Widths.All))]
internal sealed class GuardPageTests(VectorWidth width)
{
    private CpuFeatures _cpu;

    [SetUp]
    public void SkipIfUnsupported() => _cpu = Widths.Require(width);

    private static readonly int[] Lengths = [1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 47, 63, 64, 65, 127, 1023];

    private static Span<T> As<T>(GuardedMemory memory) where T : unmanaged => MemoryMarshal.Cast<byte, T>(memory.Span);

    private static GuardedMemory Floats(int seed, int count, bool atEnd) => GuardedMemory.Of(MemoryMarshal.AsBytes(new Random(seed).Floats(count, 4f).AsSpan()), atEnd);

    private static GuardedMemory Bytes(int seed, int count, bool atEnd) => GuardedMemory.Of(new Random(seed).Bytes(count).AsSpan(), atEnd);

    private delegate void Body(bool atEnd, GuardedMemory y);

    /// <summary>Runs <paramref name="body"/> in both places with an output of <paramref name="bytes"/> bytes.</summary>
    private static void Check(int bytes, string what, Body body)
    {
        byte[]? first = null;
        foreach (bool atEnd in new[] { true, false })
        {
            using var y = new GuardedMemory(bytes, atEnd);
            y.Span.Fill(0xCC);
            body(atEnd, y);
            Assert.That(y.Span.SequenceEqual(first ??= y.Span.ToArray()), Is.True, what);
        }
    }

    [Test]
    public void Elementwise()
    {
        foreach (int length in Lengths)
        {
            foreach (UnaryOperation operation in Enum.GetValues<UnaryOperation>())
            {
                UnaryKernel kernel = UnaryKernel.Create(operation, width);
                Check(4 * length, $"{operation} {length}", (atEnd, y) =>
                {
                    using GuardedMemory x = Floats(1, length, atEnd);
                    kernel.Run(As<float>(x), As<float>(y), 0.3f, 0.7f);
                });
            }
            foreach (BinaryOperation operation in Enum.GetValues<BinaryOperation>())
            {
                BinaryKernel kernel = BinaryKernel.Create(operation, width);
                foreach ((int[] a, int[] b) in new[] { (new[] { 3, length }, new[] { 3, length }), ([3, length], [length]), ([3, 1], [3, length]), ([1], [3, length]) })
                {
                    BroadcastPlan plan = BroadcastPlan.Create([3, length], a, b);
                    Check(12 * length, $"{operation} {string.Join("x", a)} {string.Join("x", b)}", (atEnd, y) =>
                    {
                        using GuardedMemory left = Floats(1, a.Aggregate((p, q) => p * q), atEnd), right = Floats(2, b.Aggregate((p, q) => p * q), atEnd);
                        kernel.Run(plan, As<float>(left), As<float>(right), As<float>(y), Parallelism.None);
                    });
                }
            }
        }
    }

    [Test]
    public void QuantizedElementwiseAndConversions()
    {
        var constants = new QuantizedBinaryConstants(128, 3, 77, 0.7312f, 1.913f, 0, 255);
        byte[] table = new Random(9).Bytes(256);
        foreach (int length in Lengths)
        {
            Check(4 * length, $"dequantize {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Bytes(1, length, atEnd);
                QuantizeKernels.Dequantize<UInt8Type, byte>(x.Span, 0.3f, 7, As<float>(y), _cpu, Parallelism.None);
            });
            Check(4 * length, $"dequantize int8 {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Bytes(1, length, atEnd);
                QuantizeKernels.Dequantize<Int8Type, sbyte>(As<sbyte>(x), 0.3f, 7, As<float>(y), _cpu, Parallelism.None);
            });
            Check(length, $"quantize {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Floats(1, length, atEnd);
                QuantizeKernels.Quantize<UInt8Type, byte>(As<float>(x), 0.03f, 7, y.Span, _cpu, Parallelism.None);
            });
            Check(2 * length, $"quantize to 16 bits {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Floats(1, length, atEnd);
                QuantizeKernels.Quantize<Int16Type, short>(As<float>(x), 0.001f, 7, As<short>(y), _cpu, Parallelism.None);
            });
            Check(4 * length, $"sum of bytes {length}", (atEnd, y) =>
            {
                using GuardedMemory a = Bytes(1, length, atEnd), b = Bytes(2, length, atEnd);
                DequantizedSum.Run(a.Span, (0.3f, 7), b.Span, (0.2f, 9), As<float>(y), _cpu, Parallelism.None);
            });
            Check(length, $"table {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Bytes(1, length, atEnd), guarded = GuardedMemory.Of(table, atEnd);
                ByteTable.Run(x.Span, guarded.Span, y.Span, _cpu, Parallelism.None);
            });
            Check(length, $"flip sign {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Bytes(1, length, atEnd);
                QuantizeKernels.FlipSign(x.Span, y.Span);
            });
            Check(length, $"add {length}", (atEnd, y) =>
            {
                using GuardedMemory a = Bytes(1, length, atEnd), b = Bytes(2, length, atEnd);
                QuantizedElementwise.AddUInt8(BroadcastPlan.Same(length), a.Span, b.Span, y.Span, constants, _cpu, Parallelism.None);
            });
            Check(3 * length, $"multiply {length}", (atEnd, y) =>
            {
                using GuardedMemory a = Bytes(1, 3 * length, atEnd), b = Bytes(2, length, atEnd);
                QuantizedElementwise.MultiplyUInt8(BroadcastPlan.Create([3, length], [3, length], [length]), a.Span, b.Span, y.Span, constants, _cpu, Parallelism.None);
            });
        }
    }

    [Test]
    public void Pooling()
    {
        foreach (int channels in Lengths.Where(length => length < 70))
        {
            foreach ((int size, int window, int stride, int pad) in new[] { (6, 2, 2, 0), (7, 3, 2, 1), (5, 3, 1, 1), (4, 4, 1, 0) })
            {
                WindowAxis axis = new(size, window, stride, 1, pad, pad, (size + 2 * pad - window) / stride + 1);
                var shape = new PoolShape(2, channels, WindowAxis.Unit, axis, axis);
                int inputs = 2 * size * size * channels, outputs = 2 * axis.Output * axis.Output * channels;
                foreach (PoolOperation operation in Enum.GetValues<PoolOperation>())
                {
                    PoolKernel kernel = PoolKernel.Create(shape, operation, true, 3, _cpu);
                    Check(4 * outputs, $"{operation} {shape}", (atEnd, y) =>
                    {
                        using GuardedMemory x = Floats(1, inputs, atEnd);
                        using var scratch = new GuardedMemory((int)kernel.ScratchBytes(1), atEnd);
                        kernel.Run(As<float>(x), As<float>(y), scratch.Span, Parallelism.None);
                    });
                    if (operation == PoolOperation.Lp) continue;
                    Check(outputs, $"{operation} of bytes {shape}", (atEnd, y) =>
                    {
                        using GuardedMemory x = Bytes(1, inputs, atEnd);
                        using var scratch = new GuardedMemory((int)kernel.ScratchBytes(1), atEnd);
                        kernel.Run<UInt8Type, byte>(x.Span, y.Span, new QuantizedAverage(0.7f, 100, 20), scratch.Span, Parallelism.None);
                    });
                }
            }
        }
    }

    [Test]
    public void SoftmaxNormalizationAndReductions()
    {
        foreach (int length in Lengths)
        {
            foreach (int inner in new[] { 1, 3, 16 })
            {
                Check(8 * length * inner, $"softmax 2 x {length} x {inner}", (atEnd, y) =>
                {
                    using GuardedMemory x = Floats(1, 2 * length * inner, atEnd);
                    SoftmaxKernel.Run(As<float>(x), length, inner, false, As<float>(y), _cpu, Parallelism.None);
                });
            }
            Check(12 * length, $"normalize 3 x {length}", (atEnd, y) =>
            {
                using GuardedMemory x = Floats(1, 3 * length, atEnd), scale = Floats(2, length, atEnd), bias = Floats(3, length, atEnd);
                NormalizeKernels.Rows(As<float>(x), length, As<float>(scale), As<float>(bias), 1e-5f, true, As<float>(y), [], [], _cpu, Parallelism.None);
            });
            foreach (bool rows in new[] { true, false })
            {
                ReduceKernel kernel = ReduceKernel.Create(ReduceOperation.Sum, [3, length], [!rows, rows], _cpu);
                Check(4 * kernel.OutputLength, $"sum of 3 x {length}", (atEnd, y) =>
                {
                    using GuardedMemory x = Floats(1, 3 * length, atEnd);
                    kernel.Run(As<float>(x), As<float>(y), [], Parallelism.None);
                });
            }
            (float Min, float Max)? range = null;
            foreach (bool atEnd in new[] { true, false })
            {
                using GuardedMemory x = Floats(1, length, atEnd);
                (float Min, float Max) found = RangeKernels.MinMax(As<float>(x), _cpu);
                Assert.That(found, Is.EqualTo(range ??= found));
                Assert.That(RangeKernels.Extremes(As<float>(x), _cpu), Is.EqualTo(found));
                var bins = new long[9 + RangeKernels.ZeroCounts];
                RangeKernels.CountBins(As<float>(x), 1, -4, 4, bins, new int[RangeKernels.Stripes * bins.Length], _cpu);
                Assert.That(bins.Sum(), Is.EqualTo(length));
            }
        }
    }

    [Test]
    public void Transposes()
    {
        foreach (int rows in new[] { 1, 3, 4, 8, 9, 17 })
        {
            foreach (int columns in new[] { 1, 2, 4, 7, 8, 16, 33 })
            {
                foreach (int element in new[] { 1, 2, 4, 8 })
                {
                    TransposePlan plan = TransposePlan.Create([2, rows, columns], [0, 2, 1], element);
                    Check(2 * rows * columns * element, $"{rows} x {columns} of {element} bytes", (atEnd, y) =>
                    {
                        using GuardedMemory x = Bytes(1, 2 * rows * columns * element, atEnd);
                        plan.Run(x.Span, y.Span, Parallelism.None);
                    });
                }
            }
        }
    }

    [Test]
    public void FloatProducts()
    {
        SGemmKernel kernel = SGemmKernels.Select(64, 64, 64, _cpu);
        foreach (int m in new[] { 1, 2, kernel.Mr, kernel.Mr + 1 })
        {
            foreach (int n in new[] { 1, kernel.Lanes, kernel.Nr - 1, kernel.Nr, kernel.Nr + 3 })
            {
                foreach (int k in new[] { 1, 3, 16, 65 })
                {
                    SGemmWeights w = SGemmWeights.Pack(new Random(3).Floats(k * n), k, n, false, kernel);
                    int lda = k + m % 2, ldy = n + m % 3;
                    foreach (SEpilogue epilogue in new[] { SEpilogue.None(n), new SEpilogue(n, new Random(4).Floats(n), UnaryOperation.Relu, 0, 0, false, _cpu), new SEpilogue(n, [], UnaryOperation.Sigmoid, 0, 0, false, _cpu) })
                    {
                        foreach (bool addend in new[] { false, true })
                        {
                            Check(4 * ((m - 1) * ldy + n), $"{m} x {n} x {k}, {epilogue.Activation}, sum {addend}", (atEnd, y) =>
                            {
                                using GuardedMemory a = Floats(1, (m - 1) * lda + k, atEnd), sum = Floats(2, addend ? (m - 1) * n + n : 0, atEnd);
                                using var scratch = new GuardedMemory((int)SGemmDriver.ScratchBytes(m, w, 1), atEnd);
                                if (addend) SGemmDriver.Run(As<float>(a), lda, m, w, epilogue, As<float>(sum), As<float>(y), ldy, scratch.Span, Parallelism.None);
                                else SGemmDriver.Run(As<float>(a), lda, m, w, epilogue, [], As<float>(y), ldy, scratch.Span, Parallelism.None);
                            });
                        }
                    }
                }
            }
        }
    }

    private static WindowAxis Axis(int size, int window, int stride, int dilation, int pad) => new(size, window, stride, dilation, pad, pad, (size + 2 * pad - (window - 1) * dilation - 1) / stride + 1);

    private static readonly ConvShape[] Convolutions =
    [
        new(2, 24, 40, 1, WindowAxis.Unit, Axis(5, 1, 1, 1, 0), Axis(7, 1, 1, 1, 0)),
        new(1, 16, 35, 1, WindowAxis.Unit, Axis(6, 3, 1, 1, 1), Axis(9, 3, 1, 1, 1)),
        new(1, 17, 9, 1, WindowAxis.Unit, Axis(9, 3, 2, 1, 1), Axis(10, 3, 2, 1, 1)),
        new(1, 5, 9, 1, WindowAxis.Unit, Axis(9, 3, 1, 2, 2), Axis(9, 3, 1, 3, 3)),
        new(1, 24, 36, 3, WindowAxis.Unit, Axis(5, 3, 1, 1, 1), Axis(6, 3, 1, 1, 1)),
        new(1, 16, 19, 1, WindowAxis.Unit, WindowAxis.Unit, Axis(31, 5, 2, 1, 2)),
        new(1, 3, 33, 1, WindowAxis.Unit, Axis(20, 7, 2, 1, 3), Axis(30, 7, 2, 1, 3)),
        new(1, 1, 20, 1, WindowAxis.Unit, Axis(11, 5, 1, 1, 0), Axis(13, 5, 1, 1, 0)),
        new(2, 37, 37, 37, WindowAxis.Unit, Axis(7, 3, 1, 1, 1), Axis(13, 3, 1, 1, 1)),
        new(1, 33, 33, 33, WindowAxis.Unit, Axis(11, 5, 2, 1, 2), Axis(12, 5, 2, 1, 2)),
        new(1, 9, 18, 9, WindowAxis.Unit, Axis(5, 3, 1, 1, 1), Axis(6, 3, 1, 1, 1)),
        new(1, 5, 9, 1, Axis(4, 3, 1, 1, 1), Axis(5, 3, 2, 1, 1), Axis(6, 2, 1, 1, 0)),
    ];

    [TestCaseSource(nameof(Convolutions))]
    public void FloatConvolutions(ConvShape shape)
    {
        float[] w = new Random(3).Floats(shape.OutChannels * shape.GroupInChannels * shape.Taps);
        int inputs = shape.Batch * shape.InputPixels * shape.InChannels, pixels = shape.Batch * shape.OutputPixels, channels = shape.OutChannels;
        foreach (SConvMethod method in Enum.GetValues<SConvMethod>())
        {
            SConvWeights weights;
            try
            {
                weights = SConvWeights.Pack(shape, w, _cpu, method, "test");
            }
            catch (ArgumentException)
            {
                continue;   // the method does not take the shape; Pack's own choice below always does
            }
            foreach (int stride in new[] { channels, channels + 5 }) Run(SConvolution.Create(shape, weights, new SEpilogue(channels, new Random(4).Floats(channels), UnaryOperation.Relu, 0, 0, false, _cpu)), stride);
        }
        Run(SConvolution.Create(shape, SConvWeights.Pack(shape, w, _cpu), SEpilogue.None(channels)), channels);

        void Run(SConvolution convolution, int stride)
        {
            foreach (bool addend in new[] { false, true })
            {
                Check(4 * ((pixels - 1) * stride + channels), $"{convolution.Method}, stride {stride}, sum {addend}", (atEnd, y) =>
                {
                    using GuardedMemory x = Floats(1, inputs, atEnd), sum = Floats(2, addend ? pixels * channels : 0, atEnd);
                    using var scratch = new GuardedMemory((int)convolution.ScratchBytes(1), atEnd);
                    convolution.Run(As<float>(x), addend ? As<float>(sum) : [], As<float>(y), scratch.Span, Parallelism.None, stride == channels ? 0 : stride);
                });
            }
        }
    }
}
