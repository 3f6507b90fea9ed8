using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Networks;

/// <summary>Deterministic inputs for a model whose data is not at hand.</summary>
internal static class SampleInputs
{
    /// <summary>One tensor per input; unknown extents become 1, floats are normal, integers small and not negative.</summary>
    public static Tensor[] For(InferenceSession session, int seed)
    {
        var random = new Random(seed);
        return [.. session.Inputs.Select(input => Make(input, random))];
    }

    /// <summary>Named samples for calibration.</summary>
    public static IEnumerable<IReadOnlyDictionary<string, Tensor>> Samples(Model model, int count)
    {
        var session = new InferenceSession(model);
        for (int i = 0; i < count; i++)
        {
            Tensor[] tensors = For(session, 1000 + i);
            yield return session.Inputs.Zip(tensors).ToDictionary(pair => pair.First.Name, pair => pair.Second);
        }
    }

    private static Tensor Make(ValueInfo input, Random random)
    {
        if (input.Type.Shape is not { } dims) throw new DataException($"input '{input.Name}' has unknown rank; rule: benchmarks need a rank");
        int[] shape = [.. dims.Select(dim => dim.IsKnown ? (int)dim.Value : 1)];
        var tensor = new Tensor(input.Type.Element, shape);
        switch (input.Type.Element)
        {
            case DataType.Float32:
                foreach (ref float value in tensor.Span<float>())
                    value = (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
                break;
            case DataType.UInt8:
                random.NextBytes(tensor.Span<byte>());
                break;
            case DataType.Int64:
                foreach (ref long value in tensor.Span<long>()) value = random.Next(16);
                break;
            case DataType.Int32:
                foreach (ref int value in tensor.Span<int>()) value = random.Next(16);
                break;
        }
        return tensor;
    }
}
