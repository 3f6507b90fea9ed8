namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Contributed() =>
    [
        new QuantizeLinear(Operator.MicrosoftDomain),
        new DequantizeLinear(Operator.MicrosoftDomain),
        new QLinearElementwise("QLinearAdd", multiply: false),
        new QLinearElementwise("QLinearMul", multiply: true),
        new QLinearPointwise("QLinearSigmoid", QLinearPointwise.Sigmoid),
        new QLinearPointwise("QLinearLeakyRelu", QLinearPointwise.LeakyRelu),
        new QLinearSoftmax(),
        new QLinearConcat(),
        new QLinearAveragePool("QLinearAveragePool", global: false),
        new QLinearAveragePool("QLinearGlobalAveragePool", global: true),
        new QGemmContributed(),
        new MatMulIntegerToFloat(),
        new DynamicQuantizeMatMul(),
        new MatMulNBits(),
    ];
}
