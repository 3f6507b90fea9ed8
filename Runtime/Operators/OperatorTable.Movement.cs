namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Movement() =>
    [
        new Concat(),
        new Split(),
        new Slice(),
        new Transpose(),
        new Expand(),
        new Tile(),
        new Pad(),
        new CenterCropPad(),
        new DepthToSpace(),
        new SpaceToDepth(),
        new Col2Im(),
        new ReverseSequence(),

        new Gather(),
        new GatherElements(),
        new GatherND(),
        new ScatterElements("Scatter"),
        new ScatterElements("ScatterElements"),
        new ScatterND(),
        new TensorScatter(),
        new TopK(),

        new Compress(),
        new NonZero(),
        new Unique(),

        new Trilu(),
        new EyeLike(),
        new RangeOperator(),
        new OneHot(),
    ];
}
