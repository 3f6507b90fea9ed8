using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;

namespace Octet.Runtime.Operators;

/// <summary>An activation of a recurrent cell with its constants.</summary>
internal sealed class RecurrentActivation
{
    private readonly UnaryKernel _kernel;
    private readonly float _alpha, _beta;
    private readonly float _scale;   // ScaledTanh: α·tanh(β·x)
    private readonly bool _scaled;

    private RecurrentActivation(UnaryKernel kernel, float alpha, float beta, bool scaled)
    {
        (_kernel, _alpha, _beta, _scaled) = (kernel, scaled ? 0 : alpha, scaled ? 0 : beta, scaled);
        _scale = scaled ? alpha : 1;
        InputScale = scaled ? beta : 1;
    }

    private float InputScale { get; }

    /// <summary>Which constants an activation reads.</summary>
    public static (bool Alpha, bool Beta) Constants(string name) => name.ToUpperInvariant() switch
    {
        "LEAKYRELU" or "THRESHOLDEDRELU" or "ELU" => (true, false),
        "SCALEDTANH" or "HARDSIGMOID" or "AFFINE" => (true, true),
        _ => (false, false),
    };

    /// <summary>The activation by name, compared without case, with ONNX's defaults for constants that are not given.</summary>
    public static RecurrentActivation Create(NodeContext c, string name, float? alpha, float? beta, CpuFeatures cpu)
    {
        (UnaryOperation operation, float defaultAlpha, float defaultBeta) = name.ToUpperInvariant() switch
        {
            "RELU" => (UnaryOperation.Relu, 0f, 0f),
            "TANH" => (UnaryOperation.Tanh, 0f, 0f),
            "SIGMOID" => (UnaryOperation.Sigmoid, 0f, 0f),
            "SOFTSIGN" => (UnaryOperation.Softsign, 0f, 0f),
            "SOFTPLUS" => (UnaryOperation.Softplus, 0f, 0f),
            "LEAKYRELU" => (UnaryOperation.LeakyRelu, 0.01f, 0f),
            "THRESHOLDEDRELU" => (UnaryOperation.ThresholdedRelu, 1f, 0f),
            "ELU" => (UnaryOperation.Elu, 1f, 0f),
            "SCALEDTANH" => (UnaryOperation.Tanh, 1f, 1f),
            "HARDSIGMOID" => (UnaryOperation.HardSigmoid, 0.2f, 0.5f),
            "AFFINE" => (UnaryOperation.Affine, 1f, 0f),
            _ => throw c.Error($"activation '{name}' is unknown", "Relu, Tanh, Sigmoid, Affine, LeakyRelu, ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign or Softplus"),
        };
        return new RecurrentActivation(UnaryKernel.Select(operation, cpu), alpha ?? defaultAlpha, beta ?? defaultBeta,
            name.Equals("ScaledTanh", StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Applies it to every element of <paramref name="x"/>, clipped to [−clip, clip] before.</summary>
    public void Apply(Span<float> x, float clip)
    {
        if (!float.IsPositiveInfinity(clip))
        {
            for (int i = 0; i < x.Length; i++) x[i] = Math.Clamp(x[i], -clip, clip);
        }
        if (_scaled)
        {
            for (int i = 0; i < x.Length; i++) x[i] *= InputScale;
        }
        _kernel.Run(x, x, _alpha, _beta);
        if (_scaled)
        {
            for (int i = 0; i < x.Length; i++) x[i] *= _scale;
        }
    }
}
