using Microsoft.ML.OnnxRuntime;
using Octet.Cli.Demo;

namespace Octet.Tests.Cli.Demo;

/// <summary>The model file of the demo, judged by ONNX Runtime.</summary>
[TestFixture]
internal sealed class DemoModelTests
{
    private const int Images = 500, Classes = 10, LargestFile = 1 << 20;
    private const double SmallestAccuracy = 0.95;

    [Test]
    public void NamesAtLeast95PercentOfUnseenImages([Values(1, 7)] int batch)
    {
        using InferenceSession session = new(Bytes());
        using RunOptions options = new();
        int correct = 0;
        for (int first = 0; first < Images; first += batch)
        {
            int count = Math.Min(batch, Images - first);
            float[] images = new float[count * ShapeImages.Length];
            int[] labels = [.. Enumerable.Range(0, count).Select(i => ShapeImages.Generate(first + i, ShapeImages.EvaluationSeed, images.AsSpan(i * ShapeImages.Length)))];
            using OrtValue input = OrtValue.CreateTensorValueFromMemory(images, [count, ShapeImages.Channels, ShapeImages.Height, ShapeImages.Width]);
            using IDisposableReadOnlyCollection<OrtValue> outputs = session.Run(options, ["image"], [input], ["logits"]);
            Assert.That(outputs[0].GetTensorTypeAndShape().Shape, Is.EqualTo(new long[] { count, Classes }));
            float[] logits = outputs[0].GetTensorDataAsSpan<float>().ToArray();
            for (int i = 0; i < count; i++)
            {
                float[] row = logits[(i * Classes)..((i + 1) * Classes)];
                if (Array.IndexOf(row, row.Max()) == labels[i]) correct++;
            }
        }

        Assert.That((double)correct / Images, Is.AtLeast(SmallestAccuracy));
    }

    [Test]
    public void IsAtMostOneMegabyte() => Assert.That(Bytes(), Has.Length.AtMost(LargestFile));

    private static byte[] Bytes()
    {
        using Stream resource = typeof(ShapeImages).Assembly.GetManifestResourceStream("shapes.onnx")!;
        using MemoryStream copy = new();
        resource.CopyTo(copy);
        return copy.ToArray();
    }
}
