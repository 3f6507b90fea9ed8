namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Movement() =>
    [
        new Concat(),
        new Split(),
        new Slice(),
        new Gather(),
        new Transpose(),
        new Expand(),
        new Tile(),
        new Pad(),
    ];
}
