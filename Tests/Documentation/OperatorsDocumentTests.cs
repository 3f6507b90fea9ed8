using System.Text;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Rewriting;
using Octet.Tests.Support;

namespace Octet.Tests.Documentation;

/// <summary><c>docs/operators.md</c> is written from the operator table.</summary>
[Category("Conformance")]
internal sealed class OperatorsDocumentTests
{
    private const string Update = "OCTET_UPDATE_DOCS=1 dotnet test Tests --filter FullyQualifiedName~OperatorsDocumentTests";

    private static string File => Path.Combine(TestData.Repository, "docs", "operators.md");

    [Test]
    public void DocumentIsUpToDate()
    {
        string expected = Write();
        if (Environment.GetEnvironmentVariable("OCTET_UPDATE_DOCS") == "1") System.IO.File.WriteAllText(File, expected);
        Assert.That(System.IO.File.Exists(File) && System.IO.File.ReadAllText(File) == expected, Is.True, $"docs/operators.md does not match the operator table; write it anew: {Update}");
    }

    private static IEnumerable<RewriteRule> Rules => Fusions.Portable.Concat(Fusions.Plan);

    [Test]
    public void RulesAbsorbOnlyOperatorsOfTheTable() => Assert.That(
        Rules.SelectMany(rule => rule.Absorbs).Except(OperatorTable.All.Select(op => op.Id.Domain.Length == 0 ? op.Id.Type : $"{op.Id.Domain}.{op.Id.Type}")), Is.Empty);

    [Test]
    public void EveryRowIsUnique() =>
        Assert.That(OperatorTable.All.GroupBy(op => op.Id).Where(rows => rows.Count() > 1).Select(rows => rows.Key), Is.Empty);

    /// <summary>The table is made part by part until a name is found.</summary>
    [Test]
    public void RowsOfOneNameAreInOnePart() =>
        Assert.That(OperatorTable.Parts.SelectMany(part => part().Select(op => (op.Id.Domain, op.Id.Type)).Distinct()).GroupBy(name => name).Where(parts => parts.Count() > 1).Select(parts => parts.Key), Is.Empty);

    private static string Write()
    {
        var text = new StringBuilder($"""
            # Operators

            Written from the operator table by `{Update}`; a test fails while this page and the table differ.

            *Since* is the first version of the operator set whose meaning is implemented; later versions up to ONNX's opset 24 are handled by the same row unless another row
            follows. float16 and bfloat16 values are computed in float32 and rounded where the model says so. *Integer form* is what the operator becomes in an INT8 plan.
            *Fused in* names the fusion rules that take the operator out of the graph; the last section lists them.


            """);
        foreach ((string domain, string title) in new[]
        {
            ("", "ONNX"), (Operator.MicrosoftDomain, "com.microsoft: contributed operators that other tools write"), (Operator.OctetDomain, "octet: made by passes, never in a file"),
        })
        {
            Operator[] rows = [.. OperatorTable.All.Where(op => op.Id.Domain == domain).OrderBy(op => op.Id.Type, StringComparer.Ordinal).ThenBy(op => op.Id.Since)];
            text.Append($"## {title}\n\n{rows.Select(op => op.Id.Type).Distinct().Count()} operators.\n\n| Operator | Since | Types | Integer form | Fused in | Not supported |\n|---|---|---|---|---|---|\n");
            foreach (Operator op in rows) text.Append($"| {op.Id.Type} | {op.Id.Since} | {Cell(op.Types)} | {Cell(op.IntegerForm)} | {FusedIn(op)} | {Cell(op.Limits)} |\n");
            text.Append('\n');
        }
        string[] others = [.. OperatorTable.All.Select(op => op.Id.Domain).Distinct().Except(["", Operator.MicrosoftDomain, Operator.OctetDomain])];
        Assert.That(others, Is.Empty, "every domain has a section");
        text.Append("## Fusion rules\n\n*Portable* rules make standard ONNX again and run before quantization too; *plan* rules make operators of the domain `octet`.\n\n| Rule | Kind | Operators that it takes out |\n|---|---|---|\n");
        foreach (RewriteRule rule in Rules) text.Append($"| {rule.Name} | {(Fusions.Portable.Contains(rule) ? "portable" : "plan")} | {string.Join(", ", rule.Absorbs)} |\n");
        return text.ToString().TrimEnd('\n') + "\n";
    }

    /// <summary>Names of the rules that absorb the operator, in the order in which they are tried.</summary>
    private static string FusedIn(Operator op)
    {
        string type = op.Id.Domain.Length == 0 ? op.Id.Type : $"{op.Id.Domain}.{op.Id.Type}";
        return string.Join(", ", Rules.Where(rule => rule.Absorbs.Contains(type)).Select(rule => rule.Name));
    }

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal);
}
