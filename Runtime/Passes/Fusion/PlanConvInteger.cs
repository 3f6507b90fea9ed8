using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Mul(Cast(ConvInteger(x, w, zx, zw)), scale)</c>, which dynamic quantization writes → <c>octet.ConvInteger</c>. Exact.</summary>
internal sealed class PlanConvInteger : RewriteRule
{
    public override string Name => "plan-convinteger";

    public override Pattern Pattern { get; } = Pattern.Op("Mul",
        Pattern.Op("Cast", Pattern.Op("ConvInteger", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("xZero"), Pattern.Optional("wZero")).As("conv")).As("cast"), Pattern.Any("scale")).EitherOrder().As("mul");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        Value x = match["x"], scale = match["scale"];
        if (match["w"].Constant is not { Rank: >= 3 and <= 5 } w) return RewriteResult.Refuse("w is no constant");
        if (match.Find("wZero") is { Constant: null }) return RewriteResult.Refuse("the zero point of w is computed at run time");
        if (x.Type is not { IsConcrete: true, Rank: >= 3 and <= 5 }) return RewriteResult.Refuse($"x is {x.Type}, whose extents are not all known");
        if (match.Node("cast").Output.Type.Element != DataType.Float32) return RewriteResult.Refuse($"the sum becomes {match.Node("cast").Output.Type}");
        int channels = w.Shape[0];
        if (scale.Type is not { Element: DataType.Float32, IsConcrete: true } || scale.Type.Rank > x.Type.Rank || !PerChannel(scale.Type.ConcreteShape(), x.Type.Rank, channels))
            return RewriteResult.Refuse($"the factor is {scale.Type}, neither one number nor one per channel");
        long[] kernel = Array.ConvertAll(w.Shape[2..].ToArray(), extent => (long)extent);
        int[] extents = x.Type.ConcreteShape();
        Kernels.Geometry.WindowAxis[] axes = WindowReader.Read(PlanGeometry.Context(conv), extents.AsSpan(2), w.Shape[2..]);
        var attributes = new AttributeMap
        {
            { "group", conv.Attributes.Int("group", 1) },
            { "kernel_shape", kernel },
            { "strides", Array.ConvertAll(axes, axis => (long)axis.Stride) },
            { "dilations", Array.ConvertAll(axes, axis => (long)axis.Dilation) },
            { "pads", (long[])[.. axes.Select(axis => (long)axis.PadBegin), .. axes.Select(axis => (long)axis.PadEnd)] },
        };
        if (match.Find("wZero")?.Constant is { } zeros) attributes["w_zero_points"] = zeros.ToInt64Array();
        editor.Fuse(match, conv, "ConvInteger", [x, match["w"], null, null, match.Find("xZero"), scale], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }

    /// <summary>Whether a factor is one number or has its only extent above 1, the channels, under axis 1.</summary>
    private static bool PerChannel(int[] shape, int rank, int channels)
    {
        for (int fromEnd = 1; fromEnd <= shape.Length; fromEnd++)
        {
            if (shape[^fromEnd] != 1 && (rank - fromEnd != 1 || shape[^fromEnd] != channels)) return false;
        }
        return true;
    }
}

/// <summary><c>octet.ConvInteger + b</c> for a constant with one value per channel → its bias. Exact.</summary>
internal sealed class FuseBiasIntoConvInteger : RewriteRule
{
    public override string Name => "convinteger-bias";

    public override Pattern Pattern { get; } = Pattern.Op("Add", Pattern.AnyInputs("octet.ConvInteger").As("conv"), Pattern.Constant("b")).EitherOrder().As("add");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (conv.Input(2) is not null || conv.Input(3) is not null || conv.Attributes.Contains("activation")) return RewriteResult.Refuse($"{conv} has an epilogue already");
        int channels = conv.Inputs[1]!.Constant!.Shape[0];
        if (RuleValues.PerChannel(match["b"], channels, conv.Output.Type.Rank) is not { } bias) return RewriteResult.Refuse($"the addend {match["b"].Type} is not one value per channel");
        Value?[] inputs = [.. conv.Inputs];
        inputs[2] = editor.AddConstant(match["b"].Name + "/channels", Tensor.Create(bias, channels));
        editor.Fuse(match, conv, "ConvInteger", inputs, conv.Attributes.Copy(), Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
