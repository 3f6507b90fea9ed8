using System.Globalization;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Cli.Verify;

/// <summary>One kernel compared with its definition.</summary>
/// <param name="Name">The kernel.</param>
/// <param name="Isa">The CPU features that it requires.</param>
/// <param name="Cases">Products or convolutions compared.</param>
/// <param name="Mismatches">Those with at least one wrong element.</param>
/// <param name="FirstMismatch">The first of them in words, or null.</param>
internal sealed record KernelResult(string Name, string Isa, int Cases, int Mismatches, string? FirstMismatch);

/// <summary>Runs every kernel that this machine can run against the definitions, element by element.</summary>
/// <remarks>
/// Integers have one right answer: sums and requantized bytes must be equal, for random data and for the extremes of both types. Float sums may differ from the sum in double by
/// <c>2·ε·(K+1)·max|a|·max|b|</c>, ε = 2⁻²³.
/// </remarks>
internal static class KernelCheck
{
    private const double Epsilon = 1.0 / (1 << 23);

    /// <summary>Bytes and signed bytes that are most likely to overflow something.</summary>
    private static readonly (byte A, sbyte B)[] Extremes = [(255, sbyte.MinValue), (255, sbyte.MaxValue), (0, sbyte.MinValue), (128, -127)];

    /// <summary>Names of kernels that this machine cannot run, with what they need.</summary>
    public static IEnumerable<(string Name, string Needs)> Skipped(CpuFeatures cpu) => Table().Where(row => (row.Requires & ~Usable(cpu)) != 0).Select(row => (row.Name, row.Requires.ToString()));

    /// <summary>Checks every other kernel.</summary>
    /// <param name="cpu">Features that may be used.</param>
    /// <param name="threads">Threads of the products that are run on several.</param>
    /// <param name="progress">Receives kernels done and kernels in all.</param>
    /// <param name="cancellation">Ends it between two kernels.</param>
    public static IReadOnlyList<KernelResult> Run(CpuFeatures cpu, int threads, Action<int, int>? progress, CancellationToken cancellation)
    {
        (string Name, CpuFeatures Requires, Func<Parallelism, Tally> Check)[] rows = [.. Table().Where(row => (row.Requires & ~Usable(cpu)) == 0)];
        Parallelism parallel = threads > 1 ? new Parallelism(WorkerPool.Shared, threads) : Parallelism.None;
        var results = new List<KernelResult>();
        foreach ((string name, CpuFeatures requires, Func<Parallelism, Tally> check) in rows)
        {
            cancellation.ThrowIfCancellationRequested();
            Tally tally = check(parallel);
            results.Add(new KernelResult(name, requires.ToString(), tally.Cases, tally.Mismatches, tally.First));
            progress?.Invoke(results.Count, rows.Length);
        }
        return results;
    }

    private static CpuFeatures Usable(CpuFeatures cpu) => EmittedCode.Usable(cpu);

    private static IEnumerable<(string Name, CpuFeatures Requires, Func<Parallelism, Tally> Check)> Table()
    {
        foreach (QGemmKernel kernel in QGemmKernels.All) yield return (kernel.Name, kernel.Requires, parallel => Check(kernel, parallel));
        foreach (QDepthwiseKernel kernel in QDepthwiseKernels.All) yield return (kernel.Name, kernel.Requires, parallel => Check(kernel, parallel));
        foreach (QEpilogueKernel kernel in QEpilogueKernel.All) yield return (kernel.Name, kernel.Requires, _ => Check(kernel));
        foreach (QGemmKernel kernel in QGemmKernels.All) yield return ("conv-" + kernel.Name, kernel.Requires, parallel => CheckConvolution(kernel, parallel));
        foreach (QGemmKernel kernel in QGemmKernels.All.Where(kernel => kernel.Packing == QGemmPacking.Words))
        {
            CpuFeatures needed = kernel.Requires | QWinogradPlan.Requires;
            yield return ("winograd-2x2-" + kernel.Name, needed, parallel => CheckWinograd(QConvForm.Winograd2, kernel, parallel));
            yield return ("winograd-4x4-" + kernel.Name, needed, parallel => CheckWinograd(QConvForm.Winograd4, kernel, parallel));
        }
        foreach (SGemmKernel kernel in SGemmKernels.All) yield return (kernel.Name, kernel.Requires, parallel => Check(kernel, parallel));
        foreach ((string Name, CpuFeatures Requires, Func<Parallelism, Tally> Check) row in VectorKernelCheck.Table()) yield return row;
    }

    private static Tally Check(QGemmKernel kernel, Parallelism parallel)
    {
        var tally = new Tally();
        int[] rows = [1, 2, kernel.Mr - 1, kernel.Mr, kernel.Mr + 1, 3 * kernel.Mr + 2], columns = [1, kernel.Nr - 1, kernel.Nr, kernel.Nr + 1, 2 * kernel.Nr + 3], depths = [1, 3, 4, 7, 64, 131];
        foreach (int m in rows)
        {
            foreach (int n in columns)
            {
                foreach (int k in depths)
                {
                    var random = new Random(m * 73856093 ^ n * 19349663 ^ k);
                    var a = new byte[m * k];
                    var b = new sbyte[k * n];
                    random.NextBytes(a);
                    random.NextBytes(MemoryMarshal.AsBytes(b.AsSpan()));
                    Product(tally, kernel, a, b, m, n, k, random, parallel);
                }
            }
        }
        foreach ((byte a, sbyte b) in Extremes)
        {
            int m = kernel.Mr + 1, n = kernel.Nr + 1, k = 1030;
            var left = new byte[m * k];
            var right = new sbyte[k * n];
            Array.Fill(left, a);
            Array.Fill(right, b);
            Product(tally, kernel, left, right, m, n, k, new Random(k), parallel);
        }
        return tally;
    }

    /// <summary>One product, as int32 sums and as requantized bytes.</summary>
    private static void Product(Tally tally, QGemmKernel kernel, byte[] a, sbyte[] b, int m, int n, int k, Random random, Parallelism parallel)
    {
        int zeroPoint = random.Next(256);
        int[] bias = [.. Enumerable.Range(0, n).Select(_ => random.Next(-100_000, 100_000))];
        int[] expected = QGemmReference.Multiply([.. a.Select(value => (int)value)], zeroPoint, [.. b.Select(value => (int)value)], [], m, n, k);
        for (int i = 0; i < expected.Length; i++) expected[i] = unchecked(expected[i] + bias[i % n]);

        QGemmWeights weights = QGemmWeights.Pack(b, k, n, false, [], kernel);
        var scratch = new byte[QGemmDriver.ScratchBytes(m, weights, parallel.MaxWorkers)];
        var sums = new int[m * n];
        QGemmDriver.Run(a, k, m, weights, zeroPoint, QEpilogue.ToInt32(n, bias), default, MemoryMarshal.AsBytes(sums.AsSpan()), n, scratch, parallel);
        tally.Add(sums.AsSpan().SequenceEqual(expected), $"M {m}, N {n}, K {k}, int32");

        float[] multipliers = [.. Enumerable.Range(0, n).Select(_ => (0.5f + random.NextSingle()) / (64 * k))];
        QEpilogue epilogue = QEpilogue.ToUInt8(n, bias, multipliers, random.Next(256));
        var bytes = new byte[m * n];
        QGemmDriver.Run(a, k, m, weights, zeroPoint, epilogue, default, bytes, n, scratch, parallel);
        bool equal = true;
        for (int i = 0; i < bytes.Length; i++) equal &= bytes[i] == RequantizeReference.ToUInt8(epilogue, expected[i], i % n, 0);
        tally.Add(equal, $"M {m}, N {n}, K {k}, uint8");
    }

    private static Tally Check(QDepthwiseKernel kernel, Parallelism parallel)
    {
        var tally = new Tally();
        foreach (int channels in new[] { 2, kernel.Block - 1, kernel.Block, kernel.Block + 5, 3 * kernel.Block + 16 })
        {
            if (channels < 2) continue;   // one channel is an ordinary convolution
            foreach ((int size, int window, int stride, int pad) in new[] { (7, 3, 1, 1), (8, 3, 2, 1), (9, 5, 1, 2), (5, 1, 1, 0), (14, 3, 1, 1) })
            {
                WindowAxis axis = new(size, window, stride, 1, pad, pad, (size + 2 * pad - window) / stride + 1);
                var shape = new ConvShape(1, channels, channels, channels, WindowAxis.Unit, axis, axis);
                var random = new Random(channels * 31 + size * window);
                for (int round = 0; round <= Extremes.Length; round++)
                {
                    var x = new byte[size * size * channels];
                    var w = new sbyte[channels * window * window];
                    if (round == 0)
                    {
                        random.NextBytes(x);
                        random.NextBytes(MemoryMarshal.AsBytes(w.AsSpan()));
                    }
                    else
                    {
                        Array.Fill(x, Extremes[round - 1].A);
                        Array.Fill(w, Extremes[round - 1].B);
                    }
                    int zeroPoint = random.Next(256);
                    int[] expected = QConvReference.Convolve(shape, x, zeroPoint, w, []);
                    QConvWeights weights = QConvWeights.Pack(shape, w, [], new QConvMethod(QConvForm.Depthwise, null, kernel, ""));
                    string what = $"{channels} channels, {size} × {size}, window {window}, stride {stride}";

                    var sums = new int[expected.Length];
                    QConvolution toSums = QConvolution.Create(shape, weights, zeroPoint, QEpilogue.ToInt32(channels));
                    toSums.Run(x, default, MemoryMarshal.AsBytes(sums.AsSpan()), new byte[toSums.ScratchBytes(parallel.MaxWorkers)], parallel);
                    tally.Add(sums.AsSpan().SequenceEqual(expected), what + ", int32");

                    float[] multipliers = [.. Enumerable.Range(0, channels).Select(_ => (0.5f + random.NextSingle()) / (64 * window * window))];
                    QEpilogue epilogue = QEpilogue.ToUInt8(channels, [], multipliers, random.Next(256));
                    var bytes = new byte[expected.Length];
                    QConvolution toBytes = QConvolution.Create(shape, weights, zeroPoint, epilogue);
                    toBytes.Run(x, default, bytes, new byte[toBytes.ScratchBytes(parallel.MaxWorkers)], parallel);
                    bool equal = true;
                    for (int i = 0; i < bytes.Length; i++) equal &= bytes[i] == RequantizeReference.ToUInt8(epilogue, expected[i], i % channels, 0);
                    tally.Add(equal, what + ", uint8");
                }
            }
        }
        return tally;
    }

    /// <summary>Every form of epilogue on random and extreme accumulators.</summary>
    private static Tally Check(QEpilogueKernel kernel)
    {
        var tally = new Tally();
        foreach (int columns in new[] { 1, 7, 15, 16, 17, 33, 64 })
        {
            const int rows = 3;
            var random = new Random(columns);
            int[] acc = [.. Enumerable.Range(0, rows * columns).Select(i => i % 5 == 0 ? int.MinValue : i % 7 == 0 ? int.MaxValue : random.Next(-60_000, 60_000))];
            float[] multipliers = [.. Enumerable.Range(0, columns).Select(c => c % 3 == 0 ? 0.001953125f : (random.NextSingle() - 0.5f) / 200)];
            byte[] table = [.. Enumerable.Range(0, 256).Select(i => (byte)(i * 91 + 17))], addends = new byte[rows * columns];
            random.NextBytes(addends);
            QEpilogue[] epilogues =
            [
                QEpilogue.ToInt32(columns),
                QEpilogue.ToFloat32(columns, [], multipliers, -5f),
                QEpilogue.ToUInt8(columns, [], multipliers, 100),
                QEpilogue.ToUInt8(columns, [], multipliers, 10, 10, 200, table: table),
                QEpilogue.ToUInt8(columns, [], multipliers, 7, 3, 255, new QSum(0.5f, 131)),
                QEpilogue.ToUInt8(columns, [], multipliers, 7, 0, 255, new QSum(1.7f, 3, 0, new QIntermediate(0.25f, 90, 90))),
                QEpilogue.ToUInt8(columns, [], multipliers, 7, 0, 255, new QSum(1.7f, 3, 0, new QIntermediate(0.25f, 90, 0, 255, IsSecond: true), Shift: 128, OutputShift: 64)),
            ];
            foreach (QEpilogue epilogue in epilogues)
            {
                var y = new byte[rows * columns * epilogue.ElementBytes];
                kernel.Apply(epilogue, acc, rows, columns, 0, addends, y, columns);
                bool equal = true;
                for (int i = 0; i < acc.Length; i++)
                {
                    ReadOnlySpan<byte> at = y.AsSpan(i * epilogue.ElementBytes);
                    equal &= epilogue.Output switch
                    {
                        QOutput.Int32 => MemoryMarshal.Read<int>(at) == acc[i],
                        QOutput.Float32 => MemoryMarshal.Read<int>(at) == BitConverter.SingleToInt32Bits(RequantizeReference.ToFloat32(epilogue, acc[i], i % columns, 0f)),
                        _ => at[0] == RequantizeReference.ToUInt8(epilogue, acc[i], i % columns, addends[i]),
                    };
                }
                tally.Add(equal, $"{columns} columns, {epilogue.Output}{(epilogue.Sum is null ? "" : ", sum")}{(epilogue.Table.Length == 0 ? "" : ", table")}");
            }
        }
        return tally;
    }

    /// <summary>Every form in which a convolution reads its input.</summary>
    private static Tally CheckConvolution(QGemmKernel kernel, Parallelism parallel)
    {
        var tally = new Tally();
        foreach ((int channels, int outChannels, int groups, int size, int window, int stride, int dilation) in ((int, int, int, int, int, int, int)[])
            [(8, 5, 1, 6, 1, 1, 1), (8, 40, 1, 9, 1, 2, 1), (8, 17, 1, 7, 3, 1, 1), (5, 33, 1, 7, 3, 2, 1), (3, 20, 1, 12, 7, 2, 1), (8, 12, 2, 6, 3, 1, 1), (6, 9, 3, 6, 3, 1, 2)])
            Convolution(tally, Square(channels, outChannels, groups, size, window, stride, dilation), shape => QConvMethod.Select(shape, kernel), parallel);
        return tally;
    }

    private static Tally CheckWinograd(QConvForm form, QGemmKernel kernel, Parallelism parallel)
    {
        var tally = new Tally();
        foreach ((int channels, int outChannels, int size) in ((int, int, int)[])[(16, 5, 6), (17, 33, 7), (40, 16, 12), (64, 70, 3)])
            Convolution(tally, Square(channels, outChannels, 1, size, 3, 1, 1), _ => new QConvMethod(form, kernel, null, ""), parallel);
        return tally;
    }

    private static ConvShape Square(int channels, int outChannels, int groups, int size, int window, int stride, int dilation)
    {
        int span = (window - 1) * dilation + 1, pad = span / 2;
        WindowAxis axis = new(size, window, stride, dilation, pad, pad, (size + 2 * pad - span) / stride + 1);
        return new ConvShape(1, channels, outChannels, groups, WindowAxis.Unit, axis, axis);
    }

    /// <summary>Random data with and without weight zero points, and the extremes of both types.</summary>
    private static void Convolution(Tally tally, ConvShape shape, Func<ConvShape, QConvMethod> method, Parallelism parallel)
    {
        for (int round = 0; round <= Extremes.Length + 1; round++)
        {
            var random = new Random(round);
            var x = new byte[shape.InputPixels * shape.InChannels];
            var w = new sbyte[shape.OutChannels * shape.GroupInChannels * shape.Taps];
            int[] zeroPoints = round == 1 ? [.. Enumerable.Range(0, shape.OutChannels).Select(_ => random.Next(-128, 128))] : [];
            if (round < 2)
            {
                random.NextBytes(x);
                random.NextBytes(MemoryMarshal.AsBytes(w.AsSpan()));
            }
            else
            {
                Array.Fill(x, Extremes[round - 2].A);
                Array.Fill(w, Extremes[round - 2].B);
            }
            int zeroPoint = random.Next(256);
            QConvolution convolution = QConvolution.Create(shape, QConvWeights.Pack(shape, w, zeroPoints, method(shape)), zeroPoint, QEpilogue.ToInt32(shape.OutChannels));
            var sums = new int[shape.OutputPixels * shape.OutChannels];
            convolution.Run(x, default, MemoryMarshal.AsBytes(sums.AsSpan()), new byte[convolution.ScratchBytes(parallel.MaxWorkers)], parallel);
            tally.Add(sums.AsSpan().SequenceEqual(QConvReference.Convolve(shape, x, zeroPoint, w, zeroPoints)),
                $"{convolution.Method}, {shape.InChannels} to {shape.OutChannels} channels, {shape.H.Input} × {shape.W.Input}, window {shape.H.Kernel}, stride {shape.H.Stride}");
        }
    }

    private static Tally Check(SGemmKernel kernel, Parallelism parallel)
    {
        var tally = new Tally();
        foreach (int m in new[] { 1, 2, kernel.Mr, kernel.Mr + 1, 2 * kernel.Mr + 1 })
        {
            foreach (int n in new[] { 1, kernel.Lanes, kernel.Nr, kernel.Nr + 1, 2 * kernel.Nr + kernel.Lanes })
            {
                foreach (int k in new[] { 1, 2, 7, 64, 515 })
                {
                    var random = new Random(m * 73856093 ^ n * 19349663 ^ k);
                    float[] a = [.. Enumerable.Range(0, m * k).Select(_ => 2 * random.NextSingle() - 1)], b = [.. Enumerable.Range(0, k * n).Select(_ => 2 * random.NextSingle() - 1)];
                    double[] expected = SGemmReference.Multiply(a, b, m, n, k);
                    var y = new float[m * n];
                    SGemmDriver.Run(a, k, m, SGemmWeights.Pack(b, k, n, false, kernel), SEpilogue.None(n), [], y, n, [], parallel);
                    bool close = true;
                    for (int i = 0; i < y.Length; i++) close &= Math.Abs(y[i] - expected[i]) <= 2 * Epsilon * (k + 1);
                    tally.Add(close, string.Create(CultureInfo.InvariantCulture, $"M {m}, N {n}, K {k}"));
                }
            }
        }
        return tally;
    }
}
