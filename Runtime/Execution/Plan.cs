using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>Where a value lives during a run.</summary>
internal enum Storage
{
    /// <summary>A place in the run's arena.</summary>
    Arena,
    /// <summary>The caller's input tensor.</summary>
    Input,
    /// <summary>The caller's output tensor.</summary>
    Output,
    /// <summary>A constant of the model.</summary>
    Constant,
    /// <summary>Made during the run: its shape follows from data, or it is text or a sequence.</summary>
    Dynamic,
}

/// <summary>One value of a plan.</summary>
/// <param name="Value">The value in the compiled graph.</param>
/// <param name="Storage">Where it lives.</param>
/// <param name="Number">Which input, output or dynamic value it is.</param>
/// <param name="Place">Its place in the arena.</param>
/// <param name="Shape">Its extents in memory, where known.</param>
internal sealed record PlannedValue(Value Value, Storage Storage, int Number, MemoryPlanner.Place? Place, int[]? Shape)
{
    /// <summary>Position in <see cref="Plan.Values"/>.</summary>
    public int Index { get; init; }

    /// <summary>Byte of <see cref="Place"/> that the value begins at.</summary>
    public int PlaceOffset { get; init; }

    /// <summary>Where its rows lie among the wider rows that its place holds; null for a dense value.</summary>
    public RowSlice? Rows { get; init; }
}

/// <summary>A value whose rows are parts of another tensor's rows: an input of a concatenation that its producer writes in place.</summary>
/// <param name="Whole">Type of the other tensor, which fills the place.</param>
/// <param name="Width">Elements of a row.</param>
/// <param name="First">Element of the other tensor that row 0 begins at.</param>
/// <param name="Stride">Elements of the other tensor between rows.</param>
internal sealed record RowSlice(TensorType Whole, int Width, int First, int Stride);

/// <summary>One operator of a plan: a prepared step, or an operator that evaluates dynamically.</summary>
internal sealed class PlannedStep
{
    /// <summary>The node in the compiled graph.</summary>
    public required Node Node { get; init; }

    /// <summary>The operator.</summary>
    public required Operator Operator { get; init; }

    /// <summary>The prepared step; null where the operator evaluates dynamically.</summary>
    public required Step? Step { get; init; }

    /// <summary>Values read: indices into <see cref="Plan.Values"/>, −1 where left out.</summary>
    public required int[] Inputs { get; init; }

    /// <summary>Values made: indices into <see cref="Plan.Values"/>, −1 where not wanted.</summary>
    public required int[] Outputs { get; init; }

    /// <summary>Inputs whose tensor exists only once the run got there.</summary>
    public required int[] DynamicInputs { get; init; }

    /// <summary>Subgraphs of the node, ready to run; each with the values that it captures.</summary>
    public Dictionary<Graph, SubgraphPlan>? Subgraphs { get; init; }
}

/// <summary>A subgraph as a runnable graph whose captured values are further inputs.</summary>
/// <param name="Runner">Runs it.</param>
/// <param name="Captures">Indices into <see cref="Plan.Values"/> of the captured values, in the order of the further inputs.</param>
internal sealed record SubgraphPlan(GraphRunner Runner, int[] Captures);

/// <summary>A graph compiled for one CPU, one number of threads and one combination of input shapes. Immutable.</summary>
internal sealed class Plan
{
    private readonly Stack<RunState> _idle = new();
    private readonly Lock _gate = new();

    /// <summary>The rewritten graph that the steps come from.</summary>
    public required Graph Graph { get; init; }

    /// <summary>All values.</summary>
    public required PlannedValue[] Values { get; init; }

    /// <summary>All steps, in order.</summary>
    public required PlannedStep[] Steps { get; init; }

    /// <summary>For each graph input: its value, or −1 where nothing reads it.</summary>
    public required int[] Inputs { get; init; }

    /// <summary>For each graph output: its value.</summary>
    public required int[] Outputs { get; init; }

    /// <summary>For each graph output: whether a step writes straight into the caller's tensor; otherwise it is copied at the end.</summary>
    public required bool[] WritesOutput { get; init; }

    /// <summary>Number of dynamic values.</summary>
    public required int DynamicCount { get; init; }

    /// <summary>Bytes of the arena, scratch space excluded.</summary>
    public required int ArenaBytes { get; init; }

    /// <summary>Bytes of scratch space.</summary>
    public required int ScratchBytes { get; init; }

    /// <summary>What rewriting did, for <c>explain</c>.</summary>
    public required CompileReport Report { get; init; }

    /// <summary>The types of the inputs that the plan was made for; null where an input was left out.</summary>
    public required TensorType?[] InputTypes { get; init; }

    /// <summary>Types of the outputs as the caller sees them.</summary>
    public required TensorType[] OutputTypes { get; init; }

    /// <summary>Whether every output has a shape that is known before the run.</summary>
    public bool HasStaticOutputs => OutputTypes.All(type => type.IsConcrete && type.Element != DataType.String);

    /// <summary>Whether its runs take helpers.</summary>
    public ThreadChoice Choice { get; } = new();

    /// <summary>Takes an idle state, or makes one.</summary>
    public RunState Rent(Kernels.Threading.Parallelism parallel)
    {
        lock (_gate)
        {
            if (_idle.TryPop(out RunState? state)) return state;
        }
        return new RunState(this, parallel);
    }

    /// <summary>Gives a state back for the next run.</summary>
    public void Return(RunState state)
    {
        lock (_gate) _idle.Push(state);
    }
}
