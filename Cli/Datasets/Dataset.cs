using System.Text.Json;
using Octet.Cli.Datasets.Sources;
using Octet.Runtime;

namespace Octet.Cli.Datasets;

/// <summary>A dataset file, <c>octet-dataset/1</c>; docs/dataset-format.md is its definition.</summary>
internal sealed class Dataset
{
    /// <summary>The format that this class reads.</summary>
    public const string Format = "octet-dataset/1";

    private readonly string _path;

    private Dataset(string path, SampleSource source) => (_path, Source) = (path, source);

    /// <summary>Whether samples have labels and models are judged by top-1 and top-5.</summary>
    public required bool IsClassification { get; init; }

    /// <summary>Name of the output with the class scores; null if there is one output.</summary>
    public required string? Output { get; init; }

    /// <summary>Name of the input that receives the image; null if there is one input.</summary>
    public required string? Input { get; init; }

    /// <summary>From an image to a tensor.</summary>
    public required Preprocess Preprocess { get; init; }

    /// <summary>Samples left out at the beginning.</summary>
    public required long Skip { get; init; }

    /// <summary>Samples in all, after skip and take; at least 1.</summary>
    public required long Count { get; init; }

    /// <summary>Where samples come from.</summary>
    public SampleSource Source { get; }

    /// <summary>Reads a dataset file and checks every file that it names.</summary>
    /// <exception cref="DataException">A file is missing or broken, a key is unknown, missing or has no legal value, or nothing is left after skip and take.</exception>
    public static Dataset Load(string path)
    {
        using JsonDocument document = Open(path);
        return Read(path, document.RootElement);
    }

    private static JsonDocument Open(string path)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            return JsonDocument.Parse(stream, new JsonDocumentOptions { CommentHandling = JsonCommentHandling.Skip });
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException and not ArgumentNullException)
        {
            throw new DataException($"dataset '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
        catch (JsonException e)
        {
            throw new DataException($"dataset '{path}' is no JSON: {e.Message}; rule: a dataset file is a JSON object (docs/dataset-format.md)", e);
        }
    }

    /// <summary>The preprocessing of a dataset file; its data need not exist.</summary>
    /// <exception cref="DataException">The file is missing or broken, or has no preprocessing.</exception>
    public static Preprocess LoadPreprocess(string path)
    {
        using JsonDocument document = Open(path);
        var fields = new JsonFields(path, "", document.RootElement);
        return ReadPreprocess(path, fields.Object("preprocess") ?? throw fields.Missing("preprocess"));
    }

    /// <summary>This dataset's samples as a model takes them.</summary>
    /// <exception cref="DataException">The dataset does not fit the model.</exception>
    public DatasetBinding Bind(Octet.Runtime.Execution.InferenceSession session) => new(this, session.Inputs, session.Outputs);

    /// <summary>The file, for messages.</summary>
    public override string ToString() => $"dataset '{_path}'";

    private static Dataset Read(string path, JsonElement root)
    {
        var fields = new JsonFields(path, "", root);
        string format = fields.RequiredText("format");
        if (format != Format) throw new DataException($"dataset '{path}': 'format' is \"{format}\"; rule: this version reads \"{Format}\"");
        string task = fields.Choice("task", "classification", "tensors") ?? throw fields.Missing("task");
        JsonFields sourceFields = fields.Object("source") ?? throw fields.Missing("source");
        string? output = fields.Text("output"), input = fields.Text("input");
        JsonFields? preprocess = fields.Object("preprocess"), samples = fields.Object("samples");
        fields.Close();
        int skip = samples?.Integer("skip", 0) ?? 0;
        int? take = samples?.Integer("take", 1);
        samples?.Close();
        Preprocess steps = preprocess is null ? Preprocess.None : ReadPreprocess(path, preprocess);

        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? Path.GetFullPath(path);
        SampleSource source = ReadSource(path, folder, sourceFields);
        if (task == "classification" && !source.HasLabels)
            throw new DataException($"dataset '{path}': 'task' is \"classification\" but the source has no labels; rule: classification needs a label for every sample");
        if (!source.HasImages && preprocess is not null)
            throw new DataException($"dataset '{path}': 'preprocess' is given but the samples are tensors; rule: only images are preprocessed");
        if (!source.HasImages && input is not null)
            throw new DataException($"dataset '{path}': 'input' is given but the samples name their inputs themselves; rule: only an image needs an input");
        long count = Math.Min(Math.Max(0, source.Count - skip), take ?? long.MaxValue);
        if (count == 0) throw new DataException($"dataset '{path}' has no samples: {source.Count} in all, skip {skip}; rule: at least one");
        return new Dataset(path, source)
        {
            IsClassification = task == "classification",
            Output = output,
            Input = input,
            Preprocess = steps,
            Skip = skip,
            Count = count,
        };
    }

    private static SampleSource ReadSource(string path, string folder, JsonFields fields)
    {
        string kind = fields.Choice("kind", "images", "cifar", "idx", "npy", "onnx-test-data") ?? throw fields.Missing("kind");
        string At(string relative) => Path.GetFullPath(Path.Combine(folder, relative));
        switch (kind)
        {
            case "images":
                {
                    string images = At(fields.RequiredText("path"));
                    string? labels = fields.Text("labels");
                    fields.Close();
                    return new ImageFolderSource(images, labels is null ? null : At(labels));
                }
            case "cifar":
                {
                    string records = At(fields.RequiredText("path"));
                    fields.Close();
                    return new CifarSource(records);
                }
            case "idx":
                {
                    string images = At(fields.RequiredText("images"));
                    string? labels = fields.Text("labels");
                    fields.Close();
                    return new IdxSource(images, labels is null ? null : At(labels));
                }
            case "npy":
                {
                    Dictionary<string, string> inputs = fields.RequiredTextsByName("inputs");
                    string? labels = fields.Text("labels");
                    fields.Close();
                    if (inputs.Count == 0) throw new DataException($"dataset '{path}': 'source.inputs' is empty; rule: one array file per input of the model");
                    return new NpySource(inputs.ToDictionary(pair => pair.Key, pair => At(pair.Value), StringComparer.Ordinal), labels is null ? null : At(labels));
                }
            default:
                {
                    string[] folders = fields.RequiredTexts("paths");
                    fields.Close();
                    return new OnnxTestDataSource([.. folders.Select(At)]);
                }
        }
    }

    private static Preprocess ReadPreprocess(string path, JsonFields fields)
    {
        int? resize = fields.Integer("resizeShorter", 1), crop = fields.Integer("centerCrop", 1);
        string? colors = fields.Choice("colors", "RGB", "BGR", "gray");
        float scale = fields.Number("scale") ?? 1;
        float[] mean = fields.Numbers("mean") ?? [0], std = fields.Numbers("std") ?? [1];
        string? layout = fields.Choice("layout", "NCHW", "NHWC");
        fields.Close();
        if (Array.IndexOf(std, 0f) >= 0) throw new DataException($"dataset '{path}': preprocess.std has a zero; rule: divisors are not zero");
        const int mostPixels = 1 << 13;   // 8192² pixels, as large as the largest image file that is read
        if (resize > mostPixels || crop > mostPixels) throw new DataException($"dataset '{path}': preprocess.resizeShorter is {resize}, preprocess.centerCrop is {crop}; rule: at most {mostPixels} pixels");
        return new Preprocess
        {
            ResizeShorter = resize,
            CenterCrop = crop,
            Scale = scale,
            Mean = mean,
            Std = std,
            ChannelsLast = layout == "NHWC",
            Colors = colors switch { "RGB" => Colors.Rgb, "BGR" => Colors.Bgr, "gray" => Colors.Gray, _ => Colors.Source },
        };
    }
}
