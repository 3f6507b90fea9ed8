namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Signal() =>
    [
        new Dft(),
        new Stft(),
        new HannWindow(),
        new HammingWindow(),
        new BlackmanWindow(),
        new MelWeightMatrix(),
        new Det(),
    ];

    private static Operator[] Text() =>
    [
        new StringConcat(),
        new StringSplit(),
        new StringNormalizer(),
        new RegexFullMatch(),
        new TfIdfVectorizer(),
    ];

    private static Operator[] Losses() =>
    [
        new NegativeLogLikelihoodLoss(),
        new SoftmaxCrossEntropyLoss(),
    ];
}
