using BenchmarkDotNet.Attributes;
using Octet.Kernels.Cpu;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Benchmarks.Suites;

/// <summary>Every float32 tile that this CPU can run, on products of real layers, one thread.</summary>
[MemoryDiagnoser]
public class SGemmBenchmark
{
    private SGemmWeights _weights = null!;
    private SEpilogue _epilogue = null!;
    private float[] _a = [], _y = [];

    /// <summary>Names of the table rows that this CPU can run.</summary>
    public static IEnumerable<string> Kernels => SGemmKernels.All.Where(kernel => (kernel.Requires & ~CpuInfo.Detected) == 0).Select(kernel => kernel.Name);

    /// <summary>The shapes.</summary>
    public static IEnumerable<GemmShape> Shapes => GemmShape.All;

    /// <summary>Shape of this run.</summary>
    [ParamsSource(nameof(Shapes))]
    public GemmShape Shape { get; set; } = GemmShape.All[0];

    /// <summary>Kernel of this run.</summary>
    [ParamsSource(nameof(Kernels))]
    public string Kernel { get; set; } = "";

    /// <summary>Packs once and checks the result: all operands are 1, so every element is K.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _a = new float[Shape.M * Shape.K];
        var b = new float[Shape.K * Shape.N];
        Array.Fill(_a, 1f);
        Array.Fill(b, 1f);
        _weights = SGemmWeights.Pack(b, Shape.K, Shape.N, transposed: false, SGemmKernels.All.First(kernel => kernel.Name == Kernel));
        _epilogue = SEpilogue.None(Shape.N);
        _y = new float[Shape.M * Shape.N];
        Multiply();
        if (_y.Any(value => value != Shape.K)) throw new InvalidOperationException($"{Kernel} is wrong: a sum of {Shape.K} ones is {_y.First(value => value != Shape.K)}");
    }

    /// <summary>One product.</summary>
    [Benchmark]
    public void Multiply() => SGemmDriver.Run(_a, Shape.K, Shape.M, _weights, _epilogue, [], _y, Shape.N, [], Parallelism.None);
}
