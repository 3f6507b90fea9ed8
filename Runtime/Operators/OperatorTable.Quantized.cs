namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Quantized() =>
    [
        new QuantizeLinear(),
        new DequantizeLinear(),
        new DynamicQuantizeLinear(),
        new QLinearConv(),
        new ConvInteger(),
        new OctetConvInteger(),
        new QLinearMatMul(),
        new MatMulInteger(),
    ];
}
