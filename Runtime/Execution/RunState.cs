using Octet.Kernels.Layout;
using Octet.Kernels.Memory;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>The memory of one run of a plan: arena, bound steps, dynamic values. Used by one run at a time, and again by later ones.</summary>
internal sealed class RunState
{
    private readonly Plan _plan;
    private readonly Tensor?[] _tensors;            // per value; null for inputs, outputs and dynamic values
    private readonly StepContext?[] _contexts;      // per step; null where the operator evaluates dynamically
    private readonly List<(int Step, int Argument)>[] _readers;   // per graph input: who reads the caller's tensor
    private readonly List<(int Step, int Argument)>[] _outputReaders;
    private readonly (int Step, int Argument)[] _writers;         // per graph output: who writes the caller's tensor
    private byte[] _gathered = [];

    public RunState(Plan plan, Parallelism parallel)
    {
        _plan = plan;
        Parallel = parallel;
        var buffer = new AlignedBuffer((long)plan.ArenaBytes + plan.ScratchBytes);
        Memory<byte> arena = buffer.Memory[..plan.ArenaBytes], scratch = buffer.Memory[plan.ArenaBytes..];
        Dynamic = new RuntimeValue?[plan.DynamicCount];
        Ticks = new long[plan.Steps.Length];
        Prepared = new (TensorType?[] Types, StaticEvaluation.Prepared Step)?[plan.Steps.Length];
        _tensors = new Tensor?[plan.Values.Length];
        foreach (PlannedValue value in plan.Values)
        {
            _tensors[value.Index] = value.Storage switch
            {
                Storage.Constant => value.Value.Constant,
                Storage.Arena when value.Rows is { } rows => new Tensor(rows.Whole.Element, rows.Whole.ConcreteShape(), arena.Slice(value.Place!.Offset, value.Place.Bytes)),
                Storage.Arena => new Tensor(value.Value.Type.Element, value.Shape, arena.Slice(value.Place!.Offset + value.PlaceOffset, BytesOf(value))),
                _ => null,
            };
        }

        _readers = new List<(int, int)>[plan.Inputs.Length];
        for (int i = 0; i < _readers.Length; i++) _readers[i] = [];
        _outputReaders = new List<(int, int)>[plan.Outputs.Length];
        for (int i = 0; i < _outputReaders.Length; i++) _outputReaders[i] = [];
        _writers = new (int, int)[plan.Outputs.Length];
        _contexts = new StepContext?[plan.Steps.Length];
        for (int s = 0; s < plan.Steps.Length; s++)
        {
            PlannedStep step = plan.Steps[s];
            if (step.Step is null) continue;
            _contexts[s] = new StepContext(Resolve(step.Inputs), Resolve(step.Outputs), scratch, parallel);
            for (int i = 0; i < step.Inputs.Length; i++)
            {
                if (step.Inputs[i] < 0) continue;
                PlannedValue value = plan.Values[step.Inputs[i]];
                if (value.Storage == Storage.Input) _readers[value.Number].Add((s, i));
                else if (value.Storage == Storage.Output) _outputReaders[value.Number].Add((s, i));
            }
            for (int i = 0; i < step.Outputs.Length; i++)
            {
                if (step.Outputs[i] >= 0 && plan.Values[step.Outputs[i]] is { Storage: Storage.Output } value) _writers[value.Number] = (s, i);
            }
        }
    }

    /// <summary>The plan.</summary>
    public Plan Plan => _plan;

    /// <summary>How many threads steps may use.</summary>
    public Parallelism Parallel { get; private set; }

    /// <summary>Values made during the run.</summary>
    public RuntimeValue?[] Dynamic { get; }

    /// <summary>Time spent in each step of the last profiled run, in stopwatch ticks.</summary>
    public long[] Ticks { get; }

    /// <summary>For each dynamically evaluated static operator: the last step made, which fits again while the input types stay.</summary>
    public (TensorType?[] Types, StaticEvaluation.Prepared Step)?[] Prepared { get; }

    /// <summary>The memory of a prepared step.</summary>
    public StepContext Context(int step) => _contexts[step]!;

    /// <summary>Changes how many threads steps may use: no more than the state was made for.</summary>
    public void Use(Parallelism parallel)
    {
        if (parallel == Parallel) return;
        Parallel = parallel;
        foreach (StepContext? context in _contexts)
        {
            if (context is not null) context.Parallel = parallel;
        }
    }

    /// <summary>Lets the steps work on the caller's tensors.</summary>
    public void Bind(ReadOnlySpan<RuntimeValue?> inputs, ReadOnlySpan<Tensor?> outputs)
    {
        for (int i = 0; i < inputs.Length; i++)
        {
            if (_plan.Inputs[i] < 0 || inputs[i] is not Tensor tensor) continue;
            _tensors[_plan.Inputs[i]] = tensor;
            foreach ((int step, int argument) in _readers[i]) _contexts[step]!.BindInput(argument, tensor);
        }
        for (int i = 0; i < outputs.Length; i++)
        {
            if (!_plan.WritesOutput[i] || outputs[i] is not { } tensor) continue;
            _tensors[_plan.Outputs[i]] = tensor;
            _contexts[_writers[i].Step]!.BindOutput(_writers[i].Argument, tensor);
            foreach ((int step, int argument) in _outputReaders[i]) _contexts[step]!.BindInput(argument, tensor);
        }
    }

    /// <summary>What value <paramref name="index"/> holds now; null for an empty optional or −1.</summary>
    public RuntimeValue? Get(int index)
    {
        if (index < 0) return null;
        PlannedValue value = _plan.Values[index];
        if (value.Rows is not { } rows) return Held(value);
        var dense = new Tensor(value.Value.Type.Element, value.Shape);
        Gather(_tensors[index]!.Bytes.Span, rows, dense.Type.Size(), dense.Bytes.Span);
        return dense;
    }

    /// <summary>Whether a value is a tensor of numbers now.</summary>
    public bool HasNumbers(PlannedValue value) => Held(value) is Tensor { Type: not DataType.String };

    /// <summary>What watchers see of a value that <see cref="HasNumbers"/>, in the order and with the extents that the model means; valid until the next view.</summary>
    public TensorView View(PlannedValue value)
    {
        var tensor = (Tensor)Held(value)!;
        ReadOnlySpan<byte> bytes = tensor.Bytes.Span;
        ReadOnlySpan<int> shape = tensor.Shape;
        if (value.Rows is { } rows)
        {
            // Only who watches a run asks for a dense copy.
            shape = value.Shape;
            int length = Tensor.CountElements(shape) * tensor.Type.Size();
            if (_gathered.Length < length) _gathered = new byte[length];
            Gather(bytes, rows, tensor.Type.Size(), _gathered.AsSpan(0, length));
            bytes = _gathered.AsSpan(0, length);
        }
        if (value.Value.MemoryOrder is not { } order) return new TensorView(tensor.Type, shape, bytes);
        var logical = new int[shape.Length];
        for (int axis = 0; axis < order.Length; axis++) logical[order[axis]] = shape[axis];
        return new TensorView(tensor.Type, logical, bytes, order);
    }

    /// <summary>The tensor that holds a value: for one that lies between others' rows, the whole.</summary>
    private RuntimeValue? Held(PlannedValue value) => value.Storage == Storage.Dynamic ? Dynamic[value.Number] : _tensors[value.Index];

    private static int BytesOf(PlannedValue value) => Tensor.CountElements(value.Shape) * value.Value.Type.Element.Size();

    /// <summary>Copies the rows of a value that lies between others'.</summary>
    private static void Gather(ReadOnlySpan<byte> whole, RowSlice rows, int size, Span<byte> dense)
    {
        int width = rows.Width * size;
        if (dense.Length > 0) LayoutKernels.CopyRows(whole[(rows.First * size)..], (long)rows.Stride * size, dense, width, width, dense.Length / width);
    }

    private Tensor?[] Resolve(int[] values)
    {
        var tensors = new Tensor?[values.Length];
        for (int i = 0; i < tensors.Length; i++) tensors[i] = values[i] < 0 ? null : _tensors[values[i]] ?? Empty;
        return tensors;
    }

    /// <summary>Stands for a tensor that is bound later, so that the step knows that the argument is given.</summary>
    private static readonly Tensor Empty = new(DataType.UInt8, [0]);
}
