using System.Diagnostics;
using System.Text.Json;
using Octet.Cli.CommandLine;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Cli;

namespace Octet.Tests.Kernels.Emit;

/// <summary>What emitting costs a fresh process, and that a process which needs none pays nothing.</summary>
[NonParallelizable]
internal sealed class ColdStartTests
{
    /// <summary>A first session pays at most this, all emitted kernels together.</summary>
    private const double MostMilliseconds = 100;

    private sealed record ProcessResult(int ExitCode, string Output, string Error);

    /// <summary>Runs the command in a process of its own.</summary>
    /// <param name="program">octet.dll.</param>
    /// <param name="isa">A value of OCTET_MAX_ISA, or null for none.</param>
    /// <param name="arguments">The command line.</param>
    private static ProcessResult RunFresh(string program, string? isa, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true, RedirectStandardError = true };
        start.Environment.Remove(CpuInfo.MaxIsaVariable);
        if (isa is not null) start.Environment[CpuInfo.MaxIsaVariable] = isa;
        start.ArgumentList.Add(program);
        foreach (string argument in arguments) start.ArgumentList.Add(argument);
        start.ArgumentList.Add("--json");
        using Process process = Process.Start(start)!;
        Task<string> error = process.StandardError.ReadToEndAsync();
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return new ProcessResult(process.ExitCode, output, error.Result);
    }

    [Test]
    public void AFreshProcessEmitsEveryKernelWithinTheBudget()
    {
        // Processor time, least of some processes: what other programs do on this machine is not the emitter's cost.
        var times = new List<double>();
        for (int process = 0; process < 5 && (process == 0 || times.Min() > MostMilliseconds); process++)
        {
            ProcessResult result = RunFresh(typeof(OctetCommand).Assembly.Location, null, "disasm");
            Assert.That(result.ExitCode, Is.Zero, result.Error + result.Output);
            using JsonDocument document = JsonDocument.Parse(result.Output);
            times.Add(document.RootElement.GetProperty("emissionProcessorMs").GetDouble());
        }
        TestContext.Out.WriteLine($"emission of all kernels in fresh processes: {string.Join(", ", times)} ms of processor time");
        Assert.That(times.Min(), Is.LessThanOrEqualTo(MostMilliseconds));
    }

    [TestCase("avx2", false)]
    [TestCase("avx512", false)]
    [TestCase("avx512vnni", true)]
    public void TheEncoderIsLoadedOnlyWhereCodeIsEmitted(string isa, bool emits)
    {
        if (emits && (CpuInfo.Detected & CpuFeatures.Avx512Vnni) == 0) Assert.Ignore("this CPU runs no emitted kernel");
        if (emits && !EmittedCode.Allowed) Assert.Ignore("the system refuses executable memory");

        // The command in a folder without the encoder: a process that loaded it would fail.
        using var folder = new TemporaryFolder();
        string from = Path.GetDirectoryName(typeof(OctetCommand).Assembly.Location)!;
        string[] needed = ["octet.", "Octet.", "System.CommandLine", "Spectre.", "Google.Protobuf", "CommunityToolkit.", "StbImageSharp", "Microsoft.Extensions.Logging.Abstractions"];
        foreach (string file in Directory.GetFiles(from).Where(file => needed.Any(name => Path.GetFileName(file).StartsWith(name, StringComparison.Ordinal)) && !file.EndsWith("deps.json", StringComparison.Ordinal)))
            File.Copy(file, folder[Path.GetFileName(file)]);
        ProcessResult result = RunFresh(folder["octet.dll"], isa, "bench", WriteProduct(folder["product.onnx"]), "--runs", "1", "--threads", "1");
        if (!emits) Assert.That(result.ExitCode, Is.Zero, result.Error + result.Output);
        else
        {
            Assert.That(result.ExitCode, Is.Not.Zero, "this CPU emits, and the encoder is not in the folder");
            Assert.That(result.Output + result.Error, Does.Contain("Iced"));
        }
    }

    /// <summary>Saves a model that is one integer product.</summary>
    private static string WriteProduct(string path)
    {
        var graph = new Graph("product", new OpsetImports(13));
        var editor = new GraphEditor(graph);
        Value x = editor.AddInput("x", new TensorType(DataType.UInt8, 4, 32)), w = editor.AddConstant("w", Tensor.Create(new sbyte[32 * 40], 32, 40));
        editor.AddOutput(editor.Add("MatMulInteger", [x, w]), "y");
        new Model(graph).Save(path);
        return path;
    }
}
