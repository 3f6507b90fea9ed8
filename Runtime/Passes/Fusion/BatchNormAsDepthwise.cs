using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>A batch normalization that stands alone → a depthwise <c>octet.Conv</c> of one tap, <c>y = x·s[c] + t[c]</c>, to which other rules add an activation or a sum.</summary>
internal sealed class BatchNormAsDepthwise : RewriteRule
{
    public override string Name => "batchnorm-depthwise";

    public override Pattern Pattern { get; } = Pattern.Op("BatchNormalization", Pattern.Any("x"), Pattern.Any("gamma"), Pattern.Any("beta"), Pattern.Any("mean"), Pattern.Any("variance")).As("bn");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node bn = match.Node("bn");
        TensorType x = match["x"].Type;
        if (x is not { Element: DataType.Float32, IsConcrete: true, Rank: >= 3 and <= 5 }) return RewriteResult.Refuse($"x is {x}, no float32 image");
        if (BatchNorm.Read(bn, out string reason) is not { } norm) return RewriteResult.Refuse(reason);
        int channels = norm.Scale.Length, spatial = x.Rank - 2;
        if (!x.Shape!.Value[1].Is(channels)) return RewriteResult.Refuse($"batch norm has {channels} channels, x is {x}");
        int[] shape = new int[x.Rank];
        Array.Fill(shape, 1);
        shape[0] = channels;
        long[] ones = new long[spatial];
        Array.Fill(ones, 1L);
        Value w = editor.AddConstant(bn.Name + "/scale", Tensor.Create(Array.ConvertAll(norm.Scale, value => (float)value), shape));
        Value b = editor.AddConstant(bn.Name + "/shift", Tensor.Create(Array.ConvertAll(norm.Shift, value => (float)value), channels));
        var attributes = new AttributeMap { { "group", (long)channels }, { "kernel_shape", ones }, { "strides", ones }, { "dilations", ones }, { "pads", new long[2 * spatial] } };
        editor.Fuse(match, bn, "Conv", [match["x"], w, b], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
