using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Networks;

/// <summary>Deterministic inputs for a model whose data is not at hand.</summary>
internal static class SampleInputs
{
    /// <summary>One tensor per input; unknown extents become 1, floats are normal, integers small and not negative.</summary>
    /// <param name="session">Whose inputs.</param>
    /// <param name="seed">Seed of the numbers.</param>
    /// <param name="shapes">Extents of inputs by name, where they are not these.</param>
    /// <param name="numbers">A number that fills an input, by name.</param>
    public static Tensor[] For(InferenceSession session, int seed, IReadOnlyDictionary<string, int[]>? shapes = null, IReadOnlyDictionary<string, long>? numbers = null)
    {
        var random = new Random(seed);
        foreach (string name in (shapes?.Keys ?? []).Concat(numbers?.Keys ?? []))
        {
            if (session.Inputs.All(input => input.Name != name)) throw new DataException($"there is no input '{name}'; rule: inputs are {string.Join(", ", session.Inputs.Select(input => $"'{input.Name}'"))}");
        }
        return [.. session.Inputs.Select(input => Make(input, random, shapes?.GetValueOrDefault(input.Name), numbers is not null && numbers.TryGetValue(input.Name, out long number) ? number : null))];
    }

    /// <summary>The inputs stored in a folder as <c>input_N.pb</c>.</summary>
    public static Tensor[] Stored(InferenceSession session, string folder) =>
        [.. session.Inputs.Select((input, i) => TensorFile.Load(Path.Combine(folder, $"input_{i}.pb"), input.Type) as Tensor ?? throw new DataException($"'{input.Name}' is no tensor; rule: benchmarks feed tensors"))];

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

    private static Tensor Make(ValueInfo input, Random random, int[]? given = null, long? number = null)
    {
        if (input.Type.Shape is not { } dims) throw new DataException($"input '{input.Name}' has unknown rank; rule: benchmarks need a rank");
        int[] shape = given ?? [.. dims.Select(dim => dim.IsKnown ? (int)dim.Value : 1)];
        var tensor = new Tensor(input.Type.Element, shape);
        switch (input.Type.Element)
        {
            case DataType.Int64 when number is { } value64:
                tensor.Span<long>().Fill(value64);
                break;
            case DataType.Int32 when number is { } value32:
                tensor.Span<int>().Fill((int)value32);
                break;
            case DataType.Float16:
                foreach (ref Half value in tensor.Span<Half>()) value = (Half)(random.NextDouble() * 4 - 2);
                break;
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
