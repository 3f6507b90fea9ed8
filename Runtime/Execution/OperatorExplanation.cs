using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Passes;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>Why one operator of a plan is what it is.</summary>
/// <param name="Node">Its name in the plan.</param>
/// <param name="OperatorType">Its type, with its domain unless that is ONNX's own.</param>
/// <param name="Origins">The operators of the model that it stands for; empty where the layout needed it.</param>
/// <param name="Arithmetic"><c>int8</c>, <c>int8 to float</c>, <c>quantize</c>, <c>dequantize</c>, <c>float</c>, or <c>index</c> for shapes and indices.</param>
/// <param name="Rules">The rewriting rules that made it, in order; each can be switched off by <see cref="SessionOptions.DisabledRules"/>.</param>
/// <param name="Reason">Where no rule made it an integer operator: why not. Never empty together with <paramref name="Rules"/>.</param>
/// <param name="Kernel">The kernel that runs it.</param>
/// <param name="KernelReason">Why that kernel; may be empty.</param>
/// <param name="Output">Type of its first output.</param>
/// <param name="MultiplyAccumulates">Multiply-accumulates of one run; 0 where that means nothing.</param>
public sealed record OperatorExplanation(string Node, string OperatorType, IReadOnlyList<string> Origins, string Arithmetic, IReadOnlyList<string> Rules, string Reason,
    string Kernel, string KernelReason, string Output, long MultiplyAccumulates)
{
    /// <summary>Explains every step of a plan.</summary>
    internal static IReadOnlyList<OperatorExplanation> Of(Plan plan)
    {
        Dictionary<string, NodeExplanation> byNode = new(StringComparer.Ordinal), byOrigin = new(StringComparer.Ordinal);
        foreach (NodeExplanation line in plan.Report.Lowering?.Explanations ?? [])
        {
            byNode.TryAdd(line.Node, line);
            foreach (string origin in line.Origins) byOrigin.TryAdd(origin, line);
        }
        ILookup<string, string> fusions = plan.Report.Rewrites.Where(report => report.Applied).ToLookup(report => report.Node, report => report.Rule, StringComparer.Ordinal);
        return [.. plan.Steps.Select(step => Of(step, byNode, byOrigin, fusions))];
    }

    private static OperatorExplanation Of(PlannedStep step, Dictionary<string, NodeExplanation> byNode, Dictionary<string, NodeExplanation> byOrigin, ILookup<string, string> fusions)
    {
        Node node = step.Node;
        NodeExplanation? lowered = byNode.GetValueOrDefault(node.Name) ?? node.Origins.Select(origin => byOrigin.GetValueOrDefault(origin)).FirstOrDefault(line => line is not null);
        string[] rules = [.. (lowered?.Rules ?? []).Concat(node.Origins.Prepend(node.Name).Distinct(StringComparer.Ordinal).SelectMany(name => fusions[name])).Distinct(StringComparer.Ordinal)];
        string arithmetic = ArithmeticOf(node);
        string reason = lowered is not null ? lowered.Reason
            : node.Is("Transpose") || node.Is("Identity") ? "images are kept channels-last; it stands where another order is wanted"
            : "it runs as the model has it: lowering is off";
        if (reason.Length == 0 && rules.Length == 0) reason = "it runs as the model has it";
        return new OperatorExplanation(node.Name, node.QualifiedType, node.Origins, arithmetic, rules, reason, step.Step?.Kernel ?? "dynamic",
            step.Step is { } prepared ? prepared.Reason : "shapes follow from data, or the operator holds subgraphs",
            node.Outputs.FirstOrDefault(output => output is not null)?.Type.ToString() ?? "", step.Step?.MultiplyAccumulates ?? 0);
    }

    private static string ArithmeticOf(Node node)
    {
        DataType from = node.Inputs.Count > 0 && node.Inputs[0] is { } input ? input.Type.Element : DataType.Undefined;
        DataType to = node.Outputs.FirstOrDefault(output => output is not null)?.Type.Element ?? DataType.Undefined;
        if (node.OperatorType.StartsWith("DynamicQuantize", StringComparison.Ordinal) && node.OperatorType != "DynamicQuantizeLinear") return "int8";
        bool isByte(DataType type) => type is DataType.Int8 or DataType.UInt8;
        return (isByte(from), isByte(to)) switch
        {
            (true, true) => "int8",
            (true, false) when to.IsFloat() => node.Is("DequantizeLinear") ? "dequantize" : "int8 to float",
            (true, false) => "int8",
            (false, true) when from.IsFloat() => "quantize",
            _ => from.IsFloat() || to.IsFloat() ? "float" : "index",
        };
    }
}
