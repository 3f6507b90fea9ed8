using Octet.Cli.Demo;
using Octet.Quantization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Octet.Tests.Cli;
using Octet.Tests.Support;

namespace Octet.Tests.Readme;

/// <summary>The lines of README.md, compiled and run on the demo's model.</summary>
[TestFixture]
internal sealed class ReadmeTests
{
    [Test]
    public void TenLines()
    {
        using var folder = new TemporaryFolder();
        string modelPath = folder.DemoModel("model.onnx"), int8Path = folder["model.int8.onnx"];
        Tensor image = Image(0);
        IEnumerable<IReadOnlyDictionary<string, Tensor>> samples = Enumerable.Range(0, 8).Select(i => new Dictionary<string, Tensor> { ["image"] = Image(i) });

        Model model = Model.Load(modelPath);
        var session = new InferenceSession(model);
        Tensor scores = session.Run(new Dictionary<string, Tensor> { ["image"] = image })["logits"];

        QuantizationResult result = Quantizer.Quantize(model, samples);
        result.Model.Save(int8Path);

        var int8 = new InferenceSession(Model.Load(int8Path));
        Tensor[] inputs = [image], outputs = int8.CreateOutputs(inputs);
        int8.Run(inputs, outputs);

        Assert.That(scores.Shape.ToArray(), Is.EqualTo(new[] { 1, 10 }));
        Assert.That(outputs[0].Shape.ToArray(), Is.EqualTo(new[] { 1, 10 }));
        Assert.That(outputs[0].Span<float>().ToArray(), Is.Not.EqualTo(scores.Span<float>().ToArray()), "INT8 is not float");
        Assert.That(outputs[0].Span<float>().ToArray().All(float.IsFinite));
    }

    private static Tensor Image(int index)
    {
        var pixels = new float[ShapeImages.Length];
        ShapeImages.Generate(index, ShapeImages.TrainingSeed, pixels);
        return Tensor.Create(pixels, 1, ShapeImages.Channels, ShapeImages.Height, ShapeImages.Width);
    }

    /// <summary>Each statement of README's C# stands in this file, with the test's paths for the literal ones.</summary>
    [Test]
    public void ReadmeShowsTheLinesAbove()
    {
        string readme = File.ReadAllText(Path.Combine(TestData.Repository, "README.md"));
        string source = File.ReadAllText(Path.Combine(TestData.Repository, "Tests", "Readme", "ReadmeTests.cs"));
        int start = readme.IndexOf("```csharp", StringComparison.Ordinal), end = readme.IndexOf("```", start + 3, StringComparison.Ordinal);
        string[] lines = [.. readme[(start + 9)..end].Split('\n').Select(line => line.Split("//")[0].Trim()).Where(line => line.Length > 0)];
        Assert.That(lines, Has.Length.GreaterThan(10));
        foreach (string line in lines)
            Assert.That(source, Does.Contain(line.Replace("\"model.onnx\"", "modelPath").Replace("\"model.int8.onnx\"", "int8Path")));
    }
}
