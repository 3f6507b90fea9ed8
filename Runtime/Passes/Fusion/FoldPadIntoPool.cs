using Octet.Runtime.Graphs;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary><c>AveragePool(Pad(x, 0))</c> → <c>AveragePool(x)</c> that counts its padding; <c>MaxPool(Pad(x, −∞))</c> → <c>MaxPool(x)</c>. Exact.</summary>
internal sealed class FoldPadIntoPool : RewriteRule
{
    public override string Name => "pad-pool";

    public override Pattern Pattern { get; } = Pattern.Op("AveragePool|MaxPool", Pattern.AnyInputs("Pad").As("pad")).As("pool");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node pool = match.Node("pool"), pad = match.Node("pad");
        if (ConstantPad.Read(pad, out string reason) is not { } padding) return RewriteResult.Refuse(reason);
        if (pool.Attributes.Int("ceil_mode") != 0) return RewriteResult.Refuse("the extent is rounded up, which depends on where padding begins");
        AttributeMap attributes = pool.Attributes.Copy();
        if (pool.OperatorType == "MaxPool")
        {
            if (!float.IsNegativeInfinity(padding.Value) && padding.Value != float.MinValue) return RewriteResult.Refuse($"the padding is {padding.Value}, a maximum may be smaller");
            if (pool.Outputs.Count > 1) return RewriteResult.Refuse("indices count the padded elements");
        }
        else
        {
            if (padding.Value != 0f) return RewriteResult.Refuse($"the padding is {padding.Value}, an average pads with 0");
            bool ownPads = pool.Attributes.Ints("pads") is { } own && own.Any(amount => amount != 0);
            if (ownPads && pool.Attributes.Int("count_include_pad") == 0) return RewriteResult.Refuse("the pooling's own padding is not counted, that of Pad is");
            attributes["count_include_pad"] = 1L;
        }
        if (padding.MergedWith(pool, out reason) is not { } pads) return RewriteResult.Refuse(reason);
        attributes["pads"] = pads;
        attributes["auto_pad"] = null;
        editor.Fuse(match, pool, pool.OperatorType, [pad.Inputs[0]], attributes);
        return RewriteResult.Done;
    }
}
