using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>An input or output of a session.</summary>
/// <param name="Name">Its name in the model.</param>
/// <param name="Type">Element type and extents; named or unknown extents may differ from run to run.</param>
public sealed record ValueInfo(string Name, TensorType Type);

/// <summary>Runs a model on this machine. Safe for concurrent use; a run allocates nothing once its input shapes were seen before.</summary>
/// <remarks>
/// The first run with new input shapes compiles a plan: operators are merged, kernels chosen, weights packed, memory laid out. Packed weights are shared by all
/// sessions of one <see cref="Model"/>. The session copies the model's graph and never changes it.
/// </remarks>
public sealed class InferenceSession
{
    private readonly GraphRunner _runner;
    private readonly int[] _fed;   // positions of the graph inputs that callers give: those that are no constants
    private readonly Lock _hookGate = new();
    private OpHooks? _hooks;

    /// <summary>Prepares <paramref name="model"/>; plans are made by the first run of each combination of input shapes.</summary>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="ModelException">The graph is not legal, or an operator is unknown.</exception>
    public InferenceSession(Model model, SessionOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        Options = (options ?? new SessionOptions()).Validate();
        Graph graph = model.Graph;
        foreach (Node node in graph.AllNodes()) OperatorTable.Require(node);
        _runner = new GraphRunner(graph, Options, new PlanOptions(Options.Cpu, Options.Threads, model.Weights) { IntegerWinograd = Options.IntegerWinograd, FloatWinograd = Options.FloatWinograd }, prepares: true);
        var fed = new List<int>();
        for (int i = 0; i < graph.Inputs.Count; i++)
        {
            if (!graph.Inputs[i].IsConstant) fed.Add(i);
        }
        _fed = [.. fed];
        Inputs = [.. _fed.Select(i => new ValueInfo(graph.Inputs[i].Name, graph.Inputs[i].Type))];
        Outputs = [.. graph.Outputs.Zip(graph.OutputNames, (value, name) => new ValueInfo(name, value.Type))];
    }

    /// <summary>The options that the session was made with.</summary>
    public SessionOptions Options { get; }

    /// <summary>What a run needs, in order.</summary>
    public IReadOnlyList<ValueInfo> Inputs { get; }

    /// <summary>What a run makes, in order.</summary>
    public IReadOnlyList<ValueInfo> Outputs { get; }

    /// <summary>Runs and returns newly made outputs by name.</summary>
    /// <param name="inputs">A value for every input by name.</param>
    /// <param name="cancellation">Ends the run between two operators.</param>
    /// <exception cref="DataException">A name, type or shape does not fit.</exception>
    /// <exception cref="ModelException">The model cannot run on these shapes.</exception>
    public IReadOnlyDictionary<string, RuntimeValue?> RunValues(IReadOnlyDictionary<string, RuntimeValue?> inputs, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        foreach (string name in inputs.Keys)
        {
            if (!Inputs.Any(input => input.Name == name)) throw new DataException($"the model has no input '{name}'; its inputs are {Names(Inputs)}; rule: input names are the model's");
        }
        var all = new RuntimeValue?[_runner.Template.Inputs.Count];
        for (int i = 0; i < _fed.Length; i++)
        {
            bool optional = Inputs[i].Type.Container is Container.Optional or Container.OptionalSequence;
            if (!inputs.TryGetValue(Inputs[i].Name, out RuntimeValue? value) && !optional)
                throw new DataException($"input '{Inputs[i].Name}' {Inputs[i].Type} is missing; given: {string.Join(", ", inputs.Keys.Select(key => $"'{key}'"))}; rule: every input is given");
            if (value is null && !optional) throw new DataException($"input '{Inputs[i].Name}' {Inputs[i].Type} is null; rule: only optional inputs may be");
            if (value is Tensor tensor) Check(i, tensor);
            all[_fed[i]] = value;
        }
        CheckSymbols(all);
        RuntimeValue?[] results = _runner.Run(all, Volatile.Read(ref _hooks), profile: false, cancellation);
        var named = new Dictionary<string, RuntimeValue?>(StringComparer.Ordinal);
        for (int o = 0; o < results.Length; o++) named[Outputs[o].Name] = results[o];
        return named;
    }

    /// <summary>Runs and returns newly made outputs by name; all inputs and outputs must be tensors.</summary>
    /// <inheritdoc cref="RunValues"/>
    public IReadOnlyDictionary<string, Tensor> Run(IReadOnlyDictionary<string, Tensor> inputs, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(inputs);
        IReadOnlyDictionary<string, RuntimeValue?> results = RunValues(inputs.ToDictionary(pair => pair.Key, pair => (RuntimeValue?)pair.Value, StringComparer.Ordinal), cancellation);
        return results.ToDictionary(pair => pair.Key, pair => pair.Value as Tensor
            ?? throw new ModelException($"output '{pair.Key}' is no tensor; rule: sequences and optionals come from RunValues"), StringComparer.Ordinal);
    }

    /// <summary>Runs into tensors that the caller owns; allocates nothing once a run with the same shapes was made.</summary>
    /// <param name="inputs">One tensor per entry of <see cref="Inputs"/>, in order.</param>
    /// <param name="outputs">One tensor per entry of <see cref="Outputs"/>, in order; <see cref="CreateOutputs"/> makes fitting ones. May not share memory with inputs.</param>
    /// <param name="cancellation">Ends the run between two operators.</param>
    /// <exception cref="DataException">A count, type or shape does not fit.</exception>
    /// <exception cref="ModelException">The model cannot run on these shapes.</exception>
    public void Run(ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, CancellationToken cancellation = default) =>
        Run(inputs, outputs, profile: false, cancellation);

    /// <summary>Tensors that fit the outputs for inputs of these shapes.</summary>
    /// <exception cref="DataException">The inputs do not fit.</exception>
    /// <exception cref="ModelException">An output's shape follows from data and is known only after a run.</exception>
    public Tensor[] CreateOutputs(ReadOnlySpan<Tensor> inputs)
    {
        RuntimeValue?[] all = new RuntimeValue?[_runner.Template.Inputs.Count];
        Arrange(inputs, all);
        Plan plan = _runner.PlanFor(all);
        if (!plan.HasStaticOutputs)
            throw new UnsupportedModelException($"the shape of an output follows from data: {string.Join(", ", plan.OutputTypes.AsEnumerable())}; rule: use the Run that returns its outputs");
        return [.. plan.OutputTypes.Select(type => new Tensor(type.Element, type.ConcreteShape()))];
    }

    /// <summary>Watches every operator of every later run.</summary>
    /// <param name="hook">Called after each operator with its outputs.</param>
    /// <param name="monitorAll">Whether it is also called before each operator with its inputs.</param>
    /// <returns>Dispose it to stop watching.</returns>
    public IDisposable RegisterOpHook(OpHook hook, bool monitorAll = false)
    {
        ArgumentNullException.ThrowIfNull(hook);
        lock (_hookGate) Volatile.Write(ref _hooks, OpHooks.With(_hooks, hook, monitorAll));
        return new Registration(this, hook);
    }

    /// <summary>Runs several times and says where the time went.</summary>
    /// <param name="inputs">One tensor per entry of <see cref="Inputs"/>, in order.</param>
    /// <param name="runs">Measured runs; one more comes first to warm up.</param>
    /// <param name="cancellation">Ends it between two operators.</param>
    public SessionProfile Profile(ReadOnlySpan<Tensor> inputs, int runs = 10, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(runs, 1);
        var all = new RuntimeValue?[_runner.Template.Inputs.Count];
        Arrange(inputs, all);
        Plan plan = _runner.PlanFor(all);
        _runner.Run(all, null, profile: false, cancellation);
        RunState state = plan.Rent(default);   // the state that the next run rents again
        Array.Clear(state.Ticks);
        plan.Return(state);
        for (int run = 0; run < runs; run++) _runner.Run(all, null, profile: true, cancellation);
        return SessionProfile.From(plan, state.Ticks, runs);
    }

    /// <summary>Explains how inputs of these shapes run, operator by operator: integer or float, by which rules or for which reason, on which kernel.</summary>
    /// <param name="inputs">Tensors in the order of <see cref="Inputs"/>; only their types and shapes matter.</param>
    /// <exception cref="DataException">An input does not fit.</exception>
    /// <exception cref="ModelException">The model cannot run.</exception>
    public IReadOnlyList<OperatorExplanation> Explain(ReadOnlySpan<Tensor> inputs) => OperatorExplanation.Of(PlanFor(inputs));

    /// <summary>The plan for inputs of these shapes.</summary>
    internal Plan PlanFor(ReadOnlySpan<Tensor> inputs)
    {
        var all = new RuntimeValue?[_runner.Template.Inputs.Count];
        Arrange(inputs, all);
        return _runner.PlanFor(all);
    }

    private void Run(ReadOnlySpan<Tensor> inputs, ReadOnlySpan<Tensor> outputs, bool profile, CancellationToken cancellation)
    {
        if (outputs.Length != Outputs.Count) throw new DataException($"{outputs.Length} output tensors given, but the model has {Outputs.Count}: {Names(Outputs)}; rule: one tensor per output, in order");
        ArgumentBuffer buffer = default;
        Span<RuntimeValue?> all = _runner.Template.Inputs.Count <= ArgumentBuffer.Capacity
            ? ((Span<RuntimeValue?>)buffer)[.._runner.Template.Inputs.Count]
            : new RuntimeValue?[_runner.Template.Inputs.Count];
        Arrange(inputs, all);
        Plan plan = _runner.PlanFor(all);
        for (int o = 0; o < outputs.Length; o++)
        {
            TensorType type = plan.OutputTypes[o];
            if (!type.IsConcrete) continue;
            if (outputs[o] is null) throw new DataException($"output tensor {o} '{Outputs[o].Name}' is null; rule: one tensor per output");
            if (outputs[o].Type != type.Element || !SameShape(outputs[o].Shape, type))
                throw new DataException($"output '{Outputs[o].Name}' is {type}, but the tensor given for it is {outputs[o]}; rule: same type and shape");
        }
        _runner.Run(plan, all, outputs!, Volatile.Read(ref _hooks), profile, cancellation);
    }

    private void Arrange(ReadOnlySpan<Tensor> inputs, Span<RuntimeValue?> all)
    {
        if (inputs.Length != _fed.Length) throw new DataException($"{inputs.Length} input tensors given, but the model has {_fed.Length}: {Names(Inputs)}; rule: one tensor per input, in order");
        for (int i = 0; i < _fed.Length; i++)
        {
            if (inputs[i] is null) throw new DataException($"input tensor {i} '{Inputs[i].Name}' is null; rule: one tensor per input");
            Check(i, inputs[i]);
            all[_fed[i]] = inputs[i];
        }
        CheckSymbols(all);
    }

    private void Check(int index, Tensor tensor)
    {
        TensorType type = Inputs[index].Type;
        bool fits = type.Element is DataType.Undefined || type.Element == tensor.Type;
        if (fits && type.Shape is { } shape)
        {
            fits = shape.Length == tensor.Rank;
            for (int axis = 0; fits && axis < shape.Length; axis++) fits = !shape[axis].IsKnown || shape[axis].Is(tensor.Shape[axis]);
        }
        if (!fits) throw new DataException($"input '{Inputs[index].Name}' is {type}, but the tensor given for it is {tensor}; rule: same type, rank and known extents");
    }

    private void CheckSymbols(ReadOnlySpan<RuntimeValue?> all)
    {
        for (int i = 0; i < _fed.Length; i++)
        {
            if (Inputs[i].Type.Shape is not { } shape || all[_fed[i]] is not Tensor tensor) continue;
            for (int axis = 0; axis < shape.Length && axis < tensor.Rank; axis++)
            {
                if (shape[axis].Symbol is not { } symbol) continue;
                for (int j = 0; j <= i; j++)
                {
                    if (Inputs[j].Type.Shape is not { } other || all[_fed[j]] is not Tensor before) continue;
                    for (int k = 0; k < other.Length && k < before.Rank; k++)
                    {
                        if (other[k].Symbol == symbol && before.Shape[k] != tensor.Shape[axis])
                            throw new DataException($"'{symbol}' is {before.Shape[k]} in input '{Inputs[j].Name}' {before} but {tensor.Shape[axis]} in input '{Inputs[i].Name}' {tensor}; rule: one name, one extent");
                    }
                }
            }
        }
    }

    private static bool SameShape(ReadOnlySpan<int> shape, TensorType type)
    {
        if (type.Shape is not { } extents || extents.Length != shape.Length) return false;
        for (int axis = 0; axis < shape.Length; axis++)
        {
            if (!extents[axis].Is(shape[axis])) return false;
        }
        return true;
    }

    private static string Names(IEnumerable<ValueInfo> values) => string.Join(", ", values.Select(value => $"'{value.Name}' {value.Type}"));

    private void Unregister(OpHook hook)
    {
        lock (_hookGate) Volatile.Write(ref _hooks, OpHooks.Without(_hooks, hook));
    }

    private sealed class Registration(InferenceSession session, OpHook hook) : IDisposable
    {
        private InferenceSession? _session = session;

        public void Dispose() => Interlocked.Exchange(ref _session, null)?.Unregister(hook);
    }

    [System.Runtime.CompilerServices.InlineArray(Capacity)]
    private struct ArgumentBuffer
    {
        public const int Capacity = 16;
        private RuntimeValue? _first;
    }
}
