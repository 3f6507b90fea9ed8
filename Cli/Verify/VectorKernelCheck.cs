using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Normalize;
using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;
using Octet.Kernels.Reduce;
using Octet.Kernels.Requantize;
using Octet.Kernels.SConv;
using Octet.Kernels.SGemm;
using Octet.Kernels.Softmax;
using Octet.Kernels.Threading;

namespace Octet.Cli.Verify;

/// <summary>The kernels that exist once per register width: element-wise, quantization, pooling, softmax, normalization, reductions, float convolution.</summary>
/// <remarks>
/// Element-wise functions and pooling return the same bits at every width, so the scalar width is their definition; bytes follow their formulas. Sums of n floats
/// may differ from the sum in double by <c>ε·(n+1)·max|x|</c>, a softmax element relatively by <c>ε·(6 + n + m − x)</c>, a normalized one by <c>8·ε·(n+4)</c>, and a
/// convolution of depth k by <c>2·ε·(k+1)·max|x|·max|w|</c>, in Winograd's form by <c>ε/2·(c+24)·c·A²·max|x|·max|w|</c>, ε = 2⁻²³.
/// </remarks>
internal static class VectorKernelCheck
{
    private const double Epsilon = 1.0 / (1 << 23);

    private const float Alpha = 0.3f, Beta = 0.7f;

    /// <summary>Lengths below, at and above whole vectors of every width, and one of many.</summary>
    private static readonly int[] Lengths = [1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 67, 1000];

    private static readonly (VectorWidth Width, CpuFeatures Requires, string Isa)[] Widths =
    [
        (VectorWidth.V512, CpuFeatures.Avx512, "avx512"), (VectorWidth.V256, CpuFeatures.Avx2, "avx2"), (VectorWidth.V128, CpuFeatures.Vector128, "sse41"), (VectorWidth.Scalar, CpuFeatures.None, "scalar"),
    ];

    /// <summary>A row per family and width.</summary>
    public static IEnumerable<(string Name, CpuFeatures Requires, Func<Parallelism, Tally> Check)> Table()
    {
        foreach ((VectorWidth width, CpuFeatures requires, string isa) in Widths)
        {
            CpuFeatures cpu = CpuInfo.Cap(CpuInfo.Detected, isa);
            string suffix = "-" + width.ToString().ToLowerInvariant();
            yield return ("f32-unary" + suffix, requires, _ => Unary(width));
            yield return ("f32-binary" + suffix, requires, _ => Binary(width));
            yield return ("f32-pool" + suffix, requires, parallel => Pool(cpu, parallel));
            yield return ("u8-pool" + suffix, requires, parallel => PoolBytes(cpu, parallel));
            yield return ("quantize" + suffix, requires, parallel => Quantize(cpu, parallel));
            yield return ("byte-table" + suffix, requires, parallel => Table(cpu, parallel));
            yield return ("u8-add-multiply" + suffix, requires, parallel => AddMultiply(cpu, parallel));
            yield return ("f32-softmax" + suffix, requires, parallel => Softmax(cpu, parallel));
            yield return ("f32-normalize" + suffix, requires, parallel => Normalize(cpu, parallel));
            yield return ("f32-reduce" + suffix, requires, parallel => Reduce(cpu, parallel));
            yield return ("f32-convolution" + suffix, requires, parallel => Convolution(cpu, parallel));
        }
    }

    private static float[] Floats(Random random, int count, float limit = 1f) => [.. Enumerable.Range(0, count).Select(_ => (2 * random.NextSingle() - 1) * limit)];

    private static byte[] Bytes(Random random, int count)
    {
        var bytes = new byte[count];
        random.NextBytes(bytes);
        return bytes;
    }

    private static bool SameBits(ReadOnlySpan<float> actual, ReadOnlySpan<float> expected)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            bool bothNaN = float.IsNaN(actual[i]) && float.IsNaN(expected[i]);
            if (!bothNaN && BitConverter.SingleToInt32Bits(actual[i]) != BitConverter.SingleToInt32Bits(expected[i])) return false;
        }
        return true;
    }

    private static Tally Unary(VectorWidth width)
    {
        var tally = new Tally();
        float[] special = [0f, -0f, 1f, -1f, 0.5f, 1.5f, 2.5f, float.Epsilon, 1e-30f, 88.7f, 104f, -104f, 1e10f, float.MaxValue, float.MinValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN];
        foreach (UnaryOperation operation in Enum.GetValues<UnaryOperation>())
        {
            UnaryKernel kernel = UnaryKernel.Create(operation, width), definition = UnaryKernel.Create(operation, VectorWidth.Scalar);
            foreach (int length in Lengths)
            {
                float[] x = Floats(new Random(length), length, 20f), y = new float[length], expected = new float[length];
                for (int i = 0; i < length; i += 2) x[i] = special[i / 2 % special.Length];
                kernel.Run(x, y, Alpha, Beta);
                definition.Run(x, expected, Alpha, Beta);
                tally.Add(SameBits(y, expected), $"{operation}, {length} elements");
            }
        }
        return tally;
    }

    private static Tally Binary(VectorWidth width)
    {
        var tally = new Tally();
        foreach (BinaryOperation operation in Enum.GetValues<BinaryOperation>())
        {
            BinaryKernel kernel = BinaryKernel.Create(operation, width), definition = BinaryKernel.Create(operation, VectorWidth.Scalar);
            foreach (int length in Lengths)
            {
                var random = new Random(length);
                float[] a = Floats(random, 2 * length, 9f), b = Floats(random, 2 * length, 9f), y = new float[2 * length], expected = new float[2 * length];
                a[0] = float.NaN;
                b[^1] = 0f;
                kernel.Run(a, b, y);
                definition.Run(a, b, expected);
                tally.Add(SameBits(y, expected), $"{operation}, {2 * length} elements");
                foreach (BroadcastPlan plan in (ReadOnlySpan<BroadcastPlan>)[BroadcastPlan.Create([2, length], [2, length], [length]), BroadcastPlan.Create([2, length], [2, 1], [2, length])])
                {
                    kernel.Run(plan, a, b, y, Parallelism.None);
                    definition.Run(plan, a, b, expected, Parallelism.None);
                    tally.Add(SameBits(y, expected), $"{operation}, 2 × {length} broadcast");
                }
            }
        }
        return tally;
    }

    private static IEnumerable<PoolShape> PoolShapes()
    {
        foreach (int channels in Lengths.Where(length => length < 100))
        {
            foreach ((int size, int window, int stride, int pad) in ((int, int, int, int)[])[(6, 2, 2, 0), (7, 3, 2, 1), (5, 3, 1, 1)])
            {
                WindowAxis axis = new(size, window, stride, 1, pad, pad, (size + 2 * pad - window) / stride + 1);
                yield return new PoolShape(1, channels, WindowAxis.Unit, axis, axis);
            }
        }
    }

    private static Tally Pool(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        foreach (PoolShape shape in PoolShapes())
        {
            foreach (PoolOperation operation in Enum.GetValues<PoolOperation>())
            {
                float[] x = Floats(new Random(shape.Channels), shape.InputPixels * shape.Channels), y = new float[shape.OutputPixels * shape.Channels], expected = new float[y.Length];
                PoolKernel kernel = PoolKernel.Create(shape, operation, true, 3, cpu), definition = PoolKernel.Create(shape, operation, true, 3, CpuFeatures.None);
                kernel.Run(x, y, new byte[kernel.ScratchBytes(parallel.MaxWorkers)], parallel);
                definition.Run(x, expected, new byte[definition.ScratchBytes(1)], Parallelism.None);
                tally.Add(SameBits(y, expected), $"{operation}, {shape.Channels} channels, window {shape.H.Kernel}");
            }
        }
        return tally;
    }

    private static Tally PoolBytes(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        var average = new QuantizedAverage(0.731f, 117, 9);
        foreach (PoolShape shape in PoolShapes())
        {
            foreach (PoolOperation operation in (ReadOnlySpan<PoolOperation>)[PoolOperation.Max, PoolOperation.Average])
            {
                byte[] x = Bytes(new Random(shape.Channels), shape.InputPixels * shape.Channels), y = new byte[shape.OutputPixels * shape.Channels], expected = new byte[y.Length];
                PoolKernel kernel = PoolKernel.Create(shape, operation, false, 1, cpu);
                kernel.Run<UInt8Type, byte>(x, y, average, new byte[kernel.ScratchBytes(parallel.MaxWorkers)], parallel);
                for (int i = 0; i < expected.Length; i++) expected[i] = Window(shape, x, i, operation, average);
                tally.Add(y.AsSpan().SequenceEqual(expected), $"{operation}, {shape.Channels} channels, window {shape.H.Kernel}");
            }
        }
        return tally;
    }

    /// <summary>One output byte by the formulas of <see cref="PoolOperation"/> and <see cref="QuantizedAverage"/>.</summary>
    private static byte Window(PoolShape s, byte[] x, int output, PoolOperation operation, in QuantizedAverage average)
    {
        int c = output % s.Channels, column = output / s.Channels % s.W.Output, row = output / s.Channels / s.W.Output, count = 0, sum = 0, max = 0;
        for (int kh = 0; kh < s.H.Kernel; kh++)
        {
            for (int kw = 0; kw < s.W.Kernel; kw++)
            {
                int h = row * s.H.Stride - s.H.PadBegin + kh, w = column * s.W.Stride - s.W.PadBegin + kw;
                if ((uint)h >= s.H.Input || (uint)w >= s.W.Input) continue;
                int value = x[(h * s.W.Input + w) * s.Channels + c];
                count++;
                sum += value - average.ZeroX;
                max = Math.Max(max, value);
            }
        }
        return operation == PoolOperation.Max ? (byte)max : (byte)Math.Clamp(MathF.Round(sum * (average.Ratio / count)) + average.ZeroY, 0, 255);
    }

    private static Tally Quantize(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        foreach ((float scale, int zeroPoint) in ((float, int)[])[(1f, 0), (0.037f, 128), (1e-30f, 3)])
        {
            foreach (int length in Lengths)
            {
                float[] x = Floats(new Random(length), length, 300 * scale), back = new float[length];
                for (int i = 0; i < length; i += 3) x[i] = i % 2 == 0 ? (i - length / 2) * 0.5f * scale : i % 5 == 0 ? float.NaN : float.PositiveInfinity;   // ties and values without a place
                byte[] q = new byte[length], expected = [.. x.Select(v => float.IsNaN(v) ? (byte)zeroPoint : (byte)Math.Clamp((double)MathF.Round(v / scale) + zeroPoint, 0, 255))];
                QuantizeKernels.Quantize<UInt8Type, byte>(x, scale, zeroPoint, q, cpu, parallel);
                tally.Add(q.AsSpan().SequenceEqual(expected), string.Create(CultureInfo.InvariantCulture, $"quantize {length} elements, scale {scale}"));
                QuantizeKernels.Dequantize<UInt8Type, byte>(q, scale, zeroPoint, back, cpu, parallel);
                tally.Add(SameBits(back, [.. q.Select(v => (v - zeroPoint) * scale)]), string.Create(CultureInfo.InvariantCulture, $"dequantize {length} elements, scale {scale}"));
            }
        }
        return tally;
    }

    private static Tally Table(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        byte[] table = Bytes(new Random(1), 256);
        foreach (int length in Lengths)
        {
            byte[] x = Bytes(new Random(length), length), y = new byte[length];
            ByteTable.Run(x, table, y, cpu, parallel);
            tally.Add(y.AsSpan().SequenceEqual([.. x.Select(v => table[v])]), $"{length} elements");
        }
        return tally;
    }

    private static Tally AddMultiply(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        byte[] a = [.. Enumerable.Range(0, 65536).Select(i => (byte)(i >> 8))], b = [.. Enumerable.Range(0, 65536).Select(i => (byte)i)], sum = new byte[65536], product = new byte[65536];
        BroadcastPlan plan = BroadcastPlan.Same(65536);
        foreach (QuantizedBinaryConstants k in (QuantizedBinaryConstants[])[new(0, 0, 0, 1f, 1f, 0, 255), new(128, 3, 77, 0.7312f, 1.913f, 0, 255), new(255, 0, 255, 0.5f, 0.5f, 10, 200), new(0, 255, 0, 123.4f, 1e-4f, 0, 255)])
        {
            QuantizedElementwise.AddUInt8(plan, a, b, sum, k, cpu, parallel);
            QuantizedElementwise.MultiplyUInt8(plan, a, b, product, k, cpu, parallel);
            float constant = RequantizeReference.SumConstant(k.MultiplierA, k.ZeroA, k.MultiplierB, k.ZeroB, k.ZeroY);
            bool sums = true, products = true;
            for (int i = 0; i < 65536; i++)
            {
                sums &= sum[i] == (byte)RequantizeReference.Quantize(RequantizeReference.Sum(a[i], k.MultiplierA, b[i], k.MultiplierB, constant), 0, k.Low, k.High);
                products &= product[i] == Finish((a[i] - k.ZeroA) * (b[i] - k.ZeroB) * k.MultiplierA, k);
            }
            tally.Add(sums, $"every pair of bytes added, {k}");
            tally.Add(products, $"every pair of bytes multiplied, {k}");
        }
        return tally;
    }

    private static byte Finish(float r, in QuantizedBinaryConstants k) => (byte)Math.Clamp((double)MathF.Round(r) + k.ZeroY, k.Low, k.High);

    private static Tally Softmax(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        foreach ((int outer, int axis, int inner) in ((int, int, int)[])[(1, 1, 1), (3, 7, 1), (5, 16, 1), (2, 1000, 1), (2, 9, 5), (3, 21, 40)])
        {
            float[] x = Floats(new Random(axis), outer * axis * inner, 40f), y = new float[x.Length];
            SoftmaxKernel.Run(x, axis, inner, false, y, cpu, parallel);
            bool close = true;
            for (int i = 0; i < x.Length; i++)
            {
                int first = i / (axis * inner) * axis * inner + i % inner;
                double max = double.NegativeInfinity, sum = 0;
                for (int r = 0; r < axis; r++) max = Math.Max(max, x[first + r * inner]);
                for (int r = 0; r < axis; r++) sum += Math.Exp(x[first + r * inner] - max);
                double exact = Math.Exp(x[i] - max) / sum;
                close &= Math.Abs(y[i] - exact) <= Epsilon * (6 + axis + (max - x[i])) * exact + float.Epsilon;
            }
            tally.Add(close, $"{outer} × {axis} × {inner}");
        }
        return tally;
    }

    private static Tally Normalize(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        const float epsilon = 1e-5f;
        foreach (int n in Lengths)
        {
            const int rows = 3;
            var random = new Random(n);
            float[] x = [.. Floats(random, rows * n, 3f).Select(v => v + 1)], scale = Floats(random, n), bias = Floats(random, n), y = new float[x.Length];
            NormalizeKernels.Rows(x, n, scale, bias, epsilon, true, y, [], [], cpu, parallel);
            bool close = true;
            for (int r = 0; r < rows; r++)
            {
                double mean = 0, variance = 0;
                for (int i = 0; i < n; i++) mean += x[r * n + i] / (double)n;
                for (int i = 0; i < n; i++) variance += (x[r * n + i] - mean) * (x[r * n + i] - mean) / n;
                for (int i = 0; i < n; i++) close &= Math.Abs(y[r * n + i] - ((x[r * n + i] - mean) / Math.Sqrt(variance + epsilon) * scale[i] + bias[i])) <= 8 * Epsilon * (n + 4);
            }
            tally.Add(close, $"rows of {n}");
        }
        return tally;
    }

    private static Tally Reduce(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        foreach (int length in Lengths)
        {
            float[] x = Floats(new Random(length), 3 * length), y = new float[Math.Max(3, length)];
            ReduceKernel rows = ReduceKernel.Create(ReduceOperation.Sum, [3, length], [false, true], cpu), columns = ReduceKernel.Create(ReduceOperation.Max, [3, length], [true, false], cpu);
            rows.Run(x, y, [], parallel);
            bool close = true;
            for (int r = 0; r < 3; r++) close &= Math.Abs(y[r] - x.AsSpan(r * length, length).ToArray().Sum(v => (double)v)) <= Epsilon * (length + 1);
            tally.Add(close, $"sums of {length}");
            columns.Run(x, y, [], parallel);
            bool equal = true;
            for (int c = 0; c < length; c++) equal &= y[c] == Math.Max(x[c], Math.Max(x[length + c], x[2 * length + c]));
            tally.Add(equal, $"maxima of 3 rows of {length}");
        }
        return tally;
    }

    private static Tally Convolution(CpuFeatures cpu, Parallelism parallel)
    {
        var tally = new Tally();
        foreach ((int channels, int outChannels, int groups, int size, int window, int stride) in ((int, int, int, int, int, int)[])
            [(24, 40, 1, 6, 1, 1), (16, 35, 1, 7, 3, 1), (17, 33, 1, 9, 3, 2), (3, 20, 1, 12, 7, 2), (24, 36, 3, 6, 3, 1), (37, 37, 37, 8, 3, 1), (32, 32, 32, 9, 5, 2), (9, 18, 9, 6, 3, 1)])
        {
            int pad = window / 2;
            WindowAxis axis = new(size, window, stride, 1, pad, pad, (size + 2 * pad - window) / stride + 1);
            var shape = new ConvShape(1, channels, outChannels, groups, WindowAxis.Unit, axis, axis);
            var random = new Random(channels);
            float[] x = Floats(random, shape.InputPixels * channels), w = Floats(random, outChannels * shape.GroupInChannels * shape.Taps), y = new float[shape.OutputPixels * outChannels];
            double[] expected = SConvReference.Convolve(shape, x, w);
            Compare(SConvWeights.Pack(shape, w, cpu), 2 * Epsilon * (shape.GroupInChannels * shape.Taps + 1));
            if (window != 3 || stride != 1 || groups != 1) continue;
            // A of docs/numerics.md is 8 for F(2×2) and 22.3 for F(4×4).
            Compare(SConvWeights.Pack(shape, w, cpu, SConvMethod.WinogradTwo, "verified"), Epsilon / 2 * (channels + 24) * channels * 8 * 8);
            Compare(SConvWeights.Pack(shape, w, cpu, SConvMethod.WinogradFour, "verified"), Epsilon / 2 * (channels + 24) * channels * 22.3 * 22.3);

            void Compare(SConvWeights weights, double bound)
            {
                SConvolution convolution = SConvolution.Create(shape, weights, SEpilogue.None(outChannels));
                convolution.Run(x, [], y, new byte[convolution.ScratchBytes(parallel.MaxWorkers)], parallel);
                bool close = true;
                for (int i = 0; i < y.Length; i++) close &= Math.Abs(y[i] - expected[i]) <= bound;
                tally.Add(close, $"{convolution.Method}, {channels} to {outChannels} channels, window {window}, stride {stride}");
            }
        }
        return tally;
    }
}
