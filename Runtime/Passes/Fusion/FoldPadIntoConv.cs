using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary><c>Conv(Pad(x))</c> → <c>Conv(x)</c> with larger pads, where the padding is zero and on spatial axes only. Exact.</summary>
internal sealed class FoldPadIntoConv : RewriteRule
{
    public override string Name => "pad-conv";

    public override Pattern Pattern { get; } = Pattern.Op("Conv", Pattern.AnyInputs("Pad").As("pad"), Pattern.Any("w"), Pattern.Optional("b")).As("conv");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node conv = match.Node("conv"), pad = match.Node("pad");
        if (ConstantPad.Read(pad, out string reason) is not { } padding) return RewriteResult.Refuse(reason);
        if (padding.Value != 0f) return RewriteResult.Refuse($"the padding is {padding.Value}, a convolution pads with 0");
        if (padding.MergedWith(conv, out reason) is not { } pads) return RewriteResult.Refuse(reason);
        AttributeMap attributes = conv.Attributes.Copy();
        attributes["pads"] = pads;
        attributes["auto_pad"] = null;
        editor.Fuse(match, conv, "Conv", [pad.Inputs[0], match["w"], match.Find("b")], attributes);
        return RewriteResult.Done;
    }
}

/// <summary>A Pad in mode <c>constant</c> by known amounts.</summary>
/// <param name="Begin">Elements before the first, per axis.</param>
/// <param name="End">Elements after the last, per axis.</param>
/// <param name="Value">What they hold.</param>
internal readonly record struct ConstantPad(long[] Begin, long[] End, float Value)
{
    /// <summary>Reads a Pad of any version; null with a reason where it is not of that form.</summary>
    public static ConstantPad? Read(Node pad, out string reason)
    {
        reason = "";
        int rank = pad.Input(0)?.Type.Rank ?? -1;
        bool inputs = pad.Opset >= 11;
        long[]? amounts = inputs ? pad.Input(1)?.Constant?.ToInt64Array() : pad.Attributes.Ints("pads") ?? pad.Attributes.Ints("paddings");
        float? value = inputs ? (pad.Input(2) is { } given ? RuleValues.Scalar(given) : 0f) : pad.Attributes.Float("value");
        long[]? axes = pad.Input(3) is { } listed ? listed.Constant?.ToInt64Array() : [.. Enumerable.Range(0, Math.Max(rank, 0)).Select(axis => (long)axis)];
        if (pad.Attributes.String("mode", "constant") != "constant") reason = $"the padding mode is '{pad.Attributes.String("mode")}'";
        else if (rank < 0) reason = "the rank of what is padded is not known";
        else if (amounts is null || value is null || axes is null) reason = "the padding is computed at run time";
        else if (amounts.Length != 2 * axes.Length) reason = "the padding does not fit its axes";
        else if (amounts.Any(amount => amount < 0)) reason = "the padding crops";
        if (reason.Length > 0) return null;

        long[] begin = new long[rank], end = new long[rank];
        for (int i = 0; i < axes!.Length; i++)
        {
            long axis = axes[i] < 0 ? axes[i] + rank : axes[i];
            if (axis < 0 || axis >= rank)
            {
                reason = $"axis {axes[i]} does not exist";
                return null;
            }
            begin[axis] = amounts![i];
            end[axis] = amounts[i + axes.Length];
        }
        return new ConstantPad(begin, end, value!.Value);
    }

    /// <summary>This padding and that of a sliding window together; null with a reason where they are not one padding.</summary>
    public long[]? MergedWith(Node window, out string reason)
    {
        reason = "";
        int spatial = Begin.Length - 2;
        long[] own = window.Attributes.Ints("pads") ?? new long[2 * Math.Max(0, spatial)];
        if (spatial < 1) reason = "what is padded has no spatial axes";
        else if (Begin[0] + End[0] + Begin[1] + End[1] != 0) reason = "the padding is on the batch or channel axis";
        else if (window.Attributes.String("auto_pad", "NOTSET") is not ("NOTSET" or "VALID" or "")) reason = $"auto_pad is {window.Attributes.String("auto_pad")}";
        else if (own.Length != 2 * spatial) reason = "pads do not fit the spatial axes";
        if (reason.Length > 0) return null;
        if (window.Attributes.String("auto_pad") == "VALID") own = new long[2 * spatial];
        long[] merged = new long[2 * spatial];
        for (int i = 0; i < spatial; i++)
        {
            merged[i] = own[i] + Begin[i + 2];
            merged[i + spatial] = own[i + spatial] + End[i + 2];
        }
        return merged;
    }
}
