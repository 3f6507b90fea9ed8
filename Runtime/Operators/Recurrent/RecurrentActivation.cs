namespace Octet.Runtime.Operators;

/// <summary>An activation of a recurrent cell with its constants.</summary>
/// <param name="Name">ONNX's name; compared without case.</param>
/// <param name="Alpha">First constant.</param>
/// <param name="Beta">Second constant.</param>
internal readonly record struct RecurrentActivation(string Name, float Alpha, float Beta)
{
    /// <summary>The activation by name, with ONNX's defaults for constants that are not given.</summary>
    public static RecurrentActivation Create(NodeContext c, string name, float? alpha, float? beta)
    {
        (float defaultAlpha, float defaultBeta) = name.ToUpperInvariant() switch
        {
            "RELU" or "TANH" or "SIGMOID" or "SOFTSIGN" or "SOFTPLUS" => (0f, 0f),
            "LEAKYRELU" => (0.01f, 0f),
            "THRESHOLDEDRELU" or "ELU" => (1f, 0f),
            "SCALEDTANH" => (1f, 1f),
            "HARDSIGMOID" => (0.2f, 0.5f),
            "AFFINE" => (1f, 0f),
            _ => throw c.Error($"activation '{name}' is unknown", "Relu, Tanh, Sigmoid, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign or Softplus"),
        };
        return new RecurrentActivation(name.ToUpperInvariant(), alpha ?? defaultAlpha, beta ?? defaultBeta);
    }

    /// <summary>Whether the activation reads its first constant, its second.</summary>
    public (bool Alpha, bool Beta) Constants => Name switch
    {
        "LEAKYRELU" or "THRESHOLDEDRELU" or "ELU" => (true, false),
        "SCALEDTANH" or "HARDSIGMOID" or "AFFINE" => (true, true),
        _ => (false, false),
    };

    /// <summary>Applies it to every element of <paramref name="x"/>, clipped to [−clip, clip] before.</summary>
    public void Apply(Span<float> x, float clip)
    {
        if (!float.IsPositiveInfinity(clip))
        {
            for (int i = 0; i < x.Length; i++) x[i] = Math.Clamp(x[i], -clip, clip);
        }
        switch (Name)
        {
            case "SIGMOID":
                for (int i = 0; i < x.Length; i++) x[i] = 1 / (1 + MathF.Exp(-x[i]));
                break;
            case "TANH":
                for (int i = 0; i < x.Length; i++) x[i] = MathF.Tanh(x[i]);
                break;
            case "RELU":
                for (int i = 0; i < x.Length; i++) x[i] = MathF.Max(x[i], 0);
                break;
            case "AFFINE":
                for (int i = 0; i < x.Length; i++) x[i] = Alpha * x[i] + Beta;
                break;
            case "LEAKYRELU":
                for (int i = 0; i < x.Length; i++) x[i] = x[i] >= 0 ? x[i] : Alpha * x[i];
                break;
            case "THRESHOLDEDRELU":
                for (int i = 0; i < x.Length; i++) x[i] = x[i] > Alpha ? x[i] : 0;
                break;
            case "SCALEDTANH":
                for (int i = 0; i < x.Length; i++) x[i] = Alpha * MathF.Tanh(Beta * x[i]);
                break;
            case "HARDSIGMOID":
                for (int i = 0; i < x.Length; i++) x[i] = Math.Clamp(Alpha * x[i] + Beta, 0, 1);
                break;
            case "ELU":
                for (int i = 0; i < x.Length; i++) x[i] = x[i] >= 0 ? x[i] : Alpha * (MathF.Exp(x[i]) - 1);
                break;
            case "SOFTSIGN":
                for (int i = 0; i < x.Length; i++) x[i] /= 1 + MathF.Abs(x[i]);
                break;
            case "SOFTPLUS":
                for (int i = 0; i < x.Length; i++) x[i] = MathF.Max(x[i], 0) + MathF.Log(1 + MathF.Exp(-MathF.Abs(x[i])));
                break;
        }
    }
}
