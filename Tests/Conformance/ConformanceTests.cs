using Octet.Cli.Conform;
using Octet.Runtime.Execution;
using Octet.Tests.Support;

namespace Octet.Tests.Conformance;

/// <summary>ONNX's own backend cases: every row of the manifest that has files is a test.</summary>
/// <remarks>Cases in <c>known-failures.csv</c> must fail; one that passes must leave the list.</remarks>
[Category("Conformance")]
internal sealed class ConformanceTests
{
    private const string Collection = "onnx-backend-tests";

    private static readonly Dictionary<string, string> KnownFailures = LoadKnownFailures();

    [TestCaseSource(nameof(Cases))]
    public void Case(string name)
    {
        string folder = TestData.Require(Path.Combine(Collection, name));
        ConformanceResult result = new ConformanceRunner(new SessionOptions { Threads = 1 }, TimeSpan.FromMinutes(2)).Run(new ConformanceCase(name, folder));
        if (KnownFailures.TryGetValue(name, out string? reason))
        {
            if (result.Outcome == ConformanceOutcome.Passed) Assert.Fail($"'{name}' passes: remove it from known-failures.csv (listed because: {reason})");
            Assert.Ignore($"known failure: {reason} ({result.Reason})");
        }
        Assert.That(result.Outcome, Is.EqualTo(ConformanceOutcome.Passed), result.Reason);
    }

    [Test]
    public void KnownFailuresAreCases()
    {
        TestData.Require(Path.Combine(Collection, "manifest.csv"));
        Assert.That(KnownFailures.Keys, Is.SubsetOf(Cases()));
    }

    [Test]
    public void AtMostThreePercentAreKnownFailures()
    {
        TestData.Require(Path.Combine(Collection, "manifest.csv"));
        Assert.That(KnownFailures.Count, Is.LessThanOrEqualTo(0.03 * Cases().Count()));
    }

    /// <summary>Folder and name of every case with files, in the manifest's order.</summary>
    private static IEnumerable<string> Cases()
    {
        if (TestData.Optional(Path.Combine(Collection, "manifest.csv")) is not { } manifest) yield break;
        string root = Path.GetDirectoryName(manifest)!;
        foreach (string line in File.ReadLines(manifest).Skip(1))
        {
            string[] cells = line.Split(',', 3);
            if (cells.Length == 3 && File.Exists(Path.Combine(root, cells[0], cells[1], "model.onnx"))) yield return $"{cells[0]}/{cells[1]}";
        }
    }

    private static Dictionary<string, string> LoadKnownFailures()
    {
        string path = Path.Combine(TestData.Repository, "Tests", "Conformance", "known-failures.csv");
        var known = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string line in File.ReadLines(path).Skip(1))
        {
            if (line.Length == 0) continue;
            string[] cells = line.Split(',', 2);
            Assert.That(cells, Has.Length.EqualTo(2), $"'{line}' has a case and a reason");
            known.Add(cells[0], cells[1]);
        }
        return known;
    }
}
