using Microsoft.ML.OnnxRuntime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>ONNX Runtime as an oracle; telemetry is switched off before its library loads.</summary>
internal static class OnnxRuntimePeer
{
    static OnnxRuntimePeer() => Environment.SetEnvironmentVariable("ORT_DISABLE_TELEMETRY", "1");

    /// <summary>Runs a model on one thread.</summary>
    /// <param name="path">The model file.</param>
    /// <param name="inputs">Inputs by name: any type but bfloat16 and those that are stored only.</param>
    /// <param name="exact">Whether the mode is on in which integer products do not saturate at 16 bits.</param>
    public static IReadOnlyDictionary<string, Tensor> Run(string path, IReadOnlyDictionary<string, Tensor> inputs, bool exact = false)
    {
        using Microsoft.ML.OnnxRuntime.SessionOptions options = Options(exact);
        using var session = new Microsoft.ML.OnnxRuntime.InferenceSession(path, options);
        return Run(session, inputs);
    }

    /// <summary>Options of a session on one thread.</summary>
    public static Microsoft.ML.OnnxRuntime.SessionOptions Options(bool exact = false, int threads = 1)
    {
        var options = new Microsoft.ML.OnnxRuntime.SessionOptions { IntraOpNumThreads = threads, LogSeverityLevel = OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR };
        if (exact) options.AddSessionConfigEntry("session.x64quantprecision", "1");
        return options;
    }

    /// <summary>Runs an open session.</summary>
    public static IReadOnlyDictionary<string, Tensor> Run(Microsoft.ML.OnnxRuntime.InferenceSession session, IReadOnlyDictionary<string, Tensor> inputs)
    {
        Dictionary<string, OrtValue> values = inputs.ToDictionary(pair => pair.Key, pair => ToOrt(pair.Value));
        try
        {
            using var run = new RunOptions();
            using IDisposableReadOnlyCollection<OrtValue> results = session.Run(run, values, session.OutputNames);
            var outputs = new Dictionary<string, Tensor>();
            for (int i = 0; i < results.Count; i++) outputs.Add(session.OutputNames[i], FromOrt(results[i]));
            return outputs;
        }
        finally
        {
            foreach (OrtValue value in values.Values) value.Dispose();
        }
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
            DataType.Int8 => OrtValue.CreateTensorValueFromMemory(tensor.Span<sbyte>().ToArray(), shape),
            DataType.Float16 => OrtValue.CreateTensorValueFromMemory(System.Runtime.InteropServices.MemoryMarshal.Cast<Half, Float16>(tensor.Span<Half>()).ToArray(), shape),
            DataType.Bool => OrtValue.CreateTensorValueFromMemory(tensor.Span<bool>().ToArray(), shape),
            DataType.Float64 => OrtValue.CreateTensorValueFromMemory(tensor.Span<double>().ToArray(), shape),
            DataType.Int16 => OrtValue.CreateTensorValueFromMemory(tensor.Span<short>().ToArray(), shape),
            DataType.UInt16 => OrtValue.CreateTensorValueFromMemory(tensor.Span<ushort>().ToArray(), shape),
            DataType.UInt32 => OrtValue.CreateTensorValueFromMemory(tensor.Span<uint>().ToArray(), shape),
            DataType.UInt64 => OrtValue.CreateTensorValueFromMemory(tensor.Span<ulong>().ToArray(), shape),
            DataType.String => Texts(tensor, shape),
            _ => throw new NotSupportedException($"{tensor.Type.Name()} as an input of the oracle"),
        };
    }

    private static OrtValue Texts(Tensor tensor, long[] shape)
    {
        OrtValue value = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, shape);
        for (int i = 0; i < tensor.Length; i++) value.StringTensorSetElementAt(tensor.Strings[i].AsSpan(), i);
        return value;
    }

    private static Tensor FromOrt(OrtValue value)
    {
        OrtTensorTypeAndShapeInfo info = value.GetTensorTypeAndShape();
        int[] shape = [.. info.Shape.Select(extent => (int)extent)];
        return info.ElementDataType switch
        {
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float => Tensor.Create(value.GetTensorDataAsSpan<float>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int64 => Tensor.Create(value.GetTensorDataAsSpan<long>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int32 => Tensor.Create(value.GetTensorDataAsSpan<int>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.UInt8 => Tensor.Create(value.GetTensorDataAsSpan<byte>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int8 => Tensor.Create(value.GetTensorDataAsSpan<sbyte>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Float16 => Tensor.Create(System.Runtime.InteropServices.MemoryMarshal.Cast<Float16, Half>(value.GetTensorDataAsSpan<Float16>()).ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Bool => Tensor.Create(value.GetTensorDataAsSpan<bool>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Double => Tensor.Create(value.GetTensorDataAsSpan<double>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.Int16 => Tensor.Create(value.GetTensorDataAsSpan<short>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.UInt16 => Tensor.Create(value.GetTensorDataAsSpan<ushort>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.UInt32 => Tensor.Create(value.GetTensorDataAsSpan<uint>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.UInt64 => Tensor.Create(value.GetTensorDataAsSpan<ulong>().ToArray(), shape),
            Microsoft.ML.OnnxRuntime.Tensors.TensorElementType.String => new Tensor(value.GetStringTensorAsArray(), shape),
            _ => throw new NotSupportedException($"{info.ElementDataType} from the oracle"),
        };
    }
}
