using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Cli.Demo;
using Octet.Cli.Evaluation;
using Octet.Quantization;
using Octet.Quantization.Analysis;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet demo</c>: the whole way on a model and images that are part of the program: calibrate, quantize, save, load, run, compare.</summary>
internal static class DemoVerb
{
    private const int CalibrationSamples = 500, DefaultSamples = 2000, LayerSamples = 16, TimedRuns = 300;

    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Option<int?> samples = CommonOptions.AtLeastOne(new Option<int?>("--samples") { Description = $"Images to evaluate. Default: {DefaultSamples}.", HelpName = "N" });
        var output = new Option<string>("--output", "-o") { Description = "The INT8 model to write.", HelpName = "OUT", DefaultValueFactory = _ => "./octet-demo.int8.onnx" };
        Option<string> calibration = QuantizeVerb.Calibration();
        Option<int?> threads = CommonOptions.Threads();
        var command = new Command("demo", "Quantize a model that is part of octet and compare both on images that octet draws.") { samples, output, calibration, threads };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetValue(samples) ?? DefaultSamples, host.Parsed.GetRequiredValue(output),
            new QuantizationOptions { Calibration = QuantizeVerb.ParseCalibration(host.Parsed.GetRequiredValue(calibration)), Session = CommonOptions.Session(host.Parsed.GetValue(threads)) }));
    }

    private static int Run(VerbHost host, int samples, string outputPath, QuantizationOptions quantization)
    {
        SessionOptions options = quantization.Session;
        byte[] file = EmbeddedModel();
        Model model = Model.Load(file);
        var floatSession = new InferenceSession(model, options);
        string input = floatSession.Inputs[0].Name;

        (QuantizationResult result, Result measured) = WorkProgress.Show(host, "calibrate", progress =>
        {
            QuantizationResult quantized = Quantizer.Quantize(model, Images(input, ShapeImages.TrainingSeed, CalibrationSamples).Select(image => image.Inputs), quantization, cancellation: host.Cancellation);
            quantized.Model.Save(outputPath);
            var intSession = new InferenceSession(Model.Load(outputPath), options);   // what runs is what was saved
            return (quantized, Compare(floatSession, intSession, input, samples, progress, host.Cancellation));
        });
        IReadOnlyList<LayerReport> layers = ModelAnalysis.Run(Quantizer.Prepare(model, quantization), Model.Load(outputPath),
            Images(input, ShapeImages.EvaluationSeed, LayerSamples).Select(image => image.Inputs), time: false, cancellation: host.Cancellation).Layers;
        long before = file.Length, after = new FileInfo(outputPath).Length;

        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("output", outputPath);
                writer.WriteNumber("samples", samples);
                writer.WriteNumber("floatTop1", measured.FloatTop1);
                writer.WriteNumber("int8Top1", measured.IntTop1);
                writer.WriteNumber("agreement", measured.Agreement);
                writer.WriteNumber("floatMedianMs", measured.FloatMs);
                writer.WriteNumber("int8MedianMs", measured.IntMs);
                writer.WriteNumber("threads", options.Threads);
                writer.WriteNumber("quantizedNodes", result.Report.QuantizedNodes);
                writer.WriteNumber("floatNodes", result.Report.FloatNodes);
                writer.WriteNumber("bytesBefore", before);
                writer.WriteNumber("bytesAfter", after);
                writer.WriteStartArray("layers");
                foreach (LayerReport layer in layers)
                {
                    writer.WriteStartObject();
                    writer.WriteString("value", layer.Value);
                    writer.WriteString("operator", layer.OperatorType);
                    writer.WriteFinite("maxAbsDiff", layer.MaxAbs);
                    writer.WriteFinite("sqnrDb", layer.SqnrDb);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
            });
            return ExitCode.Fine;
        }
        foreach (string warning in result.Report.Warnings) host.Note(warning);
        var errors = new Table().Title("error of each quantized activation").AddColumn("activation").AddColumn("made by").AddColumn(Right("max |diff|")).AddColumn(Right("SQNR dB"));
        foreach (LayerReport layer in layers)
            errors.AddRow(new Text(layer.Value), new Text(layer.OperatorType), new Text(Format(layer.MaxAbs, "G3")), new Text(Format(layer.SqnrDb, "F1")));
        host.Print(errors);
        var table = new Table().AddColumn("").AddColumn(Right("float32")).AddColumn(Right("INT8"));
        table.AddRow(new Text($"accuracy on {samples} images"), new Text(Percent(measured.FloatTop1)), new Text(Percent(measured.IntTop1)));
        table.AddRow(new Text("same answer as float32"), new Text(""), new Text(Percent(measured.Agreement)));
        table.AddRow(new Text($"median time of one image, {options.Threads} thread(s)"), new Text($"{Format(measured.FloatMs, "F3")} ms"), new Text($"{Format(measured.IntMs, "F3")} ms ({Format(measured.FloatMs / measured.IntMs, "F2")}×)"));
        table.AddRow(new Text("model file"), new Text($"{Format(before, "N0")} bytes"), new Text($"{Format(after, "N0")} bytes"));
        table.AddRow(new Text("operators"), new Text($"{result.Report.QuantizedNodes + result.Report.FloatNodes}"), new Text($"{result.Report.QuantizedNodes} integer, {result.Report.FloatNodes} float"));
        host.Print(table);
        host.Line($"wrote {outputPath}; next: octet inspect {outputPath}, octet explain {outputPath}, octet bench {outputPath}");
        return ExitCode.Fine;
    }

    private static Result Compare(InferenceSession floatSession, InferenceSession intSession, string input, int samples, WorkProgress progress, CancellationToken cancellation)
    {
        var one = new SampleRunner(floatSession);
        var other = new SampleRunner(intSession);
        int right = 0, rightInt = 0, agreed = 0, done = 0;
        foreach ((Dictionary<string, Tensor> image, int label) in Images(input, ShapeImages.EvaluationSeed, samples))
        {
            int a = Ranking.Best(one.Run(image, cancellation)[0].Span<float>()), b = Ranking.Best(other.Run(image, cancellation)[0].Span<float>());
            if (a == label) right++;
            if (b == label) rightInt++;
            if (a == b) agreed++;
            progress.Report(++done, samples, "evaluate");
        }

        // One run of each in turn, so that both meet the same disturbances.
        Tensor[] timed = [Images(input, ShapeImages.EvaluationSeed, 1).First().Inputs[input]];
        double[] times = new double[TimedRuns], intTimes = new double[TimedRuns];
        Tensor[] outputs = floatSession.CreateOutputs(timed), intOutputs = intSession.CreateOutputs(timed);
        for (int i = 0; i < TimedRuns; i++)
        {
            times[i] = Time(floatSession, timed, outputs, cancellation);
            intTimes[i] = Time(intSession, timed, intOutputs, cancellation);
        }
        Array.Sort(times);
        Array.Sort(intTimes);
        return new Result((double)right / samples, (double)rightInt / samples, (double)agreed / samples, BenchVerb.Quantile(times, 0.5), BenchVerb.Quantile(intTimes, 0.5));
    }

    private static double Time(InferenceSession session, Tensor[] inputs, Tensor[] outputs, CancellationToken cancellation)
    {
        long start = Stopwatch.GetTimestamp();
        session.Run(inputs, outputs, cancellation);
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static IEnumerable<(Dictionary<string, Tensor> Inputs, int Label)> Images(string input, ulong seed, int count)
    {
        for (int i = 0; i < count; i++)
        {
            var pixels = new float[ShapeImages.Length];
            int label = ShapeImages.Generate(i, seed, pixels);
            yield return (new Dictionary<string, Tensor>(StringComparer.Ordinal) { [input] = Tensor.Create(pixels, 1, ShapeImages.Channels, ShapeImages.Height, ShapeImages.Width) }, label);
        }
    }

    private static byte[] EmbeddedModel()
    {
        using Stream resource = typeof(DemoVerb).Assembly.GetManifestResourceStream("shapes.onnx") ?? throw new InvalidOperationException("the demo model is not part of this build");
        var bytes = new byte[resource.Length];
        resource.ReadExactly(bytes);
        return bytes;
    }

    private static TableColumn Right(string title) => new TableColumn(title).RightAligned();

    private static string Percent(double share) => $"{Format(100 * share, "F2")} %";

    private static string Format(double value, string format) => double.IsPositiveInfinity(value) ? "exact" : value.ToString(format, CultureInfo.InvariantCulture);

    /// <summary>Both models on the same images.</summary>
    private sealed record Result(double FloatTop1, double IntTop1, double Agreement, double FloatMs, double IntMs);
}
