using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>
/// The channel shuffle of ShuffleNet V2, which takes every g-th channel by <c>Gather(Reshape(Transpose(Reshape(x))), j)</c> → <c>Slice(x)</c> from channel j
/// in steps of g. Exact: channel <c>g·k + j</c> of image n is row <c>n·C/g + k</c>, column j of the first Reshape.
/// </summary>
/// <remarks>Between them stand <c>[N·C/g, g, H·W]</c>, its first two axes swapped, and <c>[g, N, C/g, H, W]</c>. A Slice moves with the layout, the steps do not.</remarks>
internal sealed class RecognizeChannelSplit : RewriteRule
{
    /// <summary>First version of Slice that has steps.</summary>
    private const int StepsSince = 10;

    public override string Name => "channel-split";

    public override Pattern Pattern { get; } = Pattern.Op("Gather",
        Pattern.Op("Reshape", Pattern.Op("Transpose", Pattern.Op("Reshape", Pattern.Any("x"), Pattern.Any("s1")).As("rows").Kept()).As("swap").Kept(), Pattern.Any("s2")).As("groups").Kept(),
        Pattern.Constant("index")).As("gather");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node gather = match.Node("gather");
        Value x = match["x"];
        if (gather.Opset < StepsSince) return RewriteResult.Refuse($"Slice of version {gather.Opset} has no steps");
        if (gather.Attributes.Int("axis") != 0 || match["index"].Constant is not { Rank: 0 } index || !index.Type.IsInteger()) return RewriteResult.Refuse("it does not pick one group along axis 0");
        if (!x.Type.IsConcrete || !match["rows"].Type.IsConcrete || !match["groups"].Type.IsConcrete || x.Type.Rank < 3) return RewriteResult.Refuse("the extents are not known");
        int[] shape = x.Type.ConcreteShape(), groups = match["groups"].Type.ConcreteShape();
        int count = groups[0], pixels = Tensor.CountElements(shape.AsSpan(2));
        if (count < 1 || shape[1] % count != 0) return RewriteResult.Refuse($"{shape[1]} channels do not divide into {count} groups");
        int[] rows = [shape[0] * (shape[1] / count), count, pixels], expected = [count, shape[0], shape[1] / count, .. shape.AsSpan(2)];
        if (!match["rows"].Type.ConcreteShape().AsSpan().SequenceEqual(rows) || !groups.AsSpan().SequenceEqual(expected)
            || Permutation.Of(match.Node("swap")) is not { } order || !order.AsSpan().SequenceEqual([1, 0, 2])) return RewriteResult.Refuse("the shapes are not those of a channel shuffle");

        long first = index.ToInt64Array()[0];
        if (first < 0) first += count;
        if (first < 0 || first >= count) return RewriteResult.Refuse($"group {first} of {count} does not exist");
        Value One(string name, long value) => editor.AddConstant(gather.Name + name, Tensor.Create([value], 1));
        editor.Fuse(match, gather, "Slice", [x, One("/start", first), One("/end", shape[1]), One("/axis", 1), One("/step", count)]);
        return RewriteResult.Done;
    }
}
