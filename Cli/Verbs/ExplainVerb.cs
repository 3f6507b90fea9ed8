using System.CommandLine;
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
        IReadOnlyList<OperatorExplanation> lines = OperatorExplanation.Of(plan);
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
                foreach (OperatorExplanation line in lines)
                {
                    writer.WriteStartObject();
                    writer.WriteString("node", line.Node);
                    writer.WriteString("operator", line.OperatorType);
                    writer.WriteString("arithmetic", line.Arithmetic);
                    writer.WriteStrings("rules", line.Rules);
                    writer.WriteString("why", line.Reason);
                    writer.WriteString("kernel", line.Kernel);
                    writer.WriteString("reason", line.KernelReason);
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
        var table = new Table().AddColumn("operator").AddColumn("output").AddColumn("arithmetic").AddColumn("rules, or why not").AddColumn("kernel").AddColumn("stands for");
        foreach (OperatorExplanation line in lines)
        {
            string kernel = line.KernelReason.Length > 0 ? $"{line.Kernel} ({line.KernelReason})" : line.Kernel;
            string why = string.Join(", ", line.Rules) + (line.Rules.Count > 0 && line.Reason.Length > 0 ? "; " : "") + line.Reason;
            table.AddRow(new Text(line.OperatorType), new Text(line.Output), new Text(line.Arithmetic), new Text(why), new Text(kernel), new Text(string.Join(", ", line.Origins)));
        }
        host.Print(table);
        if (rules.Length > 0)
        {
            var ruleTable = new Table().AddColumn("rule").AddColumn("node").AddColumn("");
            foreach (IGrouping<string, RewriteReport> group in rules.Where(rule => rule.Applied).GroupBy(rule => rule.Rule))
                ruleTable.AddRow(new Text(group.Key), new Text($"{group.Count()} ×"), new Text("applied"));
            foreach (RewriteReport rule in rules.Where(rule => !rule.Applied)) ruleTable.AddRow(new Text(rule.Rule), new Text(rule.Node), new Text($"refused: {rule.Reason}"));
            host.Print(ruleTable);
        }
        host.Line($"{lines.Count} operators: {string.Join(", ", lines.GroupBy(line => line.Arithmetic).OrderBy(group => group.Key, StringComparer.Ordinal).Select(group => $"{group.Count()} {group.Key}"))}; {lines.Sum(line => line.MultiplyAccumulates) / 1e6:F1} million multiply-accumulates");
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
}
