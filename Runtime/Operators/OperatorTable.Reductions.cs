namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Reductions() =>
    [
    ];
}
