using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>A Reshape, Flatten, Squeeze or Unsqueeze of another one → one Reshape, where the final extents are known.</summary>
internal sealed class MergeReshapes : RewriteRule
{
    private const string Views = "Reshape|Flatten|Squeeze|Unsqueeze";

    public override string Name => "reshape-reshape";

    public override Pattern Pattern { get; } = Pattern.Op(Views, Pattern.AnyInputs(Views).As("inner").Kept(), Pattern.Optional("argument")).As("outer");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node inner = match.Node("inner"), outer = match.Node("outer");
        if (inner.Inputs[0] is not { } x) return RewriteResult.Refuse("the inner reshape has no input");
        if (!outer.Output.Type.IsConcrete) return RewriteResult.Refuse($"the final shape {outer.Output.Type} is not known");
        if (outer.Opset < 5) return RewriteResult.Refuse($"Reshape of version {outer.Opset} takes its shape as an attribute");
        int[] shape = outer.Output.Type.ConcreteShape();
        if (shape.Contains(0)) return RewriteResult.Refuse("an extent is 0, which Reshape reads as the input's");
        Value target = editor.AddConstant(outer.Name + "/shape", Tensor.Create(Array.ConvertAll(shape, extent => (long)extent), shape.Length));
        editor.Fuse(match, outer, "Reshape", [x, target]);
        return RewriteResult.Done;
    }
}

/// <summary><c>Transpose(Transpose(x))</c> → one Transpose, or x itself where the two cancel.</summary>
internal sealed class MergeTransposes : RewriteRule
{
    public override string Name => "transpose-transpose";

    public override Pattern Pattern { get; } = Pattern.Op("Transpose", Pattern.Op("Transpose", Pattern.Any("x")).As("inner").Kept()).As("outer");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node inner = match.Node("inner"), outer = match.Node("outer");
        if (Permutation.Of(inner) is not { } first || Permutation.Of(outer) is not { } second || first.Length != second.Length) return RewriteResult.Refuse("the rank is not known");
        int[] both = Permutation.Compose(first, second);
        bool cancels = Permutation.IsIdentity(both);
        if (cancels && outer.Output.IsGraphOutput) return RewriteResult.Refuse("the result is an output of the graph");
        if (cancels) editor.ReplaceBy(match, match["x"]);
        else editor.Fuse(match, outer, "Transpose", [match["x"]], new AttributeMap { { "perm", Permutation.Attribute(both) } });
        return RewriteResult.Done;
    }
}
