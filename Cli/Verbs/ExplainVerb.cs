using System.CommandLine;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Cli.Evaluation;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet explain MODEL</c>: the plan for this machine, operator by operator: kernel, why it was chosen, what was merged into it, integer or float.</summary>
internal static class ExplainVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        Option<int?> threads = CommonOptions.Threads();
        Option<string[]> shape = CommonOptions.Shapes();
        var command = new Command("explain", "Show how a model runs on this machine, and why.") { model, threads, shape };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetRequiredValue(model), host.Parsed.GetValue(threads), CommonOptions.ParseShapes(host.Parsed.GetValue(shape))));
    }

    private static int Run(VerbHost host, string path, int? threads, Dictionary<string, int[]> shapes)
    {
        var session = new InferenceSession(Model.Load(path), CommonOptions.Session(threads));
        Plan plan = session.PlanFor(SyntheticInputs.Create(session.Inputs, shapes));
        RewriteReport[] rules = Rules(plan.Report);
        Dictionary<string, string> floatReasons = plan.Report.Lowering?.Explanations.Where(explanation => explanation.Reason.Length > 0)
            .ToDictionary(explanation => explanation.Node, explanation => explanation.Reason, StringComparer.Ordinal) ?? [];
        Line[] lines = [.. plan.Steps.Select(step => Line.Of(step, floatReasons.GetValueOrDefault(step.Node.Name, "")))];
        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("model", path);
                writer.WriteString("cpu", session.Options.Cpu.ToString());
                writer.WriteNumber("threads", session.Options.Threads);
                writer.WriteNumber("arenaBytes", plan.ArenaBytes);
                writer.WriteNumber("scratchBytes", plan.ScratchBytes);
                writer.WriteNumber("compileMs", plan.Report.Elapsed.TotalMilliseconds);
                writer.WriteStartArray("operators");
                foreach (Line line in lines)
                {
                    writer.WriteStartObject();
                    writer.WriteString("node", line.Node);
                    writer.WriteString("operator", line.Operator);
                    writer.WriteString("arithmetic", line.Arithmetic);
                    writer.WriteString("whyFloat", line.WhyFloat);
                    writer.WriteString("kernel", line.Kernel);
                    writer.WriteString("reason", line.Reason);
                    writer.WriteStrings("origins", line.Origins);
                    writer.WriteString("output", line.Output);
                    writer.WriteNumber("multiplyAccumulates", line.MultiplyAccumulates);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
                writer.WriteStartArray("rules");
                foreach (RewriteReport rule in rules)
                {
                    writer.WriteStartObject();
                    writer.WriteString("rule", rule.Rule);
                    writer.WriteString("node", rule.Node);
                    writer.WriteBoolean("applied", rule.Applied);
                    writer.WriteString("reason", rule.Reason);
                    writer.WriteEndObject();
                }
                writer.WriteEndArray();
            });
            return ExitCode.Fine;
        }
        var table = new Table().AddColumn("operator").AddColumn("output").AddColumn("arithmetic").AddColumn("kernel").AddColumn("why").AddColumn("stands for");
        foreach (Line line in lines)
            table.AddRow(new Text(line.Operator), new Text(line.Output), new Text(line.Arithmetic), new Text(line.Kernel), new Text(line.WhyFloat.Length > 0 && line.Arithmetic == "float" ? $"{line.Reason} (float: {line.WhyFloat})".Trim() : line.Reason), new Text(string.Join(", ", line.Origins)));
        host.Print(table);
        if (rules.Length > 0)
        {
            var ruleTable = new Table().AddColumn("rule").AddColumn("node").AddColumn("");
            foreach (IGrouping<string, RewriteReport> group in rules.Where(rule => rule.Applied).GroupBy(rule => rule.Rule))
                ruleTable.AddRow(new Text(group.Key), new Text($"{group.Count()} ×"), new Text("applied"));
            foreach (RewriteReport rule in rules.Where(rule => !rule.Applied)) ruleTable.AddRow(new Text(rule.Rule), new Text(rule.Node), new Text($"refused: {rule.Reason}"));
            host.Print(ruleTable);
        }
        host.Line($"{lines.Length} operators: {string.Join(", ", lines.GroupBy(line => line.Arithmetic).OrderBy(group => group.Key, StringComparer.Ordinal).Select(group => $"{group.Count()} {group.Key}"))}; {lines.Sum(line => line.MultiplyAccumulates) / 1e6:F1} million multiply-accumulates");
        host.Line($"arena {plan.ArenaBytes:N0} bytes, scratch {plan.ScratchBytes:N0} bytes, {session.Options.Threads} threads, CPU {session.Options.Cpu}, compiled in {plan.Report.Elapsed.TotalMilliseconds:F1} ms");
        return ExitCode.Fine;
    }

    /// <summary>What every rule did or refused: fusion, then lowering.</summary>
    private static RewriteReport[] Rules(CompileReport report) =>
    [
        .. report.Rewrites,
        .. report.Lowering?.Applied.Select(row => new RewriteReport(row.Rule, row.Node, true, "")) ?? [],
        .. report.Lowering?.Refused.Select(row => new RewriteReport(row.Rule, row.Node, false, row.Reason)) ?? [],
    ];

    /// <summary>One operator of the plan.</summary>
    private sealed record Line(string Node, string Operator, string Arithmetic, string WhyFloat, string Kernel, string Reason, IReadOnlyList<string> Origins, string Output, long MultiplyAccumulates)
    {
        public static Line Of(PlannedStep step, string whyFloat) => new(step.Node.Name, step.Node.QualifiedType, ArithmeticOf(step.Node), whyFloat, step.Step?.Kernel ?? "dynamic",
            step.Step is { } prepared ? prepared.Reason : "shapes follow from data, or the operator holds subgraphs",
            step.Node.Origins.Count > 0 ? step.Node.Origins : [step.Node.Name],
            step.Node.Outputs.FirstOrDefault(output => output is not null)?.Type.ToString() ?? "", step.Step?.MultiplyAccumulates ?? 0);

        /// <summary>By the types that the operator reads and makes: <c>int8</c>, <c>float</c>, <c>quantize</c>, <c>dequantize</c>, or <c>index</c> for everything else.</summary>
        private static string ArithmeticOf(Node node)
        {
            DataType from = node.Inputs.Count > 0 && node.Inputs[0] is { } input ? input.Type.Element : DataType.Undefined;
            DataType to = node.Outputs.FirstOrDefault(output => output is not null)?.Type.Element ?? DataType.Undefined;
            bool isByte(DataType type) => type is DataType.Int8 or DataType.UInt8;
            return (isByte(from), isByte(to)) switch
            {
                (true, true) => "int8",
                (true, false) when to.IsFloat() => node.Is("DequantizeLinear") ? "dequantize" : "int8 to float",
                (true, false) => "int8",
                (false, true) when from.IsFloat() => node.Is("QuantizeLinear") ? "quantize" : "float to int8",
                _ => from.IsFloat() || to.IsFloat() ? "float" : "index",
            };
        }
    }
}
