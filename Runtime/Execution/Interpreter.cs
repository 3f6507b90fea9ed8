using Octet.Kernels.Threading;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>
/// Evaluates a graph node by node, each on actual values: the reference that plans are compared with, and what runs the subgraphs of
/// If, Loop and Scan.
/// </summary>
/// <remarks>
/// Prepared steps are kept per node and reused while input types stay the same, so a loop body is planned once. A value is let go after
/// its last reader. One instance serves one run at a time.
/// </remarks>
internal sealed class Interpreter
{
    private readonly PlanOptions _options;
    private readonly Parallelism _parallel;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<Graph, Row[]> _rows = [];

    /// <summary>An interpreter for any number of runs, one after the other.</summary>
    public Interpreter(PlanOptions options, Parallelism parallel = default, CancellationToken cancellation = default) =>
        (_options, _parallel, _cancellation) = (options, parallel, cancellation);

    /// <summary>Called with every node and its outputs after it ran, subgraphs included; for comparing executions.</summary>
    public Action<Node, RuntimeValue?[]>? Observer { get; init; }

    /// <summary>Runs a main graph once.</summary>
    /// <param name="graph">The graph; constants that are also inputs may be overridden by name.</param>
    /// <param name="inputs">Values by the names of the graph's inputs; null is an empty optional.</param>
    /// <param name="options">What steps are planned for.</param>
    /// <param name="parallel">How many threads may be used.</param>
    /// <param name="cancellation">Ends the run between nodes and between the iterations of a loop.</param>
    /// <returns>The outputs, in the order of <see cref="Graph.Outputs"/>.</returns>
    /// <exception cref="DataException">An input without a default is missing.</exception>
    public static RuntimeValue?[] Run(Graph graph, IReadOnlyDictionary<string, RuntimeValue?> inputs, PlanOptions options,
        Parallelism parallel = default, CancellationToken cancellation = default) =>
        new Interpreter(options, parallel, cancellation).Run(graph, inputs);

    /// <summary>Runs a main graph.</summary>
    /// <exception cref="DataException">An input without a default is missing.</exception>
    public RuntimeValue?[] Run(Graph graph, IReadOnlyDictionary<string, RuntimeValue?> inputs)
    {
        var scope = new Scope(null);
        foreach (Value input in graph.Inputs)
        {
            if (inputs.TryGetValue(input.Name, out RuntimeValue? value)) scope.Values[input] = value;
            else if (!input.IsConstant)
                throw new DataException($"graph '{graph.Name}': input '{input.Name}' ({input.Type}) is missing; rule: every input without a default is given");
        }
        return Run(graph, scope);
    }

    /// <summary>Runs a subgraph whose captured values come from <paramref name="outer"/>.</summary>
    /// <param name="graph">The subgraph.</param>
    /// <param name="arguments">Its inputs, in order.</param>
    /// <param name="outer">Finds the values of surrounding graphs.</param>
    public RuntimeValue?[] RunSubgraph(Graph graph, ReadOnlySpan<RuntimeValue?> arguments, Func<Value, RuntimeValue?> outer) =>
        Run(graph, Bind(graph, arguments, new Scope(null) { Supplier = outer }));

    private static Scope Bind(Graph graph, ReadOnlySpan<RuntimeValue?> arguments, Scope outer)
    {
        if (arguments.Length > graph.Inputs.Count)
            throw new ModelException($"subgraph '{graph.Name}' has {graph.Inputs.Count} inputs but is given {arguments.Length}; rule: the counts are equal");
        var scope = new Scope(outer);
        for (int i = 0; i < graph.Inputs.Count; i++)
        {
            if (i < arguments.Length) scope.Values[graph.Inputs[i]] = arguments[i];
            else if (!graph.Inputs[i].IsConstant)
                throw new ModelException($"subgraph '{graph.Name}' has {graph.Inputs.Count} inputs but is given {arguments.Length}; rule: the counts are equal");
        }
        return scope;
    }

    private RuntimeValue?[] Run(Graph graph, Scope scope)
    {
        SubgraphRunner runSubgraph = (inner, arguments) => Run(inner, Bind(inner, arguments, scope));
        foreach (Row row in Rows(graph))
        {
            _cancellation.ThrowIfCancellationRequested();
            var inputs = new RuntimeValue?[row.Node.Inputs.Count];
            for (int i = 0; i < inputs.Length; i++) inputs[i] = row.Node.Inputs[i] is { } input ? scope.Find(input) : null;

            RuntimeValue?[] outputs;
            try
            {
                outputs = row.Evaluate(new EvaluateContext(row.Node, inputs, _options, _parallel, runSubgraph, _cancellation));
            }
            catch (Exception failure) when (OperatorFailure.Covers(failure))
            {
                throw OperatorFailure.Of(row.Node, failure);
            }
            for (int i = 0; i < row.Node.Outputs.Count; i++)
            {
                if (row.Node.Outputs[i] is { } output) scope.Values[output] = i < outputs.Length ? outputs[i] : null;
            }
            Observer?.Invoke(row.Node, outputs);
            foreach (Value dead in row.Dead) scope.Values.Remove(dead);
        }

        var results = new RuntimeValue?[graph.Outputs.Count];
        for (int i = 0; i < results.Length; i++) results[i] = scope.Find(graph.Outputs[i]);
        return results;
    }

    private Row[] Rows(Graph graph)
    {
        if (_rows.TryGetValue(graph, out Row[]? rows)) return rows;
        rows = new Row[graph.Nodes.Count];
        var keep = new HashSet<Value>(graph.Outputs);
        for (int i = rows.Length - 1; i >= 0; i--)
        {
            Node node = graph.Nodes[i];
            var dead = new List<Value>();
            foreach (Value? value in node.Inputs.Concat(node.Attributes.Subgraphs.SelectMany(inner => inner.Captures())).Concat(node.Outputs))
            {
                if (value is not null && ReferenceEquals(value.Graph, graph) && !value.IsConstant && keep.Add(value)) dead.Add(value);
            }
            rows[i] = new Row(node, OperatorTable.Require(node), [.. dead]);
        }
        _rows.Add(graph, rows);
        return rows;
    }

    /// <summary>A node, its operator, and the values that nobody reads after it.</summary>
    private sealed class Row(Node node, Operator op, Value[] dead)
    {
        private StaticEvaluation.Prepared? _prepared;
        private TensorType?[] _preparedFor = [];

        public Node Node => node;

        public Value[] Dead => dead;

        public RuntimeValue?[] Evaluate(EvaluateContext c)
        {
            if (op.IsDynamic) return op.Evaluate(c);
            if (_prepared is null || !Fits(c))
            {
                // An operator may evaluate some inputs its own way (text, sequences); only a plan is worth keeping.
                StaticEvaluation.Prepared? prepared = op.EvaluatesByPlan(c) ? StaticEvaluation.Prepare(op, c) : null;
                if (prepared is null) return op.Evaluate(c);
                if (!prepared.Reusable) return StaticEvaluation.Run(prepared, c);
                _prepared = prepared;
                _preparedFor = new TensorType?[c.InputCount];
                for (int i = 0; i < _preparedFor.Length; i++) _preparedFor[i] = c.Has(i) ? c.Type(i) : null;
            }
            return StaticEvaluation.Run(_prepared, c);
        }

        private bool Fits(EvaluateContext c)
        {
            if (_preparedFor.Length != c.InputCount) return false;
            for (int i = 0; i < _preparedFor.Length; i++)
            {
                if (c.Has(i) ? !c.Type(i).Equals(_preparedFor[i]) : _preparedFor[i] is not null) return false;
            }
            return true;
        }
    }

    /// <summary>Values while a graph runs; those of surrounding graphs are found outwards.</summary>
    private sealed class Scope(Scope? outer)
    {
        public Dictionary<Value, RuntimeValue?> Values { get; } = [];

        public Func<Value, RuntimeValue?>? Supplier { get; init; }

        public RuntimeValue? Find(Value value)
        {
            for (Scope? scope = this; scope is not null; scope = scope.Outer)
            {
                if (scope.Values.TryGetValue(value, out RuntimeValue? found)) return found;
                if (scope.Supplier is { } supplier && value.Constant is null) return supplier(value);
            }
            return value.Constant ?? throw new ModelException($"'{value.Name}' is read before it is made; rule: nodes stand after those whose outputs they read");
        }

        private Scope? Outer => outer;
    }
}
