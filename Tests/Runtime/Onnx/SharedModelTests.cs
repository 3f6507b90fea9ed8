using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>Import and export over every model of the shared data: load → save → load gives the same graph, and the stored tensors load with it.</summary>
[TestFixture]
internal sealed class SharedModelTests
{
    private static IEnumerable<TestCaseData> RealModels() => Models("models").Concat(Models("onnx-backend-tests/light"));

    private static IEnumerable<TestCaseData> Models(string folder)
    {
        string? root = TestData.Optional(folder);
        if (root is null) return [new TestCaseData(folder).SetArgDisplayNames(folder)];
        return Directory.EnumerateFiles(root, "*.onnx", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(path => Path.GetRelativePath(TestData.Root!, path)).Select(path => new TestCaseData(path).SetArgDisplayNames(path));
    }

    [TestCaseSource(nameof(RealModels))]
    public void RealModelSurvivesRoundTrip(string path) => Assert.That(RoundTripProblem(TestData.Require(path)), Is.Null);

    [Test]
    public void ConformanceModelsSurviveRoundTrip([Values("node", "simple", "pytorch-operator", "pytorch-converted")] string folder)
    {
        string root = TestData.Require(Path.Combine("onnx-backend-tests", folder));
        string[] models = Directory.GetFiles(root, "model.onnx", SearchOption.AllDirectories);
        Assert.That(models, Is.Not.Empty);
        Assert.That(models.Select(path => RoundTripProblem(path) is { } problem ? $"{path}: {problem}" : null).OfType<string>(), Is.Empty);
    }

    [Test]
    public void ConformanceTensorsLoadAndSurviveRoundTrip([Values("node", "simple", "pytorch-operator", "pytorch-converted")] string folder)
    {
        string root = TestData.Require(Path.Combine("onnx-backend-tests", folder));
        var problems = new List<string>();
        int files = 0;
        string copy = Path.Combine(Path.GetTempPath(), $"octet-{Guid.NewGuid():N}.pb");
        foreach (string path in Directory.EnumerateFiles(root, "model.onnx", SearchOption.AllDirectories))
        {
            Graph graph = Model.Load(path).Graph;
            foreach (string set in Directory.GetDirectories(Path.GetDirectoryName(path)!, "test_data_set_*"))
            {
                Check("input", graph.Inputs);
                Check("output", graph.Outputs);

                void Check(string kind, IReadOnlyList<Value> values)
                {
                    for (int i = 0; i < values.Count; i++)
                    {
                        string file = Path.Combine(set, $"{kind}_{i}.pb");
                        if (!File.Exists(file)) continue;
                        files++;
                        RuntimeValue? value = TensorFile.Load(file, values[i].Type, out string name);
                        DataType found = value switch { Tensor tensor => tensor.Type, TensorSequence sequence => sequence.ElementType, _ => values[i].Type.Element };
                        if (found != values[i].Type.Element) problems.Add($"{file}: {found} for {values[i]}");
                        TensorFile.Save(copy, value, name, values[i].Type.Container is Container.Optional or Container.OptionalSequence);
                        if (!Same(TensorFile.Load(copy, values[i].Type), value)) problems.Add($"{file}: differs after saving");
                    }
                }
            }
        }
        File.Delete(copy);
        Assert.That(files, Is.GreaterThan(0));
        Assert.That(problems, Is.Empty);
    }

    private static bool Same(RuntimeValue? a, RuntimeValue? b) => (a, b) switch
    {
        (null, null) => true,
        (Tensor x, Tensor y) => x.Type == y.Type && x.Shape.SequenceEqual(y.Shape)
            && (x.Type == DataType.String ? x.Strings.SequenceEqual(y.Strings) : x.Bytes.Span.SequenceEqual(y.Bytes.Span)),
        (TensorSequence x, TensorSequence y) => x.ElementType == y.ElementType && x.Items.Count == y.Items.Count && x.Items.Zip(y.Items).All(pair => Same(pair.First, pair.Second)),
        _ => false,
    };

    private static string? RoundTripProblem(string path)
    {
        Model first = Model.Load(path);
        using var file = new MemoryStream();
        first.Save(file);
        file.Position = 0;
        Model second = Model.Load(file);
        if (GraphPrinter.Print(first.Graph) != GraphPrinter.Print(second.Graph)) return "the printed graphs differ";
        foreach (Value constant in first.Graph.Values.Where(value => value.IsConstant))
        {
            if (!Same(constant.Constant, second.Graph.Find(constant.Name)?.Constant)) return $"constant '{constant.Name}' differs";
        }
        if (!first.Graph.Opsets.SequenceEqual(second.Graph.Opsets) && first.Graph.Opsets.Any()) return "operator sets differ";
        if (!first.Metadata.SequenceEqual(second.Metadata) || first.ProducerName != second.ProducerName || first.Description != second.Description) return "facts about the model differ";
        return null;
    }
}
