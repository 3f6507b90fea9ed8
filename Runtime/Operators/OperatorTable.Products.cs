namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Products() =>
    [
        new MatMul(),
        new FusedMatMul(),
        new Gemm(),
        new FusedGemm(),
        new OctetGemm(),
    ];
}
