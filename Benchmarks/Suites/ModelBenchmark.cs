using BenchmarkDotNet.Attributes;
using Octet.Benchmarks.Networks;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Suites;

/// <summary>Whole networks with fixed random weights, float and INT8, one thread. Allocations must be 0.</summary>
[MemoryDiagnoser]
public class ModelBenchmark
{
    private InferenceSession _session = null!;
    private Tensor[] _inputs = [], _outputs = [];

    /// <summary>The smaller networks of the zoo.</summary>
    public static IEnumerable<string> Networks => ["mobilenetv2", "squeezenet1.1", "resnet18"];

    /// <summary>Network of this run.</summary>
    [ParamsSource(nameof(Networks))]
    public string Network { get; set; } = "";

    /// <summary>Whether the network is quantized.</summary>
    [Params(false, true)]
    public bool Int8 { get; set; }

    /// <summary>Generates, quantizes, compiles.</summary>
    [GlobalSetup]
    public void Setup()
    {
        Model model = NetworkZoo.All[Network]();
        if (Int8) model = Quantizer.Quantize(model, SampleInputs.Samples(model, 1), new QuantizationOptions { Calibration = CalibrationMode.Naive, Type = ActivationType.UInt8 }).Model;
        _session = new InferenceSession(model, new SessionOptions { Threads = 1 });
        _inputs = SampleInputs.For(_session, 1);
        _outputs = _session.CreateOutputs(_inputs);
        Run();
    }

    /// <summary>One inference.</summary>
    [Benchmark]
    public void Run() => _session.Run(_inputs, _outputs);
}
