namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Fused() =>
    [
        new OctetActivation(),
        new RoundTo(),
        new PowMul(),
        new OctetAttention(),
    ];
}
