using Octet.Cli.CommandLine;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>Inputs for measuring and explaining a model without data.</summary>
internal static class SyntheticInputs
{
    private const int Seed = 20;

    /// <summary>One tensor per input: floats uniform in [0, 1) from a fixed seed, all other numbers zero, texts empty.</summary>
    /// <param name="inputs">The model's inputs.</param>
    /// <param name="shapes">Shapes by input name. An open first extent is 1 without it; any other open extent needs it.</param>
    /// <exception cref="UsageException">A shape is missing, fits no input, or does not fit its input.</exception>
    /// <exception cref="UnsupportedModelException">An input is no tensor.</exception>
    public static Tensor[] Create(IReadOnlyList<ValueInfo> inputs, IReadOnlyDictionary<string, int[]> shapes)
    {
        foreach (string name in shapes.Keys)
        {
            if (!inputs.Any(input => input.Name == name)) throw new UsageException($"--shape names '{name}' but the model has {string.Join(", ", inputs.Select(input => $"'{input.Name}' {input.Type}"))}; rule: names are those of the model's inputs");
        }
        var random = new Random(Seed);
        return [.. inputs.Select(input => Create(input, Shape(input, shapes.GetValueOrDefault(input.Name)), random))];
    }

    private static Tensor Create(ValueInfo input, int[] shape, Random random)
    {
        Tensor tensor = UsageException.Check(() => new Tensor(input.Type.Element, shape));
        switch (tensor.Type)
        {
            case DataType.Float32:
                foreach (ref float value in tensor.Span<float>()) value = random.NextSingle();
                break;
            case DataType.Float64:
                foreach (ref double value in tensor.Span<double>()) value = random.NextDouble();
                break;
            case DataType.Float16:
                foreach (ref Half value in tensor.Span<Half>()) value = (Half)random.NextSingle();
                break;
        }
        return tensor;
    }

    private static int[] Shape(ValueInfo input, int[]? given)
    {
        TensorType type = input.Type;
        if (type.Container != Container.None) throw new UnsupportedModelException($"input '{input.Name}' is {type}; what works: tensors");
        if (type.Shape is not { } shape) return given ?? throw Missing();
        if (given is not null && (given.Length != shape.Length || shape.Where((dim, axis) => dim.IsKnown && !dim.Is(given[axis])).Any()))
            throw new UsageException($"--shape {input.Name}={string.Join('x', given)} but the input is {type}; rule: same rank and known extents");
        if (given is not null) return given;
        for (int axis = 1; axis < shape.Length; axis++)
        {
            if (!shape[axis].IsKnown) throw Missing();
        }
        return (shape.Length > 0 && !shape[0].IsKnown ? type with { Shape = shape.SetItem(0, 1) } : type).ConcreteShape();

        UsageException Missing() => new($"input '{input.Name}' is {type}; rule: open extents after the first are given with --shape {input.Name}=…");
    }
}
