namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] ControlFlow() =>
    [
        new If(),
        new Loop(),
        new Scan(),
        new Scan8(),
        new SequenceEmpty(),
        new SequenceConstruct(),
        new SequenceAt(),
        new SequenceInsert(),
        new SequenceErase(),
        new SequenceLength(),
        new ConcatFromSequence(),
        new SplitToSequence(),
        new SequenceMap(),
        new Optional(),
        new OptionalHasElement(),
        new OptionalGetElement(),
    ];
}
