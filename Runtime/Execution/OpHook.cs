using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>One tensor at one operator of one run, seen while its memory is alive.</summary>
public readonly ref struct OpEvent
{
    internal OpEvent(string node, string operatorType, string value, int index, bool isInput, TensorView tensor)
    {
        NodeName = node;
        OperatorType = operatorType;
        ValueName = value;
        Index = index;
        IsInput = isInput;
        Tensor = tensor;
    }

    /// <summary>Name of the operator's node; of the first original node where several were merged.</summary>
    public string NodeName { get; }

    /// <summary>Operator type, such as <c>Conv</c>.</summary>
    public string OperatorType { get; }

    /// <summary>Name of the value in the model.</summary>
    public string ValueName { get; }

    /// <summary>Which input or output it is.</summary>
    public int Index { get; }

    /// <summary>Whether it is an input, seen before the operator runs, or an output, seen after.</summary>
    public bool IsInput { get; }

    /// <summary>The tensor; valid until the hook returns.</summary>
    public TensorView Tensor { get; }
}

/// <summary>Watches a session's operators. Runs on the thread of the run, in the order of the operators; an exception ends the run.</summary>
public delegate void OpHook(in OpEvent e);
