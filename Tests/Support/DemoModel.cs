using Octet.Cli.Demo;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Support;

/// <summary>The project's own small network and its images: a real model that every checkout has.</summary>
internal static class DemoModel
{
    /// <summary>The float model.</summary>
    public static Model Load()
    {
        using Stream stream = typeof(ShapeImages).Assembly.GetManifestResourceStream("shapes.onnx") ?? throw new InvalidOperationException("octet has no shapes.onnx");
        return Model.Load(stream);
    }

    /// <summary>Images <paramref name="first"/>, <paramref name="first"/> + 1, … as one batch.</summary>
    public static Tensor Batch(int first, int count, ulong seed, int[]? labels = null)
    {
        var tensor = new Tensor(DataType.Float32, [count, ShapeImages.Channels, ShapeImages.Height, ShapeImages.Width]);
        for (int i = 0; i < count; i++)
        {
            int label = ShapeImages.Generate(first + i, seed, tensor.Span<float>().Slice(i * ShapeImages.Length, ShapeImages.Length));
            if (labels is not null) labels[i] = label;
        }
        return tensor;
    }

    /// <summary>Calibration samples.</summary>
    public static IEnumerable<IReadOnlyDictionary<string, Tensor>> Samples(int count, int batch = 1)
    {
        for (int i = 0; i < count; i += batch)
            yield return new Dictionary<string, Tensor> { ["image"] = Batch(i, Math.Min(batch, count - i), ShapeImages.TrainingSeed) };
    }
}
