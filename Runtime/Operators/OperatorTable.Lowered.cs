namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Lowered() =>
    [
        new QConv(),
        new QGemm(),
        new QPair("QAdd", multiply: false),
        new QPair("QMul", multiply: true),
        new QAveragePool("QAveragePool", global: false),
        new QAveragePool("QGlobalAveragePool", global: true),
        new QTable(),
        new FlipSign(),
    ];
}
