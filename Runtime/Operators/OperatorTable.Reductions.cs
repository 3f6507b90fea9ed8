using Octet.Kernels.Reduce;

namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Reductions() =>
    [
        new Reduce<SumReduction>("ReduceSum", ReduceOperation.Sum, axesInputSince: 13),
        new Reduce<MeanReduction>("ReduceMean", ReduceOperation.Mean),
        new Reduce<MaxReduction>("ReduceMax", ReduceOperation.Max),
        new Reduce<MinReduction>("ReduceMin", ReduceOperation.Min),
        new Reduce<ProductReduction>("ReduceProd", ReduceOperation.Product),
        new Reduce<L1Reduction>("ReduceL1", ReduceOperation.L1),
        new Reduce<L2Reduction>("ReduceL2", ReduceOperation.L2),
        new Reduce<SumSquareReduction>("ReduceSumSquare", ReduceOperation.SumSquare),
        new Reduce<LogSumReduction>("ReduceLogSum", ReduceOperation.LogSum),
        new Reduce<LogSumExpReduction>("ReduceLogSumExp", ReduceOperation.LogSumExp),
        new ArgExtreme("ArgMax", largest: true),
        new ArgExtreme("ArgMin", largest: false),
    ];
}
