using System.Reflection;
using System.Text.RegularExpressions;
using Octet.Tests.Support;

namespace Octet.Tests.Documentation;

/// <summary>The table at the end of <c>docs/quantization.md</c>: every row is there, and every test that it names exists.</summary>
internal sealed class QuantizationDocumentTests
{
    private static readonly string[] Rows = [.. Named("A", 15), .. Named("P", 13), .. Named("N", 12), .. Named("F", 10), .. Named("B", 8), .. Named("O", 20)];

    private static readonly Dictionary<string, string[]> Table = File.ReadLines(Path.Combine(TestData.Repository, "docs", "quantization.md"))
        .Select(line => Regex.Match(line, @"^\| ([APNFBO]\d+) \|.*\|([^|]*)\|$")).Where(match => match.Success)
        .ToDictionary(match => match.Groups[1].Value, match => Regex.Matches(match.Groups[2].Value, "`([^`]+)`").Select(test => test.Groups[1].Value).ToArray());

    [Test]
    public void EveryCapabilityHasARow() => Assert.That(Table.Keys, Is.EquivalentTo(Rows));

    [TestCaseSource(nameof(Rows))]
    public void TheTestsOfARowExist(string row)
    {
        Assert.That(Table[row], Is.Not.Empty, "a row without a test");
        foreach (string test in Table[row])
        {
            string[] parts = test.Split('.');
            Assert.That(parts, Has.Length.EqualTo(2), test);
            MethodInfo[] methods = [.. typeof(QuantizationDocumentTests).Assembly.GetTypes().Where(type => type.Name == parts[0]).SelectMany(type => type.GetMethods()).Where(method => method.Name == parts[1])];
            Assert.That(methods, Is.Not.Empty, $"there is no test {test}");
            // A test without cases of its own takes them from its parameters.
            Assert.That(methods.Any(method => method.GetParameters().Length > 0 || method.GetCustomAttributes().Any(attribute => attribute is TestAttribute or TestCaseAttribute or TestCaseSourceAttribute)), $"{test} is no test");
        }
    }

    private static IEnumerable<string> Named(string letter, int count) => Enumerable.Range(1, count).Select(i => $"{letter}{i}");
}
