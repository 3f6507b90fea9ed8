using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Optional</c>: an optional that holds the input, or an empty one of type <c>type</c>.</summary>
internal sealed class Optional : SequenceOperator
{
    public override OperatorId Id => new("Optional", Since: 15);

    public override void Infer(InferContext c)
    {
        if (!c.Has(0) && c.Attributes["type"] is not TensorType) throw c.Error("there is neither an input nor a type", "an empty optional states its type");
        TensorType type = c.Has(0) ? c.Type(0) : (TensorType)c.Attributes["type"]!;
        c.Set(0, type with { Container = type.Container is Container.Sequence or Container.OptionalSequence ? Container.OptionalSequence : Container.Optional });
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [c.Value(0)];
}

/// <summary>ONNX <c>OptionalHasElement</c>: whether the optional holds something; false where no input is given, true for a plain tensor or sequence.</summary>
internal sealed class OptionalHasElement : SequenceOperator
{
    public override OperatorId Id => new("OptionalHasElement", Since: 15);

    public override void Infer(InferContext c) => c.Set(0, DataType.Bool);

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [Tensor.Scalar(c.Value(0) is not null)];
}

/// <summary>ONNX <c>OptionalGetElement</c>: what the optional holds; a plain tensor or sequence is passed on.</summary>
internal sealed class OptionalGetElement : SequenceOperator
{
    public override OperatorId Id => new("OptionalGetElement", Since: 15);

    public override void Infer(InferContext c)
    {
        TensorType type = c.Type(0);
        c.Set(0, type with { Container = type.Container is Container.Sequence or Container.OptionalSequence ? Container.Sequence : Container.None });
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c) => [c.Value(0) ?? throw c.Error("the optional is empty", "OptionalHasElement is asked first")];
}
