namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Reductions() =>
    [
        new Reduce<SumReduction>("ReduceSum", axesInputSince: 13),
        new Reduce<MeanReduction>("ReduceMean"),
        new Reduce<MaxReduction>("ReduceMax"),
        new Reduce<MinReduction>("ReduceMin"),
        new Reduce<ProductReduction>("ReduceProd"),
        new Reduce<L1Reduction>("ReduceL1"),
        new Reduce<L2Reduction>("ReduceL2"),
        new Reduce<SumSquareReduction>("ReduceSumSquare"),
        new Reduce<LogSumReduction>("ReduceLogSum"),
        new Reduce<LogSumExpReduction>("ReduceLogSumExp"),
        new ArgExtreme("ArgMax", largest: true),
        new ArgExtreme("ArgMin", largest: false),
    ];
}
