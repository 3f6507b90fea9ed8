using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Constant</c>: the tensor in attribute <c>value</c>, or the number, text or list in <c>value_float</c>, <c>value_ints</c>, …</summary>
internal sealed class Constant : Operator
{
    public override OperatorId Id { get; } = new("Constant");

    public override string Types => "all";

    public override string Limits => "no sparse_value";

    public override void Infer(InferContext c)
    {
        Tensor value = Value(c);
        c.Set(0, new Graphs.TensorType(value.Type, value.Shape));
    }

    public override Step Plan(PlanContext c)
    {
        Tensor value = Value(c);
        return Step.From("copy", value.Type == DataType.String
            ? step => value.Strings.CopyTo(step.Output(0).Strings)
            : step => value.Bytes.Span.CopyTo(step.Output(0).Bytes.Span));
    }

    private static Tensor Value(NodeContext c) =>
        c.Attributes.Tensor("value")
        ?? (c.Attributes.Contains("value_float") ? Tensor.Scalar(c.Attributes.Float("value_float"))
        : c.Attributes.Contains("value_int") ? Tensor.Scalar(c.Attributes.Int("value_int"))
        : c.Attributes.Contains("value_string") ? new Tensor([c.Attributes.String("value_string")], [])
        : c.Attributes.Contains("value_floats") ? List(c.Attributes.Floats("value_floats") ?? [])
        : c.Attributes.Contains("value_ints") ? List(c.Attributes.Ints("value_ints") ?? [])
        : c.Attributes.Contains("value_strings") && (c.Attributes.Strings("value_strings") ?? []) is var texts ? new Tensor(texts, [texts.Length])
        : c.Attributes.Contains("sparse_value") ? throw c.Unsupported("the value is sparse", "a dense value")
        : throw c.Error("no value is given", "exactly one of value, value_float, value_floats, value_int, value_ints, value_string, value_strings is given"));

    private static Tensor List<T>(T[] values) where T : unmanaged => Tensor.Create(values, values.Length);
}

/// <summary><c>ConstantOfShape</c>: a tensor of the shape in input 0, filled with the one element of attribute <c>value</c> (default float32 0).</summary>
internal sealed class ConstantOfShape : Operator
{
    public override OperatorId Id { get; } = new("ConstantOfShape");

    public override string Types => "all but string";

    public override void Infer(InferContext c)
    {
        DataType type = c.Attributes.Tensor("value")?.Type ?? DataType.Float32;
        if (c.KnownInts(0) is { } shape)
        {
            if (shape.Any(extent => extent < 0)) throw c.Error($"the shape is [{string.Join(",", shape)}]", "extents are 0 or more");
            c.Set(0, type, [.. shape.Select(extent => new Graphs.Dim(extent))]);
        }
        else if (c.Shape(0) is [{ IsKnown: true } rank] && rank.Value <= 64) c.Set(0, type, new Graphs.Dim[rank.Value]);
        else c.SetUnknownShape(0, type);
    }

    public override Step Plan(PlanContext c)
    {
        Tensor value = c.Attributes.Tensor("value") ?? Tensor.Scalar(0f);
        if (value.Length != 1) throw c.Error($"value has {value.Length} elements", "value has one element");
        return ElementTypes.Width(c, value.Type, new Visitor(value));
    }

    private sealed class Visitor(Tensor value) : IWidthVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IEquatable<T>
        {
            T element = value.Span<T>()[0];
            return Step.From("fill", step => step.Output<T>(0).Fill(element));
        }
    }
}
