using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>DepthToSpace</c>: blocks of b·b channels become b × b pixels; in mode <c>DCR</c> the block is the outer part of the channel, in <c>CRD</c> the inner.
/// </summary>
internal sealed class DepthToSpace : Operator
{
    public override OperatorId Id { get; } = new("DepthToSpace");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        int b = SpaceToDepth.BlockSize(c);
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        if (x.Length != 4) throw c.Error($"x has rank {x.Length}", "x is [N, C, H, W]");
        if (x[1].IsKnown && x[1].Value % (b * (long)b) != 0) throw c.Error($"{x[1]} channels, block {b}", "blocksize² divides the channels");
        c.Set(0, c.Element(0), x[0], x[1] / (b * (long)b), x[2] * b, x[3] * b);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int b = SpaceToDepth.BlockSize(c), channels = x[1] / (b * b), plane = x[2] * x[3];
        bool blockOutside = c.Attributes.String("mode", "DCR") switch
        {
            "DCR" => true,
            "CRD" => false,
            string other => throw c.Error($"mode is '{other}'", "mode is DCR or CRD"),
        };
        int block = blockOutside ? channels * plane : plane, channel = blockOutside ? plane : b * b * plane;
        // Output axes: n, channel, h, row in block, w, column in block.
        return StridedCopy.Plan(c, [x[0], channels, x[2], b, x[3], b], [x[1] * plane, channel, x[3], b * block, 1, block]);
    }
}

/// <summary><c>SpaceToDepth</c>: blocks of b × b pixels become b·b channels, the block being the outer part of the channel.</summary>
internal sealed class SpaceToDepth : Operator
{
    public override OperatorId Id { get; } = new("SpaceToDepth");

    public override string Types => "all";

    public override void Infer(InferContext c)
    {
        int b = BlockSize(c);
        if (c.Shape(0) is not { } x)
        {
            c.SetUnknownShape(0, c.Element(0));
            return;
        }
        if (x.Length != 4) throw c.Error($"x has rank {x.Length}", "x is [N, C, H, W]");
        if ((x[2].IsKnown && x[2].Value % b != 0) || (x[3].IsKnown && x[3].Value % b != 0)) throw c.Error($"the image is {x[2]}×{x[3]}, block {b}", "blocksize divides height and width");
        c.Set(0, c.Element(0), x[0], x[1] * (b * (long)b), x[2] / b, x[3] / b);
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int b = BlockSize(c), height = x[2] / b, width = x[3] / b, plane = x[2] * x[3];
        // Output axes: n, row in block, column in block, channel, h, w.
        return StridedCopy.Plan(c, [x[0], b, b, x[1], height, width], [x[1] * plane, x[3], 1, plane, b * x[3], b]);
    }

    /// <summary>Attribute <c>blocksize</c>.</summary>
    internal static int BlockSize(NodeContext c)
    {
        long b = c.Attributes.Int("blocksize");
        return b is >= 1 and <= 32768 ? (int)b : throw c.Error($"blocksize is {b}", "blocksize is 1 or more (at most 32768)");
    }
}
