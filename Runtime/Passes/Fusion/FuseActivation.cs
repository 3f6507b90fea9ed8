using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Passes;

/// <summary>An activation of a convolution's or product's result → the activation of its epilogue.</summary>
internal sealed class FuseActivation : RewriteRule
{
    internal const string Producers = "octet.Conv|octet.ConvTranspose|octet.Gemm|octet.ConvInteger";

    private const string Activations = "Relu|Clip|LeakyRelu|ThresholdedRelu|Sigmoid|Tanh|HardSigmoid|HardSwish|Gelu|Swish|Elu|Celu|Softplus|Softsign|Mish|Abs|Sqrt|Exp"
        + "|octet.Activation|com.microsoft.Gelu|com.microsoft.QuickGelu|com.microsoft.FastGelu";

    public override string Name => "activation";

    public override Pattern Pattern { get; } =
        Pattern.Op(Activations, Pattern.AnyInputs(Producers).As("producer"), Pattern.Optional("first"), Pattern.Optional("second")).As("activation");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node producer = match.Node("producer"), node = match.Node("activation");
        if (producer.Attributes.Contains("activation")) return RewriteResult.Refuse($"{producer} has an activation already");
        if (RuleValues.ActivationOf(node) is not { } activation) return RewriteResult.Refuse($"the constants of {node} are computed at run time");
        AttributeMap attributes = producer.Attributes.Copy();
        activation.Write(attributes);
        editor.Fuse(match, producer, producer.OperatorType, [.. producer.Inputs], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}
