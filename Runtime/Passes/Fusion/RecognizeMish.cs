using Octet.Kernels.Elementwise;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>x · Tanh(Softplus(x))</c> → Mish.</summary>
internal sealed class RecognizeMish : RewriteRule
{
    public override string Name => "mish";

    public override Pattern Pattern { get; } = Pattern.Op("Mul", Pattern.Any("x"), Pattern.Op("Tanh", Pattern.Op("Softplus", Pattern.Any("x")))).EitherOrder();

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {match["x"].Type}, activations are float32");
        PlanActivation.Replace(match, editor, new Activation(UnaryOperation.Mish));
        return RewriteResult.Done;
    }
}

/// <summary><c>Log(Sigmoid(x))</c> → LogSigmoid, which also holds where the sigmoid underflows.</summary>
internal sealed class RecognizeLogSigmoid : RewriteRule
{
    public override string Name => "log-sigmoid";

    public override Pattern Pattern { get; } = Pattern.Op("Log", Pattern.Op("Sigmoid", Pattern.Any("x")));

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        if (match["x"].Type.Element != DataType.Float32) return RewriteResult.Refuse($"x is {match["x"].Type}, activations are float32");
        PlanActivation.Replace(match, editor, new Activation(UnaryOperation.LogSigmoid));
        return RewriteResult.Done;
    }
}
