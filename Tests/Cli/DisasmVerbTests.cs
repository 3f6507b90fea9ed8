using System.Text.Json;
using Octet.Cli.CommandLine;

namespace Octet.Tests.Cli;

/// <summary><c>octet disasm</c>.</summary>
internal sealed class DisasmVerbTests
{
    private const string Kernel = "u8s8s32-12x32x4-avx512vnni";

    [Test]
    public void ListsEveryEmittedKernel()
    {
        JsonElement json = CommandRunner.Succeed("disasm", "--json").Json;
        string[] names = [.. json.GetProperty("kernels").EnumerateArray().Select(kernel => kernel.GetProperty("name").GetString()!)];
        Assert.That(names, Is.SupersetOf(new[] { Kernel, "u8s8s32-6x64x4-avx512vnni", "u8s8s32-12x16x4-avx512vnni", "u8s8s32-dw64x4-avx512vnni" }));
        Assert.That(json.GetProperty("emissionMs").GetDouble(), Is.GreaterThan(0));
        Assert.That(CommandRunner.Succeed("disasm").Output, Does.Contain(Kernel));
    }

    [Test]
    public void ShowsInstructions([Values("sysv", "windows")] string convention)
    {
        JsonElement function = CommandRunner.Succeed("disasm", Kernel, "--function", "rows3", "--convention", convention, "--json").Json.GetProperty("functions")[0];
        JsonElement[] lines = [.. function.GetProperty("instructions").EnumerateArray()];
        Assert.That(lines.Sum(line => line.GetProperty("code").GetString()!.Length / 2), Is.EqualTo(function.GetProperty("bytes").GetInt32()));
        string[] text = [.. lines.Select(line => line.GetProperty("text").GetString()!)];
        Assert.That(text.Count(line => line.StartsWith("vpdpbusd zmm", StringComparison.Ordinal)), Is.EqualTo(5 * 3 * 2), "four unrolled groups and a single one, three rows of two vectors");
        Assert.That(text.Contains("mov rax, rcx"), Is.EqualTo(convention == "windows"));
        Assert.That(text[^1], Is.EqualTo("ret"));
        Assert.That(CommandRunner.Succeed("disasm", Kernel, "--function", "rows3").Output, Does.Contain("vpdpbusd zmm0"));
    }

    [TestCase("disasm", "u8s8s32-4x8x4-scalar")]
    [TestCase("disasm", Kernel, "--function", "rows13")]
    public void UnknownNamesAreRefusedWithTheKnownOnes(params string[] arguments)
    {
        CommandResult result = CommandRunner.Run(arguments);
        Assert.That(result.ExitCode, Is.EqualTo(ExitCode.Usage));
        Assert.That(result.Error, Does.Contain("rule: one of"));
    }
}
