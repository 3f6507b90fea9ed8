using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>One tensor at one operator of one run, seen while its memory is alive.</summary>
public readonly ref struct OpEvent
{
    private readonly RunState _state;
    private readonly PlannedStep _step;
    private readonly PlannedValue _value;

    internal OpEvent(RunState state, PlannedStep step, PlannedValue value, int index, bool isInput)
    {
        (_state, _step, _value) = (state, step, value);
        Index = index;
        IsInput = isInput;
    }

    /// <summary>Name of the operator's node; of the first original node where several were merged.</summary>
    public string NodeName => _step.Node.Origins.Count > 0 ? _step.Node.Origins[0] : _step.Node.Name;

    /// <summary>Operator type, such as <c>Conv</c>.</summary>
    public string OperatorType => _step.Node.OperatorType;

    /// <summary>Name of the value in the model.</summary>
    public string ValueName => _value.Value.Name;

    /// <summary>Which input or output it is.</summary>
    public int Index { get; }

    /// <summary>Whether it is an input, seen before the operator runs, or an output, seen after.</summary>
    public bool IsInput { get; }

    /// <summary>Whether an operator makes the value during the run; a caller's input and a constant are only read.</summary>
    internal bool IsMade => _value.Value.Producer is not null;

    /// <summary>The tensor; valid until the hook returns. Made ready when it is asked for, so that a hook pays for the tensors that it looks at.</summary>
    public TensorView Tensor => _state.View(_value);
}

/// <summary>Watches a session's operators. Runs on the thread of the run, in the order of the operators; an exception ends the run.</summary>
public delegate void OpHook(in OpEvent e);
