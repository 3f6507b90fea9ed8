using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>The sum of a convolution's or product's result and another value of the same shape → the sum operand of its epilogue.</summary>
/// <remarks>Either side; the other value may be the convolution's own input. Where the convolution has an activation, the sum comes after it.</remarks>
internal sealed class FuseSum : RewriteRule
{
    /// <summary>Position of the sum operand.</summary>
    private const int Sum = 3;

    public override string Name => "sum";

    public override Pattern Pattern { get; } = Pattern.Op("Add|Sum", Pattern.AnyInputs(FuseActivation.Producers).As("producer"), Pattern.Any("other")).EitherOrder().As("add");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node producer = match.Node("producer");
        Value other = match["other"], result = match.Node("add").Output;
        if (producer.Input(Sum) is not null) return RewriteResult.Refuse($"{producer} has a sum operand already");
        if (ReferenceEquals(other.Producer, producer)) return RewriteResult.Refuse("both sides are the same value");
        if (!other.Type.IsConcrete || !other.Type.Equals(producer.Output.Type) || !other.Type.Equals(result.Type)) return RewriteResult.Refuse($"the other side is {other.Type}, the result {producer.Output.Type}");
        AttributeMap attributes = producer.Attributes.Copy();
        if (attributes.Contains("activation")) attributes["activation_first"] = 1L;
        Value?[] inputs = [producer.Input(0), producer.Input(1), producer.Input(2), other, .. producer.Inputs.Skip(Sum + 1)];
        editor.Fuse(match, producer, producer.OperatorType, inputs, attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
