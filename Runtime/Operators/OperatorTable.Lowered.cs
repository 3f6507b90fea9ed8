namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Lowered() =>
    [
        new QConv(),
        new QGemm(),
        new QConvTranspose(),
        new QMatMul(),
        new DynamicQuantizeGru(),
        new DynamicQuantizeRnn(),
        new QPair("QAdd", PairOperation.Add),
        new QPair("QMul", PairOperation.Multiply),
        new QPair("QDiv", PairOperation.Divide),
        new QAveragePool("QAveragePool", global: false),
        new QAveragePool("QGlobalAveragePool", global: true),
        new QTable(),
        new FlipSign(),
        new DequantizeAdd(),
    ];
}
