namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Convolutions() =>
    [
        new Conv(),
        new FusedConv(),
        new OctetConv(),
        new ConvTranspose(),
        new OctetConvTranspose(),
    ];
}
