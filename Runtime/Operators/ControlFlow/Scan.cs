using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Scan</c> since version 9: runs <c>body</c> once per slice of the scan inputs, carrying states along.</summary>
/// <remarks>
/// <code>
///   body(state₀ … stateₙ₋₁, x₀[t] … xₘ₋₁[t]) → (state₀ … stateₙ₋₁, y₀[t] … yₖ₋₁[t])        t = 0 … T − 1
///   outputs: the last states, then every y stacked along its scan_output_axes
/// </code>
/// <c>scan_input_directions</c> 1 takes the slices from the last to the first, <c>scan_output_directions</c> 1 puts each y before those made earlier.
/// </remarks>
internal sealed class Scan : Operator
{
    public override OperatorId Id => new("Scan", Since: 9);

    public override string Types => "any";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        (Graph body, int states, int scans) = Parts(c, c.InputCount);
        long[] axes = c.Attributes.Ints("scan_input_axes") ?? new long[scans];
        Dim length = Dim.Unknown;
        var slices = new TensorType[scans];
        for (int i = 0; i < scans; i++)
        {
            TensorType type = c.Type(states + i);
            if (type.Shape is not { } shape) { slices[i] = new TensorType(type.Element); continue; }
            int axis = c.Axis(axes[i], shape.Length);
            if (shape[axis].DiffersFrom(length)) throw c.Error($"scan inputs have {length} and {shape[axis]} slices", "all scan inputs have equally many slices");
            if (shape[axis].IsKnown || length == Dim.Unknown) length = shape[axis];
            slices[i] = new TensorType(type.Element, shape.RemoveAt(axis).AsSpan());
        }

        var given = new TensorType[states];
        for (int i = 0; i < states; i++) given[i] = c.Type(i);
        IReadOnlyList<TensorType> made;
        for (int round = 0; ; round++)
        {
            made = c.InferSubgraph(body, [.. given, .. slices]);
            TensorType[] merged = TypeMerge.Merge(given, [.. made.Take(states)]);
            if (merged.AsSpan().SequenceEqual(given)) break;
            given = round < 3 ? merged : Array.ConvertAll(merged, type => new TensorType(type.Element));
        }
        long[] outputAxes = c.Attributes.Ints("scan_output_axes") ?? new long[made.Count - states];
        for (int i = 0; i < states; i++) c.Set(i, given[i]);
        for (int i = states; i < made.Count; i++)
        {
            TensorType one = made[i];
            if (one.Shape is not { } shape) { c.Set(i, new TensorType(one.Element)); continue; }
            c.Set(i, new TensorType(one.Element, shape.Insert(c.Axis(outputAxes[i - states], shape.Length + 1), length).AsSpan()));
        }
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        (Graph body, int states, int scans) = Parts(c, c.InputCount);
        var inputs = new Tensor[scans];
        for (int i = 0; i < scans; i++) inputs[i] = c.Input(states + i);
        var start = new RuntimeValue?[states];
        for (int i = 0; i < states; i++) start[i] = c.Value(i);
        return Run(c, body, start, inputs, null, c.Attributes.Ints("scan_input_axes"), c.Attributes.Ints("scan_input_directions"),
            c.Attributes.Ints("scan_output_axes"), c.Attributes.Ints("scan_output_directions"));
    }

    /// <summary>One scan.</summary>
    /// <param name="c">The node's context.</param>
    /// <param name="body">The body.</param>
    /// <param name="states">Initial states.</param>
    /// <param name="inputs">Scan inputs.</param>
    /// <param name="steps">How many slices to take, or null for all.</param>
    /// <param name="axes">Axis per scan input; null for 0.</param>
    /// <param name="directions">1 per scan input that runs backwards; null for none.</param>
    /// <param name="outputAxes">Axis per scan output; null for 0.</param>
    /// <param name="outputDirections">1 per scan output that is stacked backwards; null for none.</param>
    internal static RuntimeValue?[] Run(EvaluateContext c, Graph body, RuntimeValue?[] states, Tensor[] inputs, int? steps,
        long[]? axes, long[]? directions, long[]? outputAxes, long[]? outputDirections)
    {
        int length = -1;
        var axisOf = new int[inputs.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            axisOf[i] = c.Axis(axes is null ? 0 : axes[i], inputs[i].Rank);
            int extent = inputs[i].Shape[axisOf[i]];
            if (length >= 0 && extent != length) throw c.Error($"scan inputs have {length} and {extent} slices", "all scan inputs have equally many slices");
            length = extent;
        }
        int count = steps ?? length;

        int outputs = body.Outputs.Count - states.Length;
        var made = new List<Tensor>[outputs];
        for (int i = 0; i < outputs; i++) made[i] = [];
        var arguments = new RuntimeValue?[states.Length + inputs.Length];
        states.CopyTo(arguments, 0);
        for (int t = 0; t < count; t++)
        {
            c.Cancellation.ThrowIfCancellationRequested();
            for (int i = 0; i < inputs.Length; i++)
            {
                int index = directions is not null && directions[i] == 1 ? count - 1 - t : t;
                arguments[states.Length + i] = TensorBlocks.Slice(inputs[i], axisOf[i], index, 1, keepAxis: false);
            }
            RuntimeValue?[] results = c.RunSubgraph("body", arguments);
            for (int i = 0; i < states.Length; i++) arguments[i] = results[i];
            for (int i = 0; i < outputs; i++)
            {
                made[i].Add(results[states.Length + i] as Tensor ?? throw c.Error($"scan output {i} of the body is no tensor", "scan outputs are tensors"));
            }
        }

        var final = new RuntimeValue?[states.Length + outputs];
        for (int i = 0; i < states.Length; i++) final[i] = arguments[i];
        for (int i = 0; i < outputs; i++)
        {
            if (outputDirections is not null && outputDirections[i] == 1) made[i].Reverse();
            final[states.Length + i] = Loop.Stack(c, made[i], body.Outputs[states.Length + i].Type, outputAxes is null ? 0 : outputAxes[i]);
        }
        return final;
    }

    /// <summary>The body, the number of states and the number of scan inputs.</summary>
    internal static (Graph Body, int States, int Scans) Parts(NodeContext c, int inputs)
    {
        Graph body = c.Attributes.Graph("body") ?? throw c.Error("attribute 'body' is missing", "'body' is a graph");
        long scans = c.Attributes.Int("num_scan_inputs");
        if (scans < 1 || scans > inputs) throw c.Error($"num_scan_inputs is {scans} of {inputs} inputs", "1 ≤ num_scan_inputs ≤ inputs");
        int states = inputs - (int)scans, made = body.Outputs.Count - states;
        if (body.Inputs.Count != inputs || made < 0 || c.OutputCount > body.Outputs.Count)
            throw c.Error($"the body has {body.Inputs.Count} inputs and {body.Outputs.Count} outputs for {inputs} inputs and {c.OutputCount} outputs of the node", "both agree");
        foreach ((string name, int count) in new[] { ("scan_input_axes", (int)scans), ("scan_input_directions", (int)scans), ("directions", (int)scans), ("scan_output_axes", made), ("scan_output_directions", made) })
        {
            if (c.Attributes.Ints(name) is { } values && values.Length != count) throw c.Error($"'{name}' has {values.Length} entries", $"one per scan input or output: {count}");
        }
        return (body, states, (int)scans);
    }
}

/// <summary>ONNX <c>Scan</c> version 8: <see cref="Scan"/> along axis 1 for every element of a batch on axis 0, with an optional length each.</summary>
/// <remarks>Outputs beyond an element's length are zero.</remarks>
internal sealed class Scan8 : Operator
{
    public override OperatorId Id => new("Scan", Since: 8);

    public override string Types => "any";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        (Graph body, int states, _) = Scan.Parts(c, c.InputCount - 1);
        for (int i = 0; i < body.Outputs.Count; i++)
        {
            if (i < states) c.Set(i, c.Type(1 + i));
            else c.SetUnknownShape(i, body.Outputs[i].Type.Element);
        }
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        (Graph body, int states, int scans) = Scan.Parts(c, c.InputCount - 1);
        Tensor first = c.Input(1 + states);
        if (first.Rank < 2) throw c.Error($"a scan input is {first}", "scan inputs are [batch, sequence, …]");
        int batch = first.Shape[0], length = first.Shape[1];
        long[] lengths = c.OptionalInput(0)?.ToInt64Array() ?? [.. Enumerable.Repeat((long)length, batch)];
        if (lengths.Length != batch || lengths.Any(steps => steps < 0 || steps > length))
            throw c.Error($"sequence_lens is [{string.Join(", ", lengths)}]", $"one length per element of the batch, in [0, {length}]");

        var perOutput = new List<Tensor>[body.Outputs.Count];
        for (int i = 0; i < perOutput.Length; i++) perOutput[i] = [];
        for (int b = 0; b < batch; b++)
        {
            var start = new RuntimeValue?[states];
            for (int i = 0; i < states; i++) start[i] = Element(c, 1 + i, b, batch);
            var inputs = new Tensor[scans];
            for (int i = 0; i < scans; i++) inputs[i] = Element(c, 1 + states + i, b, batch);
            RuntimeValue?[] made = Scan.Run(c, body, start, inputs, (int)lengths[b], null, c.Attributes.Ints("directions"), null, null);
            for (int i = 0; i < made.Length; i++)
            {
                Tensor one = made[i] as Tensor ?? throw c.Error($"output {i} of the body is no tensor", "states and scan outputs are tensors");
                perOutput[i].Add(i < states || one.Shape[0] == length ? one : Padded(one, length));
            }
        }
        return [.. perOutput.Select(parts => TensorBlocks.Agree(parts) ? TensorBlocks.Stack(parts, 0) : throw c.Error("outputs differ in shape within the batch", "all elements of the batch make the same shapes"))];
    }

    private static Tensor Element(EvaluateContext c, int index, int element, int batch)
    {
        Tensor tensor = c.Input(index);
        if (tensor.Rank < 1 || tensor.Shape[0] != batch) throw c.Error($"input {index} is {tensor}", $"axis 0 is the batch of {batch}");
        return TensorBlocks.Slice(tensor, 0, element, 1, keepAxis: false);
    }

    private static Tensor Padded(Tensor tensor, int length)
    {
        int[] shape = tensor.Shape.ToArray();
        shape[0] = length - shape[0];
        return TensorBlocks.Concat([tensor, new Tensor(tensor.Type, shape)], 0);
    }
}
