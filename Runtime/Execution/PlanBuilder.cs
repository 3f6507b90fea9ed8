using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>Turns a compiled graph into a plan: a prepared step per node, memory from lifetimes, the caller's tensors bound where they can be.</summary>
internal sealed class PlanBuilder
{
    private readonly Graph _graph;
    private readonly PlanOptions _options;
    private readonly Func<Graph, GraphRunner> _runner;
    private readonly Dictionary<Value, int> _index = [];
    private readonly List<PlannedValue> _values = [];
    private readonly List<PlannedStep> _steps = [];
    private readonly List<MemoryPlanner.Place> _places = [];
    private Dictionary<Value, Join> _joins = [];
    private int _dynamicCount;
    private int _scratchBytes;

    private PlanBuilder(Graph graph, PlanOptions options, Func<Graph, GraphRunner> runner) => (_graph, _options, _runner) = (graph, options, runner);

    /// <summary>Builds the plan.</summary>
    /// <param name="graph">A graph whose rewriting is finished.</param>
    /// <param name="options">What the plan is made for.</param>
    /// <param name="report">What rewriting did.</param>
    /// <param name="inputTypes">Types of the caller's inputs.</param>
    /// <param name="runner">Makes a runner for a subgraph.</param>
    /// <exception cref="ModelException">A node cannot run; the message says which and why.</exception>
    public static Plan Build(Graph graph, PlanOptions options, CompileReport report, TensorType?[] inputTypes, Func<Graph, GraphRunner> runner) =>
        new PlanBuilder(graph, options, runner).Build(report, inputTypes);

    private Plan Build(CompileReport report, TensorType?[] inputTypes)
    {
        Dictionary<Value, int> lastUse = LastUses();
        var inputs = new int[_graph.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++)
        {
            Value input = _graph.Inputs[i];
            inputs[i] = input.IsConstant ? -1
                : Declare(input, input.Type.Container == Container.None && input.Type.Element != DataType.String ? Storage.Input : Storage.Dynamic, number: i);
        }

        _joins = JoinPlanner.Find(_graph, lastUse);
        for (int s = 0; s < _graph.Nodes.Count; s++) AddStep(_graph.Nodes[s], s, lastUse);

        var outputs = new int[_graph.Outputs.Count];
        var writes = new bool[outputs.Length];
        for (int o = 0; o < outputs.Length; o++)
        {
            Value output = _graph.Outputs[o];
            outputs[o] = Reference(output);
            PlannedValue planned = _values[outputs[o]];
            bool shares = planned.Place is { } place && _values.Any(other => other.Index != planned.Index && ReferenceEquals(other.Place, place));
            if (planned.Storage == Storage.Arena && !shares)
            {
                _places.Remove(planned.Place!);
                _values[outputs[o]] = planned with { Storage = Storage.Output, Number = o, Place = null };
                writes[o] = true;
            }
        }

        long arena = MemoryPlanner.Assign(_places);
        return new Plan
        {
            Graph = _graph,
            Values = [.. _values],
            Steps = [.. _steps],
            Inputs = inputs,
            Outputs = outputs,
            WritesOutput = writes,
            DynamicCount = _dynamicCount,
            ArenaBytes = (int)arena,
            ScratchBytes = _scratchBytes,
            Report = report,
            InputTypes = inputTypes,
            OutputTypes = [.. _graph.Outputs.Select(output => output.Type)],
        };
    }

    /// <summary>For each value the last step that reads it; the step after the last for graph outputs.</summary>
    private Dictionary<Value, int> LastUses()
    {
        var last = new Dictionary<Value, int>();
        for (int s = 0; s < _graph.Nodes.Count; s++)
        {
            foreach (Value? input in _graph.Nodes[s].Inputs)
            {
                if (input is not null) last[input] = s;
            }
            foreach (Graph inner in _graph.Nodes[s].Attributes.Subgraphs)
            {
                foreach (Value captured in inner.Captures()) last[captured] = s;
            }
        }
        foreach (Value output in _graph.Outputs) last[output] = _graph.Nodes.Count;
        return last;
    }

    private void AddStep(Node node, int number, Dictionary<Value, int> lastUse)
    {
        Operator op = OperatorTable.Require(node);
        var inputs = new int[node.Inputs.Count];
        for (int i = 0; i < inputs.Length; i++) inputs[i] = node.Inputs[i] is { } input ? Reference(input) : -1;
        Step? step = Prepare(node, op);
        Dictionary<Graph, SubgraphPlan>? subgraphs = null;
        foreach (Graph inner in node.Attributes.Subgraphs)
        {
            Value[] captures = [.. inner.Captures()];
            subgraphs ??= [];
            subgraphs[inner] = new SubgraphPlan(_runner(Closed(inner, captures)), [.. captures.Select(Reference)]);
        }

        var outputs = new int[node.Outputs.Count];
        for (int o = 0; o < outputs.Length; o++)
        {
            if (node.Outputs[o] is not { } output) outputs[o] = -1;
            else if (step is not null && o == 0 && _joins.TryGetValue(output, out Join? join) && DeclareJoined(output, join, ref step, number, lastUse) is { } joined) outputs[o] = joined;
            else if (step is JoinStep joining && JoinOf(node) is { Place: { } place } whole)
            {
                outputs[o] = Declare(output, Storage.Arena, 0, place, output.Type.ConcreteShape());
                place.Last = Math.Max(place.Last, lastUse.GetValueOrDefault(output, number));
                step = joining.Without(whole.Done);
            }
            else if (step is null) outputs[o] = Declare(output, Storage.Dynamic, _dynamicCount++);
            else outputs[o] = DeclareArena(output, step, o, inputs, number, lastUse);
        }
        if (step is not null) _scratchBytes = Math.Max(_scratchBytes, step.ScratchBytes);
        foreach (int input in inputs)
        {
            if (input >= 0 && _values[input].Place is { } place) place.Last = Math.Max(place.Last, number);
        }
        if (subgraphs is not null)
        {
            foreach (int capture in subgraphs.Values.SelectMany(subgraph => subgraph.Captures))
            {
                if (_values[capture].Place is { } place) place.Last = Math.Max(place.Last, number);
            }
        }
        _steps.Add(new PlannedStep
        {
            Node = node,
            Operator = op,
            Step = step,
            Inputs = inputs,
            Outputs = outputs,
            DynamicInputs = DynamicOf(inputs),
            Subgraphs = subgraphs,
        });
    }

    private int[] DynamicOf(int[] inputs)
    {
        var dynamic = new List<int>();
        for (int i = 0; i < inputs.Length; i++)
        {
            if (inputs[i] >= 0 && _values[inputs[i]].Storage == Storage.Dynamic) dynamic.Add(i);
        }
        return [.. dynamic];
    }

    private Step? Prepare(Node node, Operator op)
    {
        if (op.IsDynamic) return null;
        foreach (Value? input in node.Inputs)
        {
            if (input is not null && (!input.Type.IsConcrete || input.Type.Element == DataType.String)) return null;
        }
        foreach (Value? output in node.Outputs)
        {
            if (output is not null && (!output.Type.IsConcrete || output.Type.Element == DataType.String)) return null;
        }
        try
        {
            return op.Plan(new PlanContext(node, [.. node.Inputs.Select(input => input?.Type)],
                [.. node.Outputs.Select(output => output?.Type ?? TensorType.Unknown)], index => node.Input(index)?.Constant, _options));
        }
        catch (UnsupportedModelException missing) when (missing.NeedsRuntimeValue)
        {
            return null;
        }
        catch (Exception failure) when (OperatorFailure.Covers(failure))
        {
            throw OperatorFailure.Of(node, failure);
        }
    }

    private int DeclareArena(Value output, Step step, int outputIndex, int[] inputs, int number, Dictionary<Value, int> lastUse)
    {
        int[] shape = output.Type.ConcreteShape();
        long bytes = (long)Tensor.CountElements(shape) * output.Type.Element.Size();
        if (bytes > int.MaxValue) throw new UnsupportedModelException($"value '{output.Name}' {output.Type} needs {bytes} bytes; rule: at most 2 GiB per value");
        MemoryPlanner.Place? place = null;
        int source = step.InPlaceInput(outputIndex);
        if (source >= 0 && source < inputs.Length && inputs[source] >= 0 && _values[inputs[source]].Place is { } candidate && candidate.Bytes == bytes)
        {
            // A view only reads; writing in place takes that nobody reads the place later, this step's other inputs included.
            if (step is ViewStep || IsFree(candidate, inputs, number, lastUse)) place = candidate;
        }
        if (place is null)
        {
            place = new MemoryPlanner.Place((int)bytes, number);
            _places.Add(place);
        }
        int last = lastUse.GetValueOrDefault(output, number);
        place.Last = Math.Max(place.Last, last);
        return Declare(output, Storage.Arena, 0, place, shape);
    }

    private bool IsFree(MemoryPlanner.Place place, int[] inputs, int number, Dictionary<Value, int> lastUse)
    {
        foreach (PlannedValue value in _values)
        {
            if (ReferenceEquals(value.Place, place) && lastUse.TryGetValue(value.Value, out int last) && last > number) return false;
        }
        int readers = 0;
        foreach (int input in inputs)
        {
            if (input >= 0 && ReferenceEquals(_values[input].Place, place)) readers++;
        }
        return readers == 1;
    }

    private Join? JoinOf(Node node)
    {
        foreach (Value? input in node.Inputs)
        {
            if (input is not null && _joins.TryGetValue(input, out Join? join) && join.Node == node) return join;
        }
        return null;
    }

    /// <summary>Lets a step write its output where a concatenation wants it; null where it cannot.</summary>
    private int? DeclareJoined(Value output, Join join, ref Step step, int number, Dictionary<Value, int> lastUse)
    {
        if (step is ViewStep || !output.Type.IsConcrete) return null;
        TensorType whole = join.Node.Outputs[0]!.Type;
        RowSlice? rows = null;
        int first = join.First(output), width = join.Widths[join.Position(output)];
        if (join.Rows != 1)
        {
            if (lastUse.GetValueOrDefault(output, -1) != join.Number || join.Readers(output) != 1 || step.IntoRows(width, first, join.Width) is not { } strided) return null;
            step = strided;
            rows = new RowSlice(whole, width, first, join.Width);
        }
        if (join.Place is null)
        {
            join.Place = new MemoryPlanner.Place(checked(join.Rows * join.Width * whole.Element.Size()), number);
            _places.Add(join.Place);
        }
        join.Done[join.Position(output)] = true;
        join.Place.Last = Math.Max(join.Place.Last, join.Number);
        int index = Declare(output, Storage.Arena, 0, join.Place, output.Type.ConcreteShape());
        _values[index] = _values[index] with { Rows = rows, PlaceOffset = rows is null ? first * whole.Element.Size() : 0 };
        return index;
    }

    private int Declare(Value value, Storage storage, int number, MemoryPlanner.Place? place = null, int[]? shape = null)
    {
        int index = _values.Count;
        if (storage == Storage.Dynamic && value.IsGraphInput && value.Producer is null) number = _dynamicCount++;
        _values.Add(new PlannedValue(value, storage, number, place, shape) { Index = index });
        _index.Add(value, index);
        return index;
    }

    private int Reference(Value value)
    {
        if (_index.TryGetValue(value, out int index)) return index;
        if (value.IsConstant) return Declare(value, Storage.Constant, 0);
        throw new ModelException($"value '{value.Name}' is read, but nobody makes it; rule: every value is an input, a constant or a node's output");
    }

    /// <summary>A copy of a subgraph in which captured values are further inputs, or constants where they are constant outside.</summary>
    private static Graph Closed(Graph inner, Value[] captures)
    {
        Graph copy = inner.Clone();
        var editor = new GraphEditor(copy);
        foreach (Value captured in captures)
        {
            // Constants are inputs too, so that positions agree; the constant tensor is what makes them foldable.
            Value stand = captured.Constant is { } constant ? editor.AddConstant(captured.Name, constant) : editor.AddValue(captured.Name, captured.Type);
            editor.MarkAsInput(stand);
            Redirect(copy, captured, stand, editor);
        }
        return copy;
    }

    private static void Redirect(Graph graph, Value from, Value to, GraphEditor editor)
    {
        foreach (Node node in graph.Nodes)
        {
            for (int i = 0; i < node.Inputs.Count; i++)
            {
                if (ReferenceEquals(node.Inputs[i], from)) editor.SetInput(node, i, to);
            }
            foreach (Graph inner in node.Attributes.Subgraphs) Redirect(inner, from, to, editor);
        }
        for (int i = 0; i < graph.Outputs.Count; i++)
        {
            if (ReferenceEquals(graph.Outputs[i], from)) graph.MutableOutputs[i] = to;
        }
    }
}
