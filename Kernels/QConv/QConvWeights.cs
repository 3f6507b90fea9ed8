using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QConv.X86;
using Octet.Kernels.QGemm;

namespace Octet.Kernels.QConv;

/// <summary>How a convolution reads its input.</summary>
internal enum QConvForm
{
    /// <summary>A matrix product of pixels and weights.</summary>
    Pointwise,

    /// <summary>One address per window tap, straight into the input; taps in the padding point to a row of zero points.</summary>
    Indirect,

    /// <summary>One address per window tap into a padded copy of the input (as bytes or words).</summary>
    Padded,

    /// <summary>Like <see cref="Padded"/>, with the taps of one window row merged into one run of memory.</summary>
    PaddedRuns,

    /// <summary>One filter per channel.</summary>
    Depthwise,

    /// <summary>Exact integer F(2×2, 3×3).</summary>
    Winograd2,

    /// <summary>Exact integer F(4×4, 3×3).</summary>
    Winograd4,
}

/// <summary>What is chosen for a convolution before its weights are packed; equal plans can share packed weights.</summary>
/// <param name="Form">How the input is read.</param>
/// <param name="Kernel">The tile; null for <see cref="QConvForm.Depthwise"/>.</param>
/// <param name="Depthwise">The depthwise kernel, or null.</param>
/// <param name="Reason">Why, in one sentence.</param>
internal sealed record QConvMethod(QConvForm Form, QGemmKernel? Kernel, QDepthwiseKernel? Depthwise, string Reason)
{
    /// <summary>Name of form and kernel.</summary>
    public string Name => Form switch
    {
        QConvForm.Pointwise => "pointwise ",
        QConvForm.Indirect => "indirect ",
        QConvForm.Padded => "padded ",
        QConvForm.PaddedRuns => "padded-runs ",
        QConvForm.Winograd2 => "winograd-2x2 ",
        QConvForm.Winograd4 => "winograd-4x4 ",
        _ => "depthwise ",
    } + (Kernel?.Name ?? Depthwise!.Name);

    /// <summary>The method for <paramref name="shape"/> on <paramref name="cpu"/>. Pure.</summary>
    public static QConvMethod Select(ConvShape shape, CpuFeatures cpu)
    {
        if (shape.IsDepthwise)
        {
            QDepthwiseKernel depthwise = QDepthwiseKernels.Select(shape, cpu);
            return new(QConvForm.Depthwise, null, depthwise, "every group has one input channel: vectors run over channels");
        }
        return Select(shape, QGemmKernels.Select(shape.Batch * shape.OutputPixels, shape.GroupOutChannels, shape.GroupInChannels * shape.Taps, cpu));
    }

    /// <summary>Whether the method is a Winograd form.</summary>
    public bool IsWinograd => Form is QConvForm.Winograd2 or QConvForm.Winograd4;

    /// <summary>A Winograd form of <paramref name="shape"/> with the fastest kernel of words; null where the shape or the CPU has none.</summary>
    public static QConvMethod? Winograd(QConvForm form, ConvShape shape, CpuFeatures cpu) =>
        QWinogradPlan.Refuse(shape).Length == 0 && (QWinogradPlan.Requires & ~cpu) == 0 && QGemmKernels.SelectWords(shape.OutChannels, shape.InChannels, cpu) is { } kernel
            ? new(form, kernel, null, form == QConvForm.Winograd4 ? "9 multiplications become 2.25" : "9 multiplications become 4")
            : null;

    /// <summary>The method that runs <paramref name="kernel"/> on <paramref name="shape"/>.</summary>
    public static QConvMethod Select(ConvShape shape, QGemmKernel kernel)
    {
        if (shape.IsPointwise)
            return new(QConvForm.Pointwise, kernel, null, "a 1x1 window is a matrix product of channels-last pixels");
        if (shape.IsStridedPointwise)
            return new(QConvForm.Pointwise, kernel, null, "a strided 1x1 window is a matrix product of some of the channels-last pixels");
        if (kernel.Packing != QGemmPacking.Words && shape.GroupInChannels % kernel.Kr == 0)
            return new(QConvForm.Indirect, kernel, null, $"{shape.GroupInChannels} channels are whole groups of {kernel.Kr}: taps are read in place");
        string why = kernel.Packing == QGemmPacking.Words ? "the kernel reads words" : $"{shape.GroupInChannels} channels are no multiple of {kernel.Kr}";
        return shape.Groups == 1 && shape.W.Dilation == 1
            ? new(QConvForm.PaddedRuns, kernel, null, why + ": the input is copied once, padded, and a window row is one run")
            : new(QConvForm.Padded, kernel, null, why + ": the input is copied once, padded");
    }
}

/// <summary>The weights of one convolution, packed once for one method; immutable, shared by threads, shapes and sessions.</summary>
internal sealed unsafe class QConvWeights
{
    private QConvWeights(QConvMethod method, ConvShape shape, QGemmWeights[] groups, QDepthwiseWeights? depthwise = null, QWinogradWeights? winograd = null)
    {
        Method = method;
        Groups = groups;
        Depthwise = depthwise;
        Winograd = winograd;
        InChannels = shape.InChannels;
        OutChannels = shape.OutChannels;
        Kernel = (shape.D.Kernel, shape.H.Kernel, shape.W.Kernel);
    }

    /// <summary>The method that the layout is for.</summary>
    public QConvMethod Method { get; }

    /// <summary>One packed matrix per group; empty for depthwise and Winograd forms.</summary>
    public QGemmWeights[] Groups { get; }

    /// <summary>Depthwise filters, or null.</summary>
    public QDepthwiseWeights? Depthwise { get; }

    /// <summary>Transformed filters of a Winograd form, or null.</summary>
    public QWinogradWeights? Winograd { get; }

    /// <summary>Largest value of x that the packing allows.</summary>
    public int LargestActivation => Groups.Length == 0 ? byte.MaxValue : Groups[0].LargestActivation;

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => Groups.Sum(g => g.Bytes) + (Depthwise?.Bytes ?? 0) + (Winograd?.Bytes ?? 0);

    internal int InChannels { get; }

    internal int OutChannels { get; }

    internal (int D, int H, int W) Kernel { get; }

    /// <summary>Frees weights that nobody will multiply with.</summary>
    internal void Free()
    {
        foreach (QGemmWeights group in Groups) group.Free();
        Winograd?.Free();
    }

    /// <summary>Whether a convolution of this shape can use these weights.</summary>
    public bool Fits(ConvShape shape) =>
        shape.InChannels == InChannels && shape.OutChannels == OutChannels && Kernel == (shape.D.Kernel, shape.H.Kernel, shape.W.Kernel)
        && (Depthwise is not null ? shape.IsDepthwise && QDepthwiseWeights.FoldOf(Depthwise.Kernel, shape) == Depthwise.Fold
            : Winograd is not null ? QWinogradPlan.Refuse(shape).Length == 0
            : shape.Groups == Groups.Length && !shape.IsDepthwise && (Method.Form == QConvForm.Pointwise) == (shape.IsPointwise || shape.IsStridedPointwise)
                && (Method.Form != QConvForm.PaddedRuns || shape.W.Dilation == 1));

    /// <summary>Chooses a method and packs signed weights.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="weights"><c>[O, C/G, KD, KH, KW]</c>.</param>
    /// <param name="zeroPoints">Empty (all 0), 1 or O.</param>
    /// <param name="cpu">Features to choose by.</param>
    public static QConvWeights Pack(ConvShape shape, ReadOnlySpan<sbyte> weights, ReadOnlySpan<int> zeroPoints, CpuFeatures cpu) =>
        Pack(shape, weights, zeroPoints, QConvChoice.For(shape, cpu, WinogradUse.Never));

    /// <summary>Packs signed weights for the first candidate of <paramref name="choice"/> that they allow.</summary>
    public static QConvWeights Pack(ConvShape shape, ReadOnlySpan<sbyte> weights, ReadOnlySpan<int> zeroPoints, QConvChoice choice)
    {
        fixed (sbyte* source = weights)
            return Pack(shape, (byte*)source, weights.Length, 0, zeroPoints, choice);
    }

    /// <summary>Packs unsigned weights for the first candidate of <paramref name="choice"/> that they allow.</summary>
    public static QConvWeights Pack(ConvShape shape, ReadOnlySpan<byte> weights, ReadOnlySpan<int> zeroPoints, QConvChoice choice)
    {
        fixed (byte* source = weights)
            return Pack(shape, source, weights.Length, 0x80, zeroPoints, choice);
    }

    /// <summary>Packs signed weights for a given method.</summary>
    /// <exception cref="ArgumentException">A length does not fit, or the method needs a bound that the weights do not keep.</exception>
    public static QConvWeights Pack(ConvShape shape, ReadOnlySpan<sbyte> weights, ReadOnlySpan<int> zeroPoints, QConvMethod method, int largestActivation = byte.MaxValue)
    {
        fixed (sbyte* source = weights)
            return TryPack(shape, (byte*)source, weights.Length, 0, zeroPoints, method, largestActivation, out string refused)
                ?? throw new ArgumentException($"{method.Name}: {refused}", nameof(weights));
    }

    /// <summary>Chooses a method and packs unsigned weights.</summary>
    /// <inheritdoc cref="Pack(ConvShape, ReadOnlySpan{sbyte}, ReadOnlySpan{int}, CpuFeatures)"/>
    public static QConvWeights Pack(ConvShape shape, ReadOnlySpan<byte> weights, ReadOnlySpan<int> zeroPoints, CpuFeatures cpu) =>
        Pack(shape, weights, zeroPoints, QConvChoice.For(shape, cpu, WinogradUse.Never));

    private static QConvWeights Pack(ConvShape shape, byte* source, int length, byte flip, ReadOnlySpan<int> zeroPoints, QConvChoice choice)
    {
        string notes = choice.Reason;
        for (int i = 0; ; i++)
        {
            QConvMethod method = choice.Candidates[i];
            QConvWeights? weights = TryPack(shape, source, length, flip, zeroPoints, method, choice.LargestActivation, out string refused);
            bool isLast = i + 1 == choice.Candidates.Count;
            if (weights is not null && method.Kernel?.Packing == QGemmPacking.Pairs)
            {
                if (!isLast && !QGemmWeights.IsFaster(weights.Groups, choice.Candidates[i + 1].Kernel!, out refused))
                {
                    weights.Free();
                    weights = null;
                }
                else refused = weights.Groups[0].Reason;
            }
            if (refused.Length > 0) notes = notes.Length == 0 ? refused : notes + "; " + refused;
            if (weights is not null) return notes.Length == 0 ? weights : new(method with { Reason = method.Reason + "; " + notes }, shape, weights.Groups, weights.Depthwise, weights.Winograd);
            if (isLast) throw new ArgumentException($"{method.Name}: {refused}");
        }
    }

    private static QConvWeights? TryPack(ConvShape shape, byte* source, int length, byte flip, ReadOnlySpan<int> zeroPoints, QConvMethod method, int largestActivation, out string refused)
    {
        refused = "";
        int groupIn = shape.GroupInChannels, groupOut = shape.GroupOutChannels, taps = shape.Taps, filter = groupIn * taps;
        if (length != (long)shape.OutChannels * filter)
            throw new ArgumentException($"{length} weights for {shape.OutChannels} filters of {filter}", nameof(source));
        if (zeroPoints.Length > 1 && zeroPoints.Length != shape.OutChannels)
            throw new ArgumentException($"{zeroPoints.Length} weight zero points for {shape.OutChannels} output channels; there are none, 1 or one per channel", nameof(zeroPoints));

        if (method.Form == QConvForm.Depthwise)
            return new(method, shape, [], new QDepthwiseWeights(method.Depthwise!, shape, source, flip, zeroPoints));
        if (method.IsWinograd)
        {
            QWinogradWeights? winograd = method.Form == QConvForm.Winograd4
                ? QWinogradWeights.TryPack<QWinograd4>(method.Kernel!, shape, source, flip, zeroPoints, out refused)
                : QWinogradWeights.TryPack<QWinograd2>(method.Kernel!, shape, source, flip, zeroPoints, out refused);
            if (winograd is not null) return new(method, shape, [], null, winograd);
            refused = $"no {method.Name[..12]}: {refused}";
            return null;
        }

        (int sections, int sectionLength) = Sections(shape, method);
        int run = sectionLength / Math.Max(1, groupIn);
        var offsets = new int[filter];
        int at = 0;
        for (int section = 0; section < sections; section++)
            for (int i = 0; i < run; i++)
                for (int c = 0; c < groupIn; c++) offsets[at++] = c * taps + section * run + i;

        var groups = new QGemmWeights[shape.Groups];
        for (int g = 0; g < shape.Groups; g++)
        {
            ReadOnlySpan<int> groupZeroPoints = zeroPoints.Length <= 1 ? zeroPoints : zeroPoints.Slice(g * groupOut, groupOut);
            groups[g] = QGemmWeights.Pack(source + (long)g * groupOut * filter, flip, groupOut, filter, sections, sectionLength, offsets, groupZeroPoints, method.Kernel!, largestActivation, mayTakeApart: method.Form == QConvForm.Pointwise || method.Form == QConvForm.Indirect && QConvWindow256.Suits(shape));
        }
        return new(method, shape, groups);
    }

    /// <summary>Parts of the depth and the length of one.</summary>
    private static (int Sections, int Length) Sections(ConvShape shape, QConvMethod method) => method.Form == QConvForm.PaddedRuns
        ? (shape.D.Kernel * shape.H.Kernel, shape.W.Kernel * shape.GroupInChannels)
        : (shape.Taps, shape.GroupInChannels);

    /// <summary>Weights that are all 1 in the layout of <paramref name="method"/>, for timing it without the cost of packing.</summary>
    internal static QConvWeights Ones(ConvShape shape, QConvMethod method)
    {
        if (method.IsWinograd)
            return new(method, shape, [], null, QWinogradWeights.Ones(method.Kernel!, shape));
        (int sections, int length) = Sections(shape, method);
        var groups = new QGemmWeights[shape.Groups];
        for (int g = 0; g < groups.Length; g++) groups[g] = QGemmWeights.Ones(method.Kernel!, shape.GroupOutChannels, sections, length);
        return new(method, shape, groups);
    }
}
