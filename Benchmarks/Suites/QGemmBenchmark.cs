using BenchmarkDotNet.Attributes;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Benchmarks.Suites;

/// <summary>Every u8×s8 tile that this CPU can run, on products of real layers, one thread.</summary>
[MemoryDiagnoser]
public class QGemmBenchmark
{
    private QGemmWeights _weights = null!;
    private QEpilogue _epilogue = null!;
    private byte[] _a = [], _y = [], _scratch = [];

    /// <summary>Names of the table rows that this CPU can run.</summary>
    public static IEnumerable<string> Kernels => QGemmKernels.All.Where(kernel => (kernel.Requires & ~CpuInfo.Detected) == 0).Select(kernel => kernel.Name);

    /// <summary>The shapes.</summary>
    public static IEnumerable<GemmShape> Shapes => GemmShape.All;

    /// <summary>Shape of this run.</summary>
    [ParamsSource(nameof(Shapes))]
    public GemmShape Shape { get; set; } = GemmShape.All[0];

    /// <summary>Kernel of this run.</summary>
    [ParamsSource(nameof(Kernels))]
    public string Kernel { get; set; } = "";

    /// <summary>Packs once and checks the result against its definition.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var random = new Random(1);
        _a = new byte[Shape.M * Shape.K];
        random.NextBytes(_a);
        var b = new sbyte[Shape.K * Shape.N];
        random.NextBytes(System.Runtime.InteropServices.MemoryMarshal.AsBytes(b.AsSpan()));
        _weights = QGemmWeights.Pack(b, Shape.K, Shape.N, transposed: false, [], QGemmKernels.Find(Kernel));
        _epilogue = QEpilogue.ToInt32(Shape.N);
        _y = new byte[Shape.M * Shape.N * sizeof(int)];
        _scratch = new byte[QGemmDriver.ScratchBytes(Shape.M, _weights, 1)];
        Multiply();
        int expected = 0;
        for (int k = 0; k < Shape.K; k++) expected += _a[k] * b[k * Shape.N];
        int actual = BitConverter.ToInt32(_y, 0);
        if (actual != expected) throw new InvalidOperationException($"{Kernel} gives {actual}, the definition {expected}");
    }

    /// <summary>One product.</summary>
    [Benchmark]
    public void Multiply() => QGemmDriver.Run(_a, Shape.K, Shape.M, _weights, 0, _epilogue, [], _y, Shape.N, _scratch, Parallelism.None);
}
