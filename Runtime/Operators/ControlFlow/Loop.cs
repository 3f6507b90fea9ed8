using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Loop</c>: runs <c>body</c> up to M times while the condition holds.</summary>
/// <remarks>
/// <code>
///   body(iteration: int64, condition: bool, state₀ … stateₙ₋₁) → (condition, state₀ … stateₙ₋₁, scan₀ … scanₖ₋₁)
///   outputs: the last states, then every scan output stacked along a new axis 0
/// </code>
/// M left out means no limit, the condition left out means true. States may be sequences and may change their shape. With no iteration a
/// scan output has extent 0 on axis 0 and the extents that the body's type states behind it (0 where it states none).
/// </remarks>
internal sealed class Loop : Operator
{
    public override OperatorId Id => new("Loop");

    public override string Types => "any";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        Graph body = Body(c);
        int states = c.InputCount - 2;
        Check(c, body, states);
        var given = new TensorType[states];
        for (int i = 0; i < states; i++) given[i] = c.Has(2 + i) ? c.Type(2 + i) : body.Inputs[2 + i].Type;

        // A state's type must hold before and after every iteration: widen until it does. Each round can only lose knowledge.
        IReadOnlyList<TensorType> made = [];
        for (int round = 0; ; round++)
        {
            made = c.InferSubgraph(body, [new TensorType(DataType.Int64, default(ReadOnlySpan<int>)), new TensorType(DataType.Bool, default(ReadOnlySpan<int>)), .. given]);
            TensorType[] merged = TypeMerge.Merge(given, [.. made.Skip(1).Take(states)]);
            if (merged.AsSpan().SequenceEqual(given)) break;
            given = round < 3 ? merged : Array.ConvertAll(merged, type => new TensorType(type.Element) { Container = type.Container });
        }
        for (int i = 0; i < states; i++) c.Set(i, given[i]);
        for (int i = states; i < made.Count - 1; i++)
        {
            TensorType one = made[1 + i];
            c.Set(i, one.Shape is { } shape ? new TensorType(one.Element, (ReadOnlySpan<Dim>)[Dim.Unknown, .. shape]) : new TensorType(one.Element));
        }
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Graph body = Body(c);
        int states = c.InputCount - 2, scans = body.Outputs.Count - 1 - states;
        Check(c, body, states);
        long limit = c.Has(0) ? One(c, c.Input(0), DataType.Int64).Span<long>()[0] : long.MaxValue;
        bool goOn = !c.Has(1) || One(c, c.Input(1), DataType.Bool).Span<bool>()[0];

        var arguments = new RuntimeValue?[2 + states];
        for (int i = 0; i < states; i++) arguments[2 + i] = c.Value(2 + i);
        var scanned = new List<Tensor>[scans];
        for (int i = 0; i < scans; i++) scanned[i] = [];

        for (long iteration = 0; iteration < limit && goOn; iteration++)
        {
            c.Cancellation.ThrowIfCancellationRequested();
            arguments[0] = Tensor.Scalar(iteration);
            arguments[1] = Tensor.Scalar(goOn);
            RuntimeValue?[] made = c.RunSubgraph("body", arguments);
            goOn = One(c, made[0] as Tensor ?? throw c.Error("the body's condition is no tensor", "output 0 of the body is one bool"), DataType.Bool).Span<bool>()[0];
            for (int i = 0; i < states; i++) arguments[2 + i] = made[1 + i];
            for (int i = 0; i < scans; i++)
            {
                scanned[i].Add(made[1 + states + i] as Tensor ?? throw c.Error($"scan output {i} of the body is no tensor", "scan outputs are tensors"));
            }
        }

        var outputs = new RuntimeValue?[states + scans];
        for (int i = 0; i < states; i++) outputs[i] = arguments[2 + i];
        for (int i = 0; i < scans; i++) outputs[states + i] = Stack(c, scanned[i], body.Outputs[1 + states + i].Type, 0);
        return outputs;
    }

    /// <summary>Stacks what the iterations made along a new axis.</summary>
    /// <param name="c">Names the node in errors.</param>
    /// <param name="parts">One per iteration.</param>
    /// <param name="type">The type of one part as far as the body declares it, for when there is none.</param>
    /// <param name="axis">The new axis; negative counts from the end of the result.</param>
    internal static Tensor Stack(EvaluateContext c, List<Tensor> parts, TensorType type, long axis)
    {
        if (parts.Count == 0)
        {
            int[] extents = type.Shape is { } shape ? [.. shape.Select(dim => dim.IsKnown ? checked((int)dim.Value) : 0)] : [];
            int at = c.Axis(axis, extents.Length + 1);
            return new Tensor(type.Element, (ReadOnlySpan<int>)[.. extents[..at], 0, .. extents[at..]]);
        }
        if (!TensorBlocks.Agree(parts)) throw c.Error($"a scan output is {parts[0]} in the first iteration and {parts.First(part => !TensorBlocks.Agree([parts[0], part]))} later", "a scan output has one type and shape in all iterations");
        return TensorBlocks.Stack(parts, c.Axis(axis, parts[0].Rank + 1));
    }

    private static Graph Body(NodeContext c) => c.Attributes.Graph("body") ?? throw c.Error("attribute 'body' is missing", "'body' is a graph");

    private static void Check(NodeContext c, Graph body, int states)
    {
        if (states < 0 || body.Inputs.Count != 2 + states || body.Outputs.Count < 1 + states || c.OutputCount > body.Outputs.Count - 1)
            throw c.Error($"the body has {body.Inputs.Count} inputs and {body.Outputs.Count} outputs for {states} states and {c.OutputCount} outputs of the node",
                "inputs = 2 + states; outputs = 1 + states + scan outputs");
    }

    private static Tensor One(EvaluateContext c, Tensor tensor, DataType type) => tensor.Type == type && tensor.Length == 1 ? tensor
        : throw c.Error($"{tensor} stands where one {type.Name()} is needed", "the trip count is one int64, the condition one bool");
}
