using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>If</c>: the outputs of <c>then_branch</c> where the condition is true, of <c>else_branch</c> otherwise.</summary>
/// <remarks>The branches read values of the surrounding graphs and have no inputs. Only the branch that is taken runs.</remarks>
internal sealed class If : Operator
{
    public override OperatorId Id => new("If");

    public override string Types => "any";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Bool);
        Graph then = Branch(c, "then_branch"), otherwise = Branch(c, "else_branch");
        if (then.Outputs.Count != otherwise.Outputs.Count || then.Outputs.Count < c.OutputCount)
            throw c.Error($"the branches have {then.Outputs.Count} and {otherwise.Outputs.Count} outputs for {c.OutputCount} of the node", "both branches make every output of the node");
        ModelException? wrong = null;
        bool? condition = c.Known(0) is { Type: DataType.Bool, Length: 1 } known ? known.Span<bool>()[0] : null;
        IReadOnlyList<TensorType>? a = condition == false ? null : Types(then), b = condition == true ? null : Types(otherwise);
        if (a is null && b is null) throw wrong!;
        for (int i = 0; i < c.OutputCount; i++) c.Set(i, a is null ? b![i] : b is null ? a[i] : TypeMerge.Merge(a[i], b[i]));

        // Exporters guard an operator by a condition on extents (Squeeze only where the extent is 1): a branch that cannot run with these inputs is not the one that is taken, or says so then.
        IReadOnlyList<TensorType>? Types(Graph branch)
        {
            try
            {
                return c.InferSubgraph(branch, []);
            }
            catch (ModelException e)
            {
                wrong = e;
                return null;
            }
        }
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor condition = c.Input(0);
        if (condition.Type != DataType.Bool || condition.Length != 1) throw c.Error($"the condition is {condition}", "the condition is one bool");
        return c.RunSubgraph(condition.Span<bool>()[0] ? "then_branch" : "else_branch");
    }

    private static Graph Branch(InferContext c, string name) =>
        c.Attributes.Graph(name) ?? throw c.Error($"attribute '{name}' is missing", "both branches are given");
}
