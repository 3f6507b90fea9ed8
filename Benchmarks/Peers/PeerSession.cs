using Microsoft.ML.OnnxRuntime;
using Octet.Runtime.Tensors;
using Tensor = Octet.Runtime.Tensors.Tensor;

namespace Octet.Benchmarks.Peers;

/// <summary>ONNX Runtime's CPU provider with its default options: all graph optimizations, spinning threads. Telemetry is switched off before its library loads.</summary>
internal sealed class PeerSession : IDisposable
{
    private readonly InferenceSession _session;
    private readonly RunOptions _run = new();
    private readonly string[] _inputNames;
    private readonly OrtValue[] _inputs;

    static PeerSession() => Environment.SetEnvironmentVariable("ORT_DISABLE_TELEMETRY", "1");

    /// <param name="path">The model.</param>
    /// <param name="inputs">Tensors in the order of the model's inputs.</param>
    /// <param name="inputNames">Their names.</param>
    /// <param name="threads">Intra-operator threads.</param>
    /// <param name="exact">Whether integer products must not saturate (<c>session.x64quantprecision</c>).</param>
    public PeerSession(string path, IReadOnlyList<Tensor> inputs, IReadOnlyList<string> inputNames, int threads, bool exact)
    {
        using var options = new SessionOptions { IntraOpNumThreads = threads, InterOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        if (exact) options.AddSessionConfigEntry("session.x64quantprecision", "1");
        _session = new InferenceSession(path, options);
        _inputNames = [.. inputNames];
        _inputs = [.. inputs.Select(ToOrt)];
    }

    /// <summary>A session on <see cref="RandomInput"/> of the shapes that the file declares; unknown extents are 1.</summary>
    public static PeerSession Open(string path, int threads) => new(path, threads);

    private PeerSession(string path, int threads)
    {
        using var options = new SessionOptions { IntraOpNumThreads = threads, InterOpNumThreads = 1, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        _session = new InferenceSession(path, options);
        _inputNames = [.. _session.InputNames];
        _inputs = [.. _inputNames.Select(name =>
        {
            NodeMetadata input = _session.InputMetadata[name];
            return ToOrt(RandomInput((DataType)(int)input.ElementDataType, [.. input.Dimensions.Select(extent => Math.Max(1, extent))]));
        })];
    }

    /// <summary>Random numbers that cost either runtime as little as they can: floats in [0, 1), integers below 16.</summary>
    public static Tensor RandomInput(DataType type, int[] shape)
    {
        var tensor = new Tensor(type, shape);
        var random = new Random(1);
        switch (type)
        {
            case DataType.Float32:
                foreach (ref float value in tensor.Span<float>()) value = random.NextSingle();
                break;
            case DataType.Int64:
                foreach (ref long value in tensor.Span<long>()) value = random.Next(16);
                break;
            case DataType.Int32:
                foreach (ref int value in tensor.Span<int>()) value = random.Next(16);
                break;
            default:
                random.NextBytes(tensor.Bytes.Span);
                break;
        }
        return tensor;
    }

    /// <summary>Runs once and throws the outputs away.</summary>
    public void Run()
    {
        using IDisposableReadOnlyCollection<OrtValue> results = _session.Run(_run, _inputNames, _inputs, _session.OutputNames);
    }

    /// <summary>Runs once and returns the first float output.</summary>
    public float[] RunFirstOutput()
    {
        using IDisposableReadOnlyCollection<OrtValue> results = _session.Run(_run, _inputNames, _inputs, _session.OutputNames);
        return results[0].GetTensorTypeAndShape().ElementDataType == Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float ? results[0].GetTensorDataAsSpan<float>().ToArray() : [];
    }

    public void Dispose()
    {
        foreach (OrtValue input in _inputs) input.Dispose();
        _run.Dispose();
        _session.Dispose();
    }

    private static OrtValue ToOrt(Tensor tensor)
    {
        long[] shape = [.. tensor.Shape.ToArray().Select(extent => (long)extent)];
        return tensor.Type switch
        {
            DataType.Float32 => OrtValue.CreateTensorValueFromMemory(tensor.Span<float>().ToArray(), shape),
            DataType.Int64 => OrtValue.CreateTensorValueFromMemory(tensor.Span<long>().ToArray(), shape),
            DataType.Int32 => OrtValue.CreateTensorValueFromMemory(tensor.Span<int>().ToArray(), shape),
            DataType.UInt8 => OrtValue.CreateTensorValueFromMemory(tensor.Span<byte>().ToArray(), shape),
            DataType.Float16 => OrtValue.CreateTensorValueFromMemory(System.Runtime.InteropServices.MemoryMarshal.Cast<Half, Float16>(tensor.Span<Half>()).ToArray(), shape),
            _ => throw new Runtime.DataException($"{tensor} cannot be given to the peer; rule: float32, float16, int64, int32 or uint8"),
        };
    }
}
