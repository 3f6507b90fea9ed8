using System.Reflection;
using System.Text.RegularExpressions;
using Octet.Tests.Support;

namespace Octet.Tests.Architecture;

/// <summary>The arrows of docs/architecture.md, checked on assembly references and on the text of every source file.</summary>
internal sealed partial class LayeringTests
{
    /// <summary>Room of Runtime → rooms it may use. The root of Runtime is the front door and sees Tensors, Graphs, Onnx and Operators.</summary>
    private static readonly Dictionary<string, string[]> Rooms = new()
    {
        [""] = ["Tensors", "Graphs", "Onnx", "MxNet", "Operators"],
        ["Tensors"] = [],
        ["Graphs"] = ["Tensors"],
        ["Onnx"] = ["Tensors", "Graphs"],
        ["MxNet"] = ["Tensors", "Graphs"],
        ["Operators"] = ["Tensors", "Graphs"],
        ["Rewriting"] = ["Tensors", "Graphs"],
        ["Passes"] = ["Tensors", "Graphs", "Operators", "Rewriting"],
        ["Execution"] = ["Tensors", "Graphs", "Operators", "Rewriting", "Passes"],
    };

    [TestCase("Kernels", new string[] { })]
    [TestCase("Runtime", new[] { "Kernels" })]
    [TestCase("Quantization", new[] { "Runtime", "Kernels" })]
    [TestCase("Cli", new[] { "Quantization", "Runtime", "Kernels" })]
    public void ProjectUsesOnlyWhatIsBelowIt(string project, string[] below)
    {
        string name = project == "Cli" ? "octet" : $"Octet.{project}";
        string[] references = [.. Assembly.Load(name).GetReferencedAssemblies().Select(reference => reference.Name!).Where(reference => reference.StartsWith("Octet.", StringComparison.Ordinal))];
        Assert.That(references, Is.SubsetOf(below.Select(allowed => $"Octet.{allowed}")));
    }

    [Test]
    public void RuntimeRoomsUseOnlyWhatIsBelowThem()
    {
        string root = Path.Combine(TestData.Repository, "Runtime");
        var broken = new List<string>();
        foreach (string file in Sources(root))
        {
            string relative = Path.GetRelativePath(root, file);
            string room = relative.Contains(Path.DirectorySeparatorChar) ? relative.Split(Path.DirectorySeparatorChar)[0] : "";
            if (!Rooms.TryGetValue(room, out string[]? allowed))
            {
                broken.Add($"{relative}: folder '{room}' is not on the map");
                continue;
            }
            foreach (Match match in RuntimeNamespace().Matches(File.ReadAllText(file)))
            {
                string used = match.Groups[1].Value;
                if (used != room && Rooms.ContainsKey(used) && !allowed.Contains(used)) broken.Add($"{relative}: '{room}' may not use '{used}'");
            }
        }
        Assert.That(broken, Is.Empty);
    }

    [Test]
    public void UnsafeCodeIsInKernelsOnly()
    {
        string[] offenders = [.. new[] { "Runtime", "Quantization", "Cli", "Benchmarks" }
            .SelectMany(project => Directory.GetFiles(Path.Combine(TestData.Repository, project), "*.csproj"))
            .Where(file => File.ReadAllText(file).Contains("<AllowUnsafeBlocks>true", StringComparison.Ordinal))];
        Assert.That(offenders, Is.Empty);
    }

    [Test]
    public void TopLevelFoldersAreKnown()
    {
        string[] known = ["Kernels", "Runtime", "Quantization", "Cli", "Benchmarks", "Tests", "docs"];
        string[] folders = [.. Directory.GetDirectories(TestData.Repository).Select(path => Path.GetFileName(path)!).Where(name => name[0] != '.' && name is not ("out" or "TestResults" or "BenchmarkDotNet.Artifacts"))];
        Assert.That(folders, Is.SubsetOf(known));
    }

    private static IEnumerable<string> Sources(string root) => Directory.EnumerateFiles(root, "*.cs", SearchOption.AllDirectories)
        .Where(file => !file.Split(Path.DirectorySeparatorChar).Any(part => part is "obj" or "bin"));

    [GeneratedRegex(@"Octet\.Runtime\.(\w+)")]
    private static partial Regex RuntimeNamespace();
}
