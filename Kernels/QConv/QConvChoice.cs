using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QGemm;

namespace Octet.Kernels.QConv;

/// <summary>Whether 3×3 convolutions of stride 1 may run in the exact integer form of Winograd's algorithm. No choice changes a result.</summary>
public enum WinogradUse
{
    /// <summary>Where a measurement on this machine, taken once per process and layer shape, finds it faster.</summary>
    Measured,

    /// <summary>Nowhere.</summary>
    Never,

    /// <summary>F(2×2, 3×3) wherever the weights allow it.</summary>
    Tile2,

    /// <summary>F(4×4, 3×3) wherever the weights allow it.</summary>
    Tile4,
}

/// <summary>Methods for a convolution whose weights are not known yet, the preferred first; weights may refuse any but the last.</summary>
/// <param name="Candidates">At least one.</param>
/// <param name="LargestActivation">Largest value of x, in [0, 255].</param>
/// <param name="Reason">What a measurement said, or empty.</param>
internal sealed record QConvChoice(IReadOnlyList<QConvMethod> Candidates, int LargestActivation, string Reason)
{
    /// <summary>Equal choices pack equal weights equally.</summary>
    public string Key => string.Join(" or ", Candidates.Select(method => method.Name)) + $" activations to {LargestActivation}";

    /// <summary>The choice for <paramref name="shape"/>.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="cpu">Features to choose by.</param>
    /// <param name="winograd">Whether Winograd forms may be used.</param>
    /// <param name="largestActivation">Largest value of x and its zero point, in [0, 255]; a smaller one proves more pairs of weights.</param>
    public static QConvChoice For(ConvShape shape, CpuFeatures cpu, WinogradUse winograd = WinogradUse.Measured, int largestActivation = byte.MaxValue)
    {
        string reason = "";
        var candidates = new List<QConvMethod>();
        QConvForm? form = winograd switch
        {
            WinogradUse.Measured => QConvTuning.Choose(shape, cpu, out reason),
            WinogradUse.Tile2 => QConvForm.Winograd2,
            WinogradUse.Tile4 => QConvForm.Winograd4,
            _ => null,
        };
        if (form is { } wanted && QConvMethod.Winograd(wanted, shape, cpu) is { } method) candidates.Add(method);
        candidates.AddRange(Direct(shape, cpu));
        return new(candidates, largestActivation, reason);
    }

    /// <summary>The direct methods: with a kernel that needs a proof, if it would be faster, and with one that needs none.</summary>
    internal static IEnumerable<QConvMethod> Direct(ConvShape shape, CpuFeatures cpu)
    {
        if (!shape.IsDepthwise && QGemmKernels.SelectIfProved(shape.Batch * shape.OutputPixels, shape.GroupOutChannels, shape.GroupInChannels * shape.Taps, cpu) is { } proved)
            yield return QConvMethod.Select(shape, proved);
        yield return QConvMethod.Select(shape, cpu);
    }
}
