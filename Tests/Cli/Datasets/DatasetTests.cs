using Octet.Cli.Datasets;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Cli.Datasets;

/// <summary>The dataset format as docs/dataset-format.md fixes it.</summary>
[TestFixture]
internal sealed class DatasetTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void DeleteFolder() => _folder.Dispose();

    [Test]
    public void CifarRecordsBecomePlanes([Values] bool compressed, [Values("RGB", "BGR")] string colors)
    {
        byte[] records = TemporaryFolder.CifarRecords(3);
        if (compressed) _folder.WriteGzip("data.bin.gz", records);
        else _folder.Write("data.bin", records);
        string path = Write($$"""{ "kind": "cifar", "path": "data.bin{{(compressed ? ".gz" : "")}}" }""", $$"""{ "colors": "{{colors}}", "scale": 2, "mean": [1, 2, 3], "std": [4, 8, 16], "layout": "NCHW" }""");
        DatasetBinding binding = Bind(path, [-1, 3, 32, 32]);
        Sample[] samples = [.. binding.Samples()];
        Assert.That(binding.Count, Is.EqualTo(3));
        Assert.That(samples.Select(sample => sample.Label), Is.EqualTo(new int?[] { 0, 1, 2 }));
        float[] mean = [1, 2, 3], std = [4, 8, 16];
        for (int i = 0; i < 3; i++)
        {
            Tensor tensor = samples[i].Inputs["x"];
            Assert.That(tensor.Shape.ToArray(), Is.EqualTo(new[] { 1, 3, 32, 32 }));
            var expected = new float[3072];
            for (int c = 0; c < 3; c++)
            {
                int plane = colors == "RGB" ? c : 2 - c;
                for (int p = 0; p < 1024; p++) expected[c * 1024 + p] = (records[i * 3073 + 1 + plane * 1024 + p] * 2f - mean[c]) / std[c];
            }
            Assert.That(tensor.Span<float>().ToArray(), Is.EqualTo(expected));
        }
        Assert.That(binding.Samples().Select(sample => sample.Inputs["x"].Span<float>()[7]), Is.EqualTo(samples.Select(sample => sample.Inputs["x"].Span<float>()[7])), "read again");
    }

    [Test]
    public void IdxImagesAreGrayAndTakeTheModelsRank([Values("NCHW", "NHWC")] string layout)
    {
        byte[] pixels = [.. Enumerable.Range(0, 4 * 6).Select(i => (byte)(i * 10))];
        _folder.WriteGzip("images.gz", TemporaryFolder.Idx(0x803, [4, 2, 3], pixels));
        _folder.Write("labels", TemporaryFolder.Idx(0x801, [4], [3, 1, 4, 1]));
        string path = Write("""{ "kind": "idx", "images": "images.gz", "labels": "labels" }""", $$"""{ "scale": 0.5, "layout": "{{layout}}" }""", """{ "skip": 1, "take": 2 }""");
        Sample[] samples = [.. Bind(path, [-1, 6]).Samples()];
        Assert.That(samples.Select(sample => sample.Label), Is.EqualTo(new int?[] { 1, 4 }));
        Assert.That(samples[1].Inputs["x"].Shape.ToArray(), Is.EqualTo(new[] { 1, 6 }));
        Assert.That(samples[1].Inputs["x"].Span<float>().ToArray(), Is.EqualTo(pixels[12..18].Select(pixel => pixel * 0.5f)));
        int[] shape = layout == "NCHW" ? [1, 1, 2, 3] : [1, 2, 3, 1];
        Assert.That(Bind(path, shape).Samples().First().Inputs["x"].Shape.ToArray(), Is.EqualTo(shape));
    }

    [Test]
    public void ImagesComeInTheOrderOfTheLabels()
    {
        Directory.CreateDirectory(_folder["images"]);
        File.WriteAllBytes(_folder["images/a.png"], TemporaryFolder.Png(2, 1, [10, 20, 30, 40, 50, 60]));
        File.WriteAllBytes(_folder["images/b.png"], TemporaryFolder.Png(2, 1, [70, 80, 90, 100, 110, 120]));
        _folder.Write("labels.txt", "7 b.png\n\n2 a.png\n");
        string path = Write("""{ "kind": "images", "path": "images", "labels": "labels.txt" }""", """{ "colors": "BGR", "layout": "NHWC" }""");
        Sample[] samples = [.. Bind(path, [1, 1, 2, 3]).Samples()];
        Assert.That(samples.Select(sample => sample.Label), Is.EqualTo(new int?[] { 7, 2 }));
        Assert.That(samples[0].Inputs["x"].Span<float>().ToArray(), Is.EqualTo(new float[] { 90, 80, 70, 120, 110, 100 }));
        Assert.That(samples[1].Inputs["x"].Span<float>().ToArray(), Is.EqualTo(new float[] { 30, 20, 10, 60, 50, 40 }));
    }

    [Test]
    public void ImagesAreResizedByTheShorterSideAndCroppedInTheMiddle()
    {
        // Horizontal ramp 0, 10, … 70 in two rows, shorter side 2 → 1: every pixel of the result is the mean of two columns (and the filter's neighbours, symmetric on a ramp).
        byte[] rgb = [.. Enumerable.Range(0, 2 * 8).SelectMany(i => Enumerable.Repeat((byte)(i % 8 * 10), 3))];
        PixelImage image = new(2, 8, 3, rgb);
        PixelImage resized = image.ResizeShorter(1);
        Assert.That((resized.Height, resized.Width), Is.EqualTo((1, 4)));
        Assert.That(resized.Pixels.Where((_, i) => i % 3 == 0).Skip(1).Take(2), Is.EqualTo(new byte[] { 25, 45 }));
        PixelImage cropped = resized.CenterCrop(1);
        Assert.That(cropped.Pixels[0], Is.EqualTo(25), "the margin of 3 is smaller at the left");
        Assert.That(image.ResizeShorter(2), Is.SameAs(image));
        Assert.That(new PixelImage(1, 1, 3, [255, 0, 0]).ToGray().Pixels[0], Is.EqualTo(76));
        Assert.That(new PixelImage(1, 1, 3, [9, 9, 9]).ResizeShorter(4).Pixels, Is.All.EqualTo(9), "a constant image stays constant");
    }

    [Test]
    public void ArraysAreCutAlongTheFirstAxis()
    {
        NpyFile.Save(_folder["x.npy"], Tensor.Create([.. Enumerable.Range(0, 12).Select(i => (float)i)], 3, 4));
        NpyFile.Save(_folder["labels.npy"], Tensor.Create(new long[] { 5, 6, 7 }, 3));
        string path = Write("""{ "kind": "npy", "inputs": { "x": "x.npy" }, "labels": "labels.npy" }""");
        Sample[] samples = [.. Bind(path, [1, 2, 2]).Samples()];
        Assert.That(samples.Select(sample => sample.Label), Is.EqualTo(new int?[] { 5, 6, 7 }));
        Assert.That(samples[2].Inputs["x"].Span<float>().ToArray(), Is.EqualTo(new float[] { 8, 9, 10, 11 }));
        Assert.That(samples[2].Inputs["x"].Shape.ToArray(), Is.EqualTo(new[] { 1, 2, 2 }));
    }

    [Test]
    public void OnnxTestDataBringExpectedOutputs()
    {
        Directory.CreateDirectory(_folder["set"]);
        Octet.Runtime.Onnx.TensorFile.Save(_folder["set/input_0.pb"], Tensor.Create(new float[] { 1, 2 }, 2));
        Octet.Runtime.Onnx.TensorFile.Save(_folder["set/output_0.pb"], Tensor.Create(new float[] { 3 }, 1));
        string path = Write("""{ "kind": "onnx-test-data", "paths": ["set"] }""", task: "tensors");
        Sample sample = Bind(path, [2]).Samples().Single();
        Assert.That(sample.Inputs["x"].Span<float>().ToArray(), Is.EqualTo(new float[] { 1, 2 }));
        Assert.That(sample.Expected["y"].Span<float>().ToArray(), Is.EqualTo(new float[] { 3 }));
        Assert.That(sample.Label, Is.Null);
    }

    [TestCase("""{ "format": "octet-dataset/2", "task": "tensors", "source": {} }""", "octet-dataset/1")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors" }""", "'source'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "guess", "source": {} }""", "'task'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" }, "extra": 1 }""", "'extra'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin", "pth": 1 } }""", "'source.pth'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" }, "preprocess": { "Scale": 1 } }""", "'preprocess.Scale'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" } }""", "twice")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" }, "samples": { "skip": -1 } }""", "'samples.skip'")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" }, "samples": { "skip": 2 } }""", "no samples")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "data.bin" }, "preprocess": { "std": [1, 0, 1] } }""", "zero")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "short.bin" } }""", "3073")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "missing.bin" } }""", "missing.bin")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "cifar", "path": "broken.bin.gz" } }""", "broken.bin.gz")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "idx", "images": "data.bin" } }""", "0x00000803")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "idx", "images": "images", "labels": "labels" } }""", "3 labels")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "classification", "source": { "kind": "idx", "images": "images" } }""", "no labels")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "images", "path": "nowhere" } }""", "nowhere")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "images", "path": ".", "labels": "missing.txt" } }""", "missing.txt")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "images", "path": ".", "labels": "labels.txt" } }""", "gone.png")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "images", "path": ".", "labels": "escape.txt" } }""", "outside")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "onnx-test-data", "paths": ["nowhere"] } }""", "nowhere")]
    [TestCase("""{ "format": "octet-dataset/1", "task": "tensors", "source": { "kind": "npy", "inputs": { "x": "data.bin" } } }""", "data.bin")]
    [TestCase("""[1]""", "JSON object")]
    [TestCase("""{ "format": """, "no JSON")]
    public void RefusesWhatTheFormatDoesNotAllow(string json, string named)
    {
        _folder.Write("data.bin", TemporaryFolder.CifarRecords(2));
        _folder.Write("short.bin", new byte[4000]);
        _folder.Write("broken.bin.gz", new byte[100]);
        _folder.Write("images", TemporaryFolder.Idx(0x803, [2, 1, 1], [1, 2]));
        _folder.Write("labels", TemporaryFolder.Idx(0x801, [3], [1, 2, 3]));
        _folder.Write("labels.txt", "1 gone.png\n");
        _folder.Write("escape.txt", "1 ../gone.png\n");
        var error = Assert.Throws<DataException>(() => Dataset.Load(_folder.Write("dataset.json", json)));
        Assert.That(error!.Message, Does.Contain(named).And.Contain("rule: "));
    }

    [TestCase("broken.png", new byte[] { 0x89, (byte)'P', (byte)'N', (byte)'G', 13, 10, 26, 10, 0, 0 })]
    [TestCase("broken.jpg", new byte[] { 0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 1, 2, 3 })]
    [TestCase("cut.jpg", new byte[] { 0xFF, 0xD8, 0xFF, 0xC0, 0, 2, 0xFF, 0xDA, 0, 2, 1, 2, 3 })]
    [TestCase("scanless.jpg", new byte[] { 0xFF, 0xD8, 0xFF, 0xC0, 0, 2, 0xFF, 0xD9 })]
    [TestCase("hollow.jpg", new byte[] { 0xFF, 0xD8, 0xFF, 0xC0, 0, 2, 0xFF, 0xDA, 0, 2, 1, 2, 3, 0xFF, 0xD9 })]
    [TestCase("text.png", new byte[] { 1, 2, 3 })]
    [TestCase("empty.png", new byte[0])]
    public void BrokenImagesAreDataErrors(string name, byte[] content)
    {
        string path = _folder.Write(name, content);
        Assert.That(Assert.Throws<DataException>(() => ImageFile.Load(path))!.Message, Does.Contain(name).And.Contain("rule: "));
    }

    [Test]
    public void RealPhotographsAreWholeAndDecode()
    {
        string folder = Octet.Tests.Support.TestData.Require("models/data/imagenet500/images");
        foreach (string path in Directory.GetFiles(folder))
        {
            PixelImage image = ImageFile.Load(path);
            Assert.That((image.Height, image.Width), Is.EqualTo((224, 224)), path);
        }
    }

    [TestCase(new[] { -1, 3, 31, 32 })]
    [TestCase(new[] { 2, 3, 32, 32 })]
    [TestCase(new[] { 1, 3071 })]
    public void ASampleThatDoesNotFitTheModelIsADataError(int[] shape)
    {
        _folder.Write("data.bin", TemporaryFolder.CifarRecords(1));
        string path = Write("""{ "kind": "cifar", "path": "data.bin" }""");
        Assert.That(Assert.Throws<DataException>(() => Bind(path, shape).Samples().First())!.Message, Does.Contain("'x'").And.Contain("rule: "));
    }

    private string Write(string source, string? preprocess = null, string? samples = null, string task = "classification") => _folder.Write("dataset.json",
        $$"""{ "format": "octet-dataset/1", "task": "{{task}}", "source": {{source}}{{(preprocess is null ? "" : $", \"preprocess\": {preprocess}")}}{{(samples is null ? "" : $", \"samples\": {samples}")}} }""");

    private static DatasetBinding Bind(string path, int[] shape)
    {
        Dim[] dims = [.. shape.Select(extent => extent < 0 ? Dim.Named("N") : new Dim(extent))];
        return new DatasetBinding(Dataset.Load(path), [new ValueInfo("x", new TensorType(DataType.Float32, dims))], [new ValueInfo("y", new TensorType(DataType.Float32))]);
    }
}
