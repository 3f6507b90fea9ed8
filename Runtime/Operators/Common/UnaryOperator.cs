using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Base of the element-wise operators of one input: output 0 has the shape of input 0.</summary>
internal abstract class UnaryOperator(string type, string domain = "", int since = 1) : Operator
{
    public override OperatorId Id { get; } = new(type, domain, since);

    /// <summary>Element types of the input.</summary>
    protected abstract ReadOnlySpan<DataType> Allowed { get; }

    /// <summary>Element type of the output, given that of the input.</summary>
    protected virtual DataType Result(DataType element) => element;

    public override void Infer(InferContext c)
    {
        DataType element = Result(c.Expect(0, Allowed));
        c.Set(0, c.Type(0) with { Element = element });
    }
}
