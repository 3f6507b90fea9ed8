namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Vision() =>
    [
        new Resize(),
        new Upsample(),
        new GridSample(),
        new AffineGrid(),
        new RoiAlign(),
        new MaxRoiPool(),
        new NonMaxSuppression(),
        new MaxUnpool(),
        new DeformConv(),
    ];
}
