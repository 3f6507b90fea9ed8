using System.Diagnostics;
using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>Runs one graph for any input shapes: compiles a plan per combination of input types, keeps the recent ones. Safe for concurrent runs.</summary>
internal sealed class GraphRunner
{
    private readonly Graph _template;
    private readonly SessionOptions _options;
    private readonly PlanOptions _planOptions;
    private readonly Parallelism _parallel;
    private readonly Lock _gate = new();
    private PreparedGraph? _prepared;   // what plans are compiled from, made with the first
    private Plan[] _plans = [];   // most recently made first; replaced as a whole

    /// <summary>A runner without plans.</summary>
    /// <param name="template">The portable graph; not changed.</param>
    /// <param name="options">The session's options.</param>
    /// <param name="planOptions">What plans are made for.</param>
    /// <param name="prepares">Whether the types that the graph declares for its inputs hold in every run, so that it can be simplified before extents are known; a subgraph's may not.</param>
    public GraphRunner(Graph template, SessionOptions options, PlanOptions planOptions, bool prepares = false)
    {
        if (!prepares) _prepared = new PreparedGraph(template, []);
        (_template, _options, _planOptions) = (template, options, planOptions);
        _parallel = options.Threads > 1 ? new Parallelism(WorkerPool.Shared, options.Threads) : Parallelism.None;
    }

    /// <summary>The graph as it was given.</summary>
    public Graph Template => _template;

    /// <summary>What plans are made for.</summary>
    public PlanOptions PlanOptions => _planOptions;

    /// <summary>The plan for inputs of these types; null stands for an input that is left out.</summary>
    public Plan PlanFor(ReadOnlySpan<RuntimeValue?> inputs)
    {
        foreach (Plan plan in Volatile.Read(ref _plans))
        {
            if (Fits(plan, inputs)) return plan;
        }
        lock (_gate)
        {
            foreach (Plan plan in _plans)
            {
                if (Fits(plan, inputs)) return plan;
            }
            var types = new TensorType?[inputs.Length];
            for (int i = 0; i < types.Length; i++) types[i] = EvaluateContext.TypeOf(inputs[i]);
            _prepared ??= Compiler.Prepare(_template, _options, _planOptions);
            Plan made = Compiler.Compile(_prepared, types, _options, _planOptions);
            Volatile.Write(ref _plans, [made, .. _plans.Take(_options.MaxPlans - 1)]);
            return made;
        }
    }

    /// <summary>Runs and returns newly made outputs.</summary>
    public RuntimeValue?[] Run(ReadOnlySpan<RuntimeValue?> inputs, OpHooks? hooks, bool profile, CancellationToken cancellation)
    {
        Plan plan = PlanFor(inputs);
        var outputs = new Tensor?[plan.Outputs.Length];
        for (int o = 0; o < outputs.Length; o++)
        {
            if (plan.WritesOutput[o]) outputs[o] = new Tensor(plan.OutputTypes[o].Element, plan.OutputTypes[o].ConcreteShape());
        }
        RunState state = plan.Rent(_parallel);
        Execute(state, inputs, outputs, hooks, profile, cancellation);
        var results = new RuntimeValue?[outputs.Length];
        for (int o = 0; o < results.Length; o++) results[o] = outputs[o] ?? Owned(state, plan.Outputs[o]);
        Release(state);
        return results;
    }

    /// <summary>Runs into the caller's outputs, whose types must be those of <see cref="Plan.OutputTypes"/>.</summary>
    public void Run(Plan plan, ReadOnlySpan<RuntimeValue?> inputs, ReadOnlySpan<Tensor?> outputs, OpHooks? hooks, bool profile, CancellationToken cancellation)
    {
        RunState state = plan.Rent(_parallel);
        Execute(state, inputs, outputs, hooks, profile, cancellation);
        for (int o = 0; o < outputs.Length; o++)
        {
            if (plan.WritesOutput[o]) continue;
            var made = (Tensor?)state.Get(plan.Outputs[o]) ?? throw new ModelException($"output '{plan.Graph.OutputNames[o]}' is empty; rule: a caller's output tensor needs a tensor");
            Tensor target = outputs[o]!;
            if (made.Type != target.Type || !made.Shape.SequenceEqual(target.Shape))
                throw new DataException($"output '{plan.Graph.OutputNames[o]}' is {made}, but the tensor given for it is {target}; rule: same type and shape");
            if (made.Type == DataType.String) made.Strings.CopyTo(target.Strings);
            else made.Bytes.Span.CopyTo(target.Bytes.Span);
        }
        Release(state);
    }

    private static void Release(RunState state)
    {
        Array.Clear(state.Dynamic);
        state.Plan.Return(state);
    }

    private static RuntimeValue? Owned(RunState state, int index) => state.Get(index) switch
    {
        // Arena memory belongs to the next run, and a caller's input or a constant must not become writable through an output.
        Tensor tensor when state.Plan.Values[index].Storage != Storage.Dynamic => tensor.Clone(),
        RuntimeValue other => other,
        null => null,
    };

    private bool Fits(Plan plan, ReadOnlySpan<RuntimeValue?> inputs)
    {
        for (int i = 0; i < inputs.Length; i++)
        {
            TensorType? type = plan.InputTypes[i];
            if (inputs[i] is not Tensor tensor)
            {
                if (type is null != inputs[i] is null) return false;
                if (inputs[i] is TensorSequence sequence && (type!.Container == Container.None || type.Element != sequence.ElementType)) return false;
                continue;
            }
            if (type?.Shape is not { } shape || type.Element != tensor.Type || shape.Length != tensor.Rank) return false;
            for (int axis = 0; axis < shape.Length; axis++)
            {
                if (!shape[axis].Is(tensor.Shape[axis])) return false;
            }
        }
        return true;
    }

    private void Execute(RunState state, ReadOnlySpan<RuntimeValue?> inputs, ReadOnlySpan<Tensor?> outputs, OpHooks? hooks, bool profile, CancellationToken cancellation)
    {
        if (_parallel.MaxWorkers == 1)
        {
            ExecuteSteps(state, inputs, outputs, hooks, profile, cancellation);
            return;
        }
        ThreadChoice choice = state.Plan.Choice;
        bool helped = choice.TakesHelpers;
        state.Use(helped ? _parallel : Parallelism.None);
        long started = Stopwatch.GetTimestamp();
        state.Parallel.Begin();
        try
        {
            ExecuteSteps(state, inputs, outputs, hooks, profile, cancellation);
        }
        finally
        {
            state.Parallel.End();
        }
        choice.Book(helped, Stopwatch.GetTimestamp() - started);
    }

    private void ExecuteSteps(RunState state, ReadOnlySpan<RuntimeValue?> inputs, ReadOnlySpan<Tensor?> outputs, OpHooks? hooks, bool profile, CancellationToken cancellation)
    {
        Plan plan = state.Plan;
        state.Bind(inputs, outputs);
        for (int i = 0; i < inputs.Length; i++)
        {
            if (plan.Inputs[i] >= 0 && plan.Values[plan.Inputs[i]] is { Storage: Storage.Dynamic } value) state.Dynamic[value.Number] = inputs[i];
        }
        for (int s = 0; s < plan.Steps.Length; s++)
        {
            cancellation.ThrowIfCancellationRequested();
            PlannedStep step = plan.Steps[s];
            hooks?.Before(state, step);
            long start = profile ? Stopwatch.GetTimestamp() : 0;
            try
            {
                if (step.Step is { } prepared)
                {
                    StepContext context = state.Context(s);
                    foreach (int argument in step.DynamicInputs) BindDynamic(state, step, context, argument);
                    prepared.Run(context);
                }
                else
                {
                    Evaluate(state, step, s, hooks, profile, cancellation);
                }
            }
            catch (Exception failure) when (OperatorFailure.Covers(failure))
            {
                throw OperatorFailure.Of(step.Node, failure);
            }
            if (profile) state.Ticks[s] += Stopwatch.GetTimestamp() - start;
            hooks?.After(state, step);
        }
    }

    private static void BindDynamic(RunState state, PlannedStep step, StepContext context, int argument)
    {
        PlannedValue value = state.Plan.Values[step.Inputs[argument]];
        if (state.Dynamic[value.Number] is not Tensor tensor)
            throw new ModelException($"{step.Node}: input {argument} '{value.Value.Name}' is empty or no tensor; rule: it is a tensor");
        TensorType planned = value.Value.Type;
        if (tensor.Type != planned.Element || !tensor.Shape.SequenceEqual(planned.ConcreteShape()))
            throw new ModelException($"{step.Node}: input {argument} '{value.Value.Name}' turned out as {tensor}, but {planned} was inferred; rule: shapes are as inferred");
        context.BindInput(argument, tensor);
    }

    private void Evaluate(RunState state, PlannedStep step, int number, OpHooks? hooks, bool profile, CancellationToken cancellation)
    {
        Plan plan = state.Plan;
        var inputs = new RuntimeValue?[step.Inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            RuntimeValue? value = state.Get(step.Inputs[i]);
            // What a dynamic operator keeps (in a sequence, or as its own output) must not change with the arena.
            inputs[i] = step.Operator.IsDynamic && value is Tensor tensor && plan.Values[step.Inputs[i]].Storage is Storage.Arena or Storage.Output ? ((Tensor)value).Clone() : value;
        }

        RuntimeValue?[] RunSubgraph(Graph graph, ReadOnlySpan<RuntimeValue?> arguments)
        {
            SubgraphPlan subgraph = step.Subgraphs![graph];
            var all = new RuntimeValue?[arguments.Length + subgraph.Captures.Length];
            arguments.CopyTo(all);
            for (int i = 0; i < subgraph.Captures.Length; i++) all[arguments.Length + i] = state.Get(subgraph.Captures[i]);
            return subgraph.Runner.Run(all, hooks, profile, cancellation);
        }

        var context = new EvaluateContext(step.Node, inputs, _planOptions, state.Parallel, step.Subgraphs is null ? null : RunSubgraph, cancellation);
        RuntimeValue?[] made;
        if (step.Operator.IsDynamic)
        {
            made = step.Operator.Evaluate(context);
        }
        else
        {
            TensorType?[] types = Array.ConvertAll(inputs, EvaluateContext.TypeOf);
            StaticEvaluation.Prepared prepared = state.Prepared[number] is { } last && last.Step.Reusable && last.Types.AsSpan().SequenceEqual(types)
                ? last.Step
                : StaticEvaluation.Prepare(step.Operator, context);
            state.Prepared[number] = (types, prepared);
            made = StaticEvaluation.Run(prepared, context);
        }
        for (int o = 0; o < step.Outputs.Length; o++)
        {
            if (step.Outputs[o] >= 0) state.Dynamic[plan.Values[step.Outputs[o]].Number] = o < made.Length ? made[o] : null;
        }
    }
}
