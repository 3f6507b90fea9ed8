using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Memory;

namespace Octet.Kernels.SGemm;

/// <summary>
/// What happens to an accumulator before it is stored: <c>y = activation(Σ + bias + sum)</c>, or
/// <c>y = activation(Σ + bias) + sum</c> where <see cref="ActivationFirst"/>. Immutable; shared between threads and sessions.
/// </summary>
/// <remarks>
/// Identity, Relu and Clip are applied in registers; every other activation right after a tile is stored, while it is in L1.
/// The accumulator starts at the bias, so the bias is the first term of the sum.
/// </remarks>
internal sealed unsafe class SEpilogue
{
    private readonly AlignedBuffer _bias;
    private readonly UnaryKernel? _activation;

    /// <summary>Prepares an epilogue.</summary>
    /// <param name="channels">Output channels (N).</param>
    /// <param name="bias">One value per output channel, or empty for none.</param>
    /// <param name="activation">The function; <see cref="UnaryOperation.Identity"/> for none.</param>
    /// <param name="alpha">First constant of the function; lower limit of Clip.</param>
    /// <param name="beta">Second constant of the function; upper limit of Clip.</param>
    /// <param name="activationFirst">Whether the sum operand is added after the activation instead of before.</param>
    /// <param name="cpu">The CPU that the activation runs on.</param>
    /// <exception cref="ArgumentException"><paramref name="bias"/> has neither 0 nor <paramref name="channels"/> elements.</exception>
    public SEpilogue(int channels, ReadOnlySpan<float> bias, UnaryOperation activation, float alpha, float beta, bool activationFirst, CpuFeatures cpu)
    {
        if (bias.Length != 0 && bias.Length != channels)
            throw new ArgumentException($"bias has {bias.Length} elements for {channels} channels", nameof(bias));
        Channels = channels;
        Activation = activation;
        Alpha = alpha;
        Beta = beta;
        ActivationFirst = activationFirst;
        _bias = new AlignedBuffer((long)(channels + MaxPanelWidth) * sizeof(float));
        bias.CopyTo(_bias.Span<float>(0, channels));
        (Clamps, Low, High) = activation switch
        {
            UnaryOperation.Relu => (true, 0f, float.PositiveInfinity),
            UnaryOperation.Clip => (true, alpha, beta),
            _ => (false, 0f, 0f),
        };
        if (!Clamps && activation != UnaryOperation.Identity) _activation = UnaryKernel.Select(activation, cpu);
    }

    /// <summary>Floats that a tile may read from a channel's bias on: the widest panel of any kernel.</summary>
    internal const int MaxPanelWidth = 64;

    /// <summary>Output channels.</summary>
    public int Channels { get; }

    /// <summary>The function.</summary>
    public UnaryOperation Activation { get; }

    /// <summary>First constant of the function.</summary>
    public float Alpha { get; }

    /// <summary>Second constant of the function.</summary>
    public float Beta { get; }

    /// <summary>Whether the sum operand is added after the activation.</summary>
    public bool ActivationFirst { get; }

    /// <summary>Whether the function is a clamp that tiles apply in registers.</summary>
    internal bool Clamps { get; }

    /// <summary>Lower limit where <see cref="Clamps"/>.</summary>
    internal float Low { get; }

    /// <summary>Upper limit where <see cref="Clamps"/>.</summary>
    internal float High { get; }

    /// <summary>The function that follows a stored tile, or null.</summary>
    internal UnaryKernel? AfterStore => _activation;

    /// <summary>Bias of channel 0; zeros where there is none; <see cref="MaxPanelWidth"/> more floats may be read behind the last.</summary>
    internal float* Bias => (float*)_bias.Pointer;

    /// <summary>No bias, no activation.</summary>
    public static SEpilogue None(int channels) => new(channels, [], UnaryOperation.Identity, 0f, 0f, false, CpuFeatures.None);

    /// <summary>Bias alone.</summary>
    public static SEpilogue WithBias(ReadOnlySpan<float> bias) => new(bias.Length, bias, UnaryOperation.Identity, 0f, 0f, false, CpuFeatures.None);
}
