using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>Conv</c> with constant weights → <c>octet.Conv</c>, whose geometry is complete and to which other rules add an epilogue.</summary>
internal sealed class PlanConv : RewriteRule
{
    public override string Name => "plan-conv";

    public override Pattern Pattern { get; } = Pattern.Op("Conv", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b")).As("conv");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (PlanGeometry.Attributes(conv, out string reason) is not { } attributes) return RewriteResult.Refuse(reason);
        editor.Fuse(match, conv, "Conv", [match["x"], match["w"], match.Find("b")], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary><c>ConvTranspose</c> with constant weights → <c>octet.ConvTranspose</c>.</summary>
internal sealed class PlanConvTranspose : RewriteRule
{
    public override string Name => "plan-convtranspose";

    public override Pattern Pattern { get; } = Pattern.Op("ConvTranspose", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b")).As("conv");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (PlanGeometry.Refusal(conv) is { } reason) return RewriteResult.Refuse(reason);
        editor.Fuse(match, conv, "ConvTranspose", [match["x"], match["w"], match.Find("b")], conv.Attributes.Copy(), Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary>Contributed <c>FusedConv</c> with constant weights → <c>octet.Conv</c> with the same epilogue.</summary>
internal sealed class PlanFusedConv : RewriteRule
{
    public override string Name => "plan-fusedconv";

    public override Pattern Pattern { get; } =
        Pattern.Op("com.microsoft.FusedConv", Pattern.Any("x"), Pattern.Any("w"), Pattern.Optional("b"), Pattern.Optional("z")).As("conv");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv");
        if (PlanGeometry.Attributes(conv, out string reason) is not { } attributes) return RewriteResult.Refuse(reason);
        try
        {
            Activation.ReadContributed(PlanGeometry.Context(conv)).Write(attributes);
        }
        catch (UnsupportedModelException unsupported)
        {
            return RewriteResult.Refuse(unsupported.Message);
        }
        editor.Fuse(match, conv, "Conv", [match["x"], match["w"], match.Find("b"), match.Find("z")], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary>Geometry of convolutions in plans.</summary>
internal static class PlanGeometry
{
    /// <summary>Why a convolution cannot be planned on the float32 kernels, or null.</summary>
    public static string? Refusal(Node conv)
    {
        if (!RuleValues.HasConstantFloatWeights(conv)) return "the weights or the bias are no float32 constants";
        if (conv.Inputs[0] is not { Type: { Element: DataType.Float32, IsConcrete: true } type }) return $"x is {conv.Inputs[0]?.Type}, whose extents are not all known";
        return type.Rank is >= 3 and <= 5 ? null : $"x has rank {type.Rank}";
    }

    /// <summary>The complete attributes of <c>octet.Conv</c>; null with a reason where the convolution cannot be planned.</summary>
    public static AttributeMap? Attributes(Node conv, out string reason)
    {
        reason = Refusal(conv) ?? "";
        if (reason.Length > 0) return null;
        int[] x = conv.Inputs[0]!.Type.ConcreteShape();
        long[] kernel = Array.ConvertAll(conv.Inputs[1]!.Constant!.Shape[2..].ToArray(), extent => (long)extent);
        WindowGeometry geometry = WindowGeometry.Read(Context(conv), kernel);
        long[] pads = new long[2 * geometry.Rank];
        for (int i = 0; i < geometry.Rank; i++)
        {
            Kernels.Geometry.WindowAxis axis = geometry.Axis(i, x[i + 2]);
            (pads[i], pads[i + geometry.Rank]) = (axis.PadBegin, axis.PadEnd);
        }
        return new AttributeMap
        {
            { "group", conv.Attributes.Int("group", 1) },
            { "kernel_shape", kernel },
            { "strides", Array.ConvertAll(geometry.Strides, value => (long)value) },
            { "dilations", Array.ConvertAll(geometry.Dilations, value => (long)value) },
            { "pads", pads },
        };
    }

    /// <summary>The node as operators see it, without known values.</summary>
    public static NodeContext Context(Node node) => new InferContext(node, [.. node.Inputs.Select(input => input?.Type)], _ => null);
}
