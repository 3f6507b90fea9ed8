namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Attention() =>
    [
        new Attention(),
        new RotaryEmbedding(),
        new MicrosoftRotaryEmbedding(),
        new MicrosoftAttention(),
        new MultiHeadAttention(),
        new Einsum(),
    ];
}
