namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Pools() =>
    [
        new MaxPool(),
        new OctetMaxPool(),
        new GlobalMaxPool(),
        new AveragePool(),
        new OctetAveragePool(),
        new GlobalAveragePool(),
        new OctetGlobalAveragePool(),
        new LpPool(),
        new GlobalLpPool(),
    ];
}
