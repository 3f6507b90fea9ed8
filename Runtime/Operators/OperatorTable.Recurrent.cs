namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Recurrent() =>
    [
        new Rnn(),
        new Gru(),
        new Lstm(),
        new DynamicQuantizeLstm(),
    ];
}
