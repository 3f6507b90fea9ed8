using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Cli.Datasets;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet run MODEL --input NAME=FILE… --output DIR</c>: runs a model once on files, and writes every output as a file.</summary>
/// <remarks>
/// Inputs: <c>.npy</c>, ONNX TensorProto <c>.pb</c>, JPEG and PNG images. Outputs: <c>DIR/NAME.npy</c>; sequences, optionals and elements that NumPy has not as <c>.pb</c>.
/// </remarks>
internal static class RunVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        var input = new Option<string[]>("--input") { Description = "An input and the file that holds it: .npy, .pb (TensorProto), .jpg, .png. Once per input.", HelpName = "NAME=FILE" };
        var output = new Option<string?>("--output", "-o") { Description = "Folder for the outputs, made if missing. Without it the outputs are only described.", HelpName = "DIR" };
        var preprocess = new Option<string?>("--preprocess") { Description = "A dataset file whose 'preprocess' is applied to images. Without it: 0 … 255, red, green, blue, channels first.", HelpName = "DATASET" };
        Option<int?> threads = CommonOptions.Threads();
        var command = new Command("run", "Run a model once on files.") { model, input, output, preprocess, threads };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetRequiredValue(model), CommonOptions.Pairs("--input", host.Parsed.GetValue(input)),
            host.Parsed.GetValue(output), host.Parsed.GetValue(preprocess), host.Parsed.GetValue(threads)));
    }

    private static int Run(VerbHost host, string modelPath, Dictionary<string, string> files, string? folder, string? preprocessPath, int? threads)
    {
        var session = new InferenceSession(Model.Load(modelPath), CommonOptions.Session(threads));
        Preprocess preprocess = preprocessPath is null ? Preprocess.None : Dataset.LoadPreprocess(preprocessPath);
        var inputs = new Dictionary<string, RuntimeValue?>(StringComparer.Ordinal);
        foreach ((string name, string path) in files)
        {
            ValueInfo input = session.Inputs.FirstOrDefault(input => input.Name == name)
                ?? throw new DataException($"the model has no input '{name}'; its inputs are {string.Join(", ", session.Inputs.Select(input => $"'{input.Name}' {input.Type}"))}; rule: input names are the model's");
            inputs.Add(name, Load(input, path, preprocess));
        }
        long start = Stopwatch.GetTimestamp();
        IReadOnlyDictionary<string, RuntimeValue?> outputs = session.RunValues(inputs, host.Cancellation);
        double milliseconds = Stopwatch.GetElapsedTime(start).TotalMilliseconds;

        var written = new List<(string Name, string Text, string? File)>();
        if (folder is not null) Directory.CreateDirectory(folder);
        foreach (ValueInfo output in session.Outputs)
        {
            RuntimeValue? value = outputs[output.Name];
            written.Add((output.Name, Describe(value), folder is null ? null : Save(folder, output, value)));
        }
        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteNumber("firstRunMs", milliseconds);
                writer.WriteStartObject("outputs");
                foreach ((string name, string text, string? file) in written)
                {
                    writer.WriteStartObject(name);
                    writer.WriteString("type", text);
                    writer.WriteString("file", file);
                    writer.WriteEndObject();
                }
                writer.WriteEndObject();
            });
            return ExitCode.Fine;
        }
        var table = new Table().AddColumn("output").AddColumn("type").AddColumn("values").AddColumn("file");
        foreach ((string name, string text, string? file) in written) table.AddRow(new Text(name), new Text(text), new Text(Summary(outputs[name])), new Text(file ?? ""));
        host.Print(table);
        host.Line($"first run, plan making included: {milliseconds:F1} ms");
        return ExitCode.Fine;
    }

    private static RuntimeValue? Load(ValueInfo input, string path, Preprocess preprocess)
    {
        if (ImageFile.HasImageName(path)) return DatasetBinding.Fit(input, preprocess.Apply(ImageFile.Load(path), $"image '{path}'"), $"image '{path}'");
        return Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".npy" => NpyFile.Load(path),
            ".pb" => TensorFile.Load(path, input.Type),
            string other => throw new DataException($"input '{input.Name}': the file '{path}' ends in '{other}'; rule: .npy, .pb, .jpg, .jpeg or .png"),
        };
    }

    private static string Save(string folder, ValueInfo output, RuntimeValue? value)
    {
        // Names of values may hold separators; what is written stays in the folder.
        string name = string.Concat(output.Name.Select(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' ? c : '_')).TrimStart('.');
        string stem = Path.Combine(folder, name.Length == 0 ? "output" : name);
        bool hasNumPyForm = value is Tensor { Type: not (DataType.Float8E4M3FN or DataType.Float8E4M3FNUZ or DataType.Float8E5M2 or DataType.Float8E5M2FNUZ or DataType.Float4E2M1 or DataType.Float8E8M0) };
        if (hasNumPyForm)
        {
            NpyFile.Save(stem + ".npy", (Tensor)value!);
            return stem + ".npy";
        }
        TensorFile.Save(stem + ".pb", value, output.Name, output.Type.Container is Runtime.Graphs.Container.Optional or Runtime.Graphs.Container.OptionalSequence);
        return stem + ".pb";
    }

    private static string Describe(RuntimeValue? value) => value switch
    {
        null => "empty",
        TensorSequence sequence => $"sequence of {sequence.Items.Count}",
        _ => value.ToString() ?? "",
    };

    private static string Summary(RuntimeValue? value)
    {
        if (value is not Tensor { Length: > 0 } tensor) return "";
        const int most = 6;
        if (tensor.Type == DataType.String) return string.Join(" ", tensor.Strings[..Math.Min(most, tensor.Length)].ToArray());
        if (tensor.Type is DataType.Complex64 or DataType.Complex128 || !(tensor.Type.IsFloat() || tensor.Type.IsInteger() || tensor.Type == DataType.Bool)) return "";
        float[] values = tensor.ToFloat32Array();
        return string.Join(" ", values.Take(most).Select(number => number.ToString("G4", CultureInfo.InvariantCulture))) + (values.Length > most ? " …" : "");
    }
}
