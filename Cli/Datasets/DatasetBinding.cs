using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Datasets;

/// <summary>A dataset's samples as one model takes them.</summary>
internal sealed class DatasetBinding
{
    private readonly Dataset _dataset;

    /// <summary>Fits <paramref name="dataset"/> to a model.</summary>
    /// <exception cref="DataException">The dataset names an input or output that the model has not, or leaves open which of several it is for.</exception>
    public DatasetBinding(Dataset dataset, IReadOnlyList<ValueInfo> inputs, IReadOnlyList<ValueInfo> outputs)
    {
        (_dataset, Inputs, Outputs) = (dataset, inputs, outputs);
        if (dataset.Source.HasImages) Image = Choose(dataset, "input", dataset.Input, inputs);
        if (dataset.Source.HasImages && inputs.Count > 1)
            throw new DataException($"{dataset}: an image feeds '{Image!.Name}' but the model has {inputs.Count} inputs: {Names(inputs)}; rule: every input is fed; use the kind npy or onnx-test-data");
        if (dataset.IsClassification) Scores = Choose(dataset, "output", dataset.Output, outputs);
    }

    /// <summary>The model's inputs.</summary>
    public IReadOnlyList<ValueInfo> Inputs { get; }

    /// <summary>The model's outputs.</summary>
    public IReadOnlyList<ValueInfo> Outputs { get; }

    /// <summary>The input that receives the image; null without images.</summary>
    public ValueInfo? Image { get; }

    /// <summary>The output with the class scores; null without labels.</summary>
    public ValueInfo? Scores { get; }

    /// <summary>Samples in all, after skip and take.</summary>
    public long Count => _dataset.Count;

    /// <summary>The samples; reading them again gives the same ones.</summary>
    /// <exception cref="DataException">A file is broken or does not fit the model.</exception>
    public IEnumerable<Sample> Samples()
    {
        long left = _dataset.Count;
        foreach (Sample sample in _dataset.Source.Read(this, _dataset.Skip))
        {
            yield return sample;
            if (--left == 0) yield break;
        }
    }

    /// <summary>The image as the tensor that <see cref="Image"/> takes.</summary>
    public Dictionary<string, Tensor> Feed(PixelImage image, string source) =>
        new(StringComparer.Ordinal) { [Image!.Name] = Fit(Image, _dataset.Preprocess.Apply(image, source), source) };

    /// <summary>
    /// <paramref name="tensor"/> in the element type of <paramref name="input"/>, and reshaped where only the rank differs: extents that the model leaves open become 1, but the last
    /// of them takes what is left.
    /// </summary>
    /// <exception cref="DataException">It does not fit.</exception>
    public static Tensor Fit(ValueInfo input, Tensor tensor, string source)
    {
        TensorType type = input.Type;
        if (type.Container != Container.None) throw new DataException($"{source}: input '{input.Name}' is {type}; rule: datasets feed plain tensors");
        if (type.Element != DataType.Undefined && type.Element != tensor.Type) tensor = Convert(tensor, type.Element, input, source);
        if (type.Shape is not { } shape) return tensor;
        if (shape.Length == tensor.Rank)
        {
            for (int axis = 0; axis < shape.Length; axis++)
            {
                if (shape[axis].IsKnown && !shape[axis].Is(tensor.Shape[axis])) throw Misfit("same extents");
            }
            return tensor;
        }

        var extents = new int[shape.Length];
        long known = 1;
        int open = -1;
        for (int axis = 0; axis < extents.Length; axis++)
        {
            if (shape[axis].IsKnown && shape[axis].Value > int.MaxValue) throw Misfit("the same number of elements");
            if (!shape[axis].IsKnown) open = axis;
            extents[axis] = shape[axis].IsKnown ? (int)shape[axis].Value : 1;
            known *= extents[axis];
            if (known > int.MaxValue) throw Misfit("the same number of elements");
        }
        if (open >= 0 && known > 0)
        {
            extents[open] = (int)(tensor.Length / known);
            known *= extents[open];
        }
        return known == tensor.Length ? tensor.Reshape(extents) : throw Misfit("the same number of elements");

        DataException Misfit(string rule) => new($"{source}: the sample is {tensor} but input '{input.Name}' is {type}; rule: {rule} (a sample has batch 1)");
    }

    private static Tensor Convert(Tensor tensor, DataType to, ValueInfo input, string source)
    {
        if (tensor.Type != DataType.Float32) throw Misfit("the same element type");
        ReadOnlySpan<float> values = tensor.Span<float>();
        switch (to)
        {
            case DataType.Float16:
                {
                    var halves = new Half[values.Length];
                    for (int i = 0; i < halves.Length; i++) halves[i] = (Half)values[i];
                    return Tensor.Create(halves, tensor.Shape);
                }
            case DataType.Float64:
                {
                    var doubles = new double[values.Length];
                    for (int i = 0; i < doubles.Length; i++) doubles[i] = values[i];
                    return Tensor.Create(doubles, tensor.Shape);
                }
            case DataType.UInt8:
                {
                    var bytes = new byte[values.Length];
                    for (int i = 0; i < bytes.Length; i++)
                    {
                        float rounded = MathF.Round(values[i], MidpointRounding.ToEven);
                        if (rounded is not (>= 0 and <= 255)) throw Misfit(string.Create(CultureInfo.InvariantCulture, $"values in 0 … 255 after preprocessing, not {values[i]}"));
                        bytes[i] = (byte)rounded;
                    }
                    return Tensor.Create(bytes, tensor.Shape);
                }
            default:
                throw Misfit("float32, or converted to float16, float64 or uint8");
        }

        DataException Misfit(string rule) => new($"{source}: the sample is {tensor} but input '{input.Name}' is {input.Type}; rule: {rule}");
    }

    private static ValueInfo Choose(Dataset dataset, string key, string? name, IReadOnlyList<ValueInfo> values)
    {
        if (name is null)
        {
            return values.Count == 1 ? values[0]
                : throw new DataException($"{dataset}: '{key}' is left out but the model has {values.Count} {key}s: {Names(values)}; rule: '{key}' names one where there are several");
        }
        return values.FirstOrDefault(value => value.Name == name)
            ?? throw new DataException($"{dataset}: '{key}' is '{name}' but the model has {Names(values)}; rule: '{key}' is one of the model's {key}s");
    }

    private static string Names(IReadOnlyList<ValueInfo> values) => string.Join(", ", values.Select(value => $"'{value.Name}' {value.Type}"));
}
