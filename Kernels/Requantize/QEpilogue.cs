using Octet.Kernels.Memory;

namespace Octet.Kernels.Requantize;

/// <summary>Element type that an integer layer writes.</summary>
internal enum QOutput
{
    /// <summary>The accumulator with its bias, modulo 2³².</summary>
    Int32,

    /// <summary>Requantized to an unsigned byte.</summary>
    UInt8,

    /// <summary>Multiplied to real units.</summary>
    Float32,
}

/// <summary>Quantization of the convolution's own output ahead of a sum, as a QDQ graph has it.</summary>
/// <param name="Scale">A: real units of one step of q1, in steps of the output.</param>
/// <param name="ZeroPoint">z1, in [0, 255].</param>
/// <param name="Low">Smallest q1.</param>
/// <param name="High">Largest q1.</param>
/// <param name="IsSecond">Whether q1 is the second operand of the model's addition, which decides how the sum rounds.</param>
internal sealed record QIntermediate(float Scale, int ZeroPoint, int Low = 0, int High = 255, bool IsSecond = false);

/// <summary>The second operand of a fused addition: unsigned bytes for a <see cref="QOutput.UInt8"/> layer, floats for a <see cref="QOutput.Float32"/> layer.</summary>
/// <param name="Scale">B: one step of the operand in steps of the output. A float operand is added as it is; this must be 1.</param>
/// <param name="ZeroPoint">zs, in [0, 255]; 0 for a float operand.</param>
/// <param name="RowStride">Elements from one row (pixel) of the operand to the next; 0 means the layer's output channels.</param>
/// <param name="Intermediate">Quantization ahead of the addition; null adds to the unrounded product.</param>
/// <param name="Shift">By how much the operand is stored smaller than the integers of the model, in whose terms a sum rounds. <see cref="ZeroPoint"/> is that of what is stored.</param>
/// <param name="OutputShift">The same of the output.</param>
internal sealed record QSum(float Scale, int ZeroPoint, int RowStride = 0, QIntermediate? Intermediate = null, int Shift = 0, int OutputShift = 0);

/// <summary>What happens to an int32 accumulator before it is stored; built once per layer, immutable.</summary>
/// <remarks>
/// With acc = accumulator + bias[c], M = multiplier[c], all arithmetic float32, fused only where it says fma, rounding half to even:
/// <code>
///   Int32     y = acc                                             modulo 2³²
///   Float32   y = clamp(float(acc)·M [+ s], low, high)
///   UInt8     y = Q(float(acc)·M, zeroPoint, low, high)           Q(t, z, low, high) = clamp(round(t) + z, low, high)
///     + sum   y = Q(fma(q1, A, fma(qs, B, C)), 0, low, high)      C = zeroPoint − fma(A, z1, B·zs)
///                                                                 q1 = Q(float(acc)·M, z1, low1, high1), or float(acc) with A = M and z1 = 0
///             y = table[y] if there is a table
/// </code>
/// Where q1 is the second operand of the model's addition, the products change places in the sum and in C: so does ONNX Runtime's QLinearAdd. A sum takes and gives
/// the model's integers, which are the stored ones plus their shifts.
/// <see cref="RequantizeReference"/> is the definition in code; every vector version returns the same bits.
/// </remarks>
internal sealed unsafe class QEpilogue
{
    /// <summary>Multipliers, A and B stay below this, so that no float above can be infinite or NaN: 2³¹·2⁹⁰ + 2⁸·2⁹⁰ ≪ 2¹²⁸.</summary>
    public const float LargestMultiplier = 1.2379400392853803e27f;   // 2⁹⁰

    /// <summary>Channels that a vector kernel may read beyond the last one.</summary>
    private const int ChannelSlack = 64;

    private readonly AlignedBuffer _bias;
    private readonly AlignedBuffer _multipliers;
    private readonly AlignedBuffer? _table;

    private QEpilogue(QOutput output, int channels, ReadOnlySpan<int> bias, ReadOnlySpan<float> multipliers, QSum? sum, ReadOnlySpan<byte> table, int zeroPoint = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(channels);
        if (bias.Length != 0 && bias.Length != channels)
            throw new ArgumentException($"{bias.Length} biases for {channels} channels; a layer has none or one per channel", nameof(bias));
        if (multipliers.Length != 1 && multipliers.Length != channels)
            throw new ArgumentException($"{multipliers.Length} multipliers for {channels} channels; a layer has 1 or one per channel", nameof(multipliers));
        foreach (float multiplier in multipliers) CheckMultiplier(multiplier, nameof(multipliers));
        if (table.Length != 0 && table.Length != 256)
            throw new ArgumentException($"a byte table has 256 entries, not {table.Length}", nameof(table));

        Output = output;
        Channels = channels;
        Sum = sum;
        ZeroPoint = Origin = zeroPoint;
        _bias = new AlignedBuffer((channels + ChannelSlack) * 4L);
        bias.CopyTo(_bias.Span<int>(0, channels));
        HasBias = bias.Length != 0;
        _multipliers = new AlignedBuffer((channels + ChannelSlack) * 4L);
        if (multipliers.Length == 1) _multipliers.Span<float>(0, channels).Fill(multipliers[0]);
        else multipliers.CopyTo(_multipliers.Span<float>(0, channels));
        if (table.Length != 0)
        {
            _table = new AlignedBuffer(2 * ByteLookup.Length);
            table.CopyTo(_table.Span<byte>(0, ByteLookup.Length));
            ByteLookup.Prepare(_table.Pointer, _table.Pointer + ByteLookup.Length);
        }
        if (sum is not null)
        {
            CheckMultiplier(sum.Scale, nameof(sum));
            CheckByte(sum.ZeroPoint, nameof(sum));
            CheckByte(sum.ZeroPoint + sum.Shift, nameof(sum));
            if (sum.RowStride != 0 && sum.RowStride < channels)
                throw new ArgumentException($"rows of the sum operand are {sum.RowStride} elements apart but have {channels}", nameof(sum));
            if (sum.Intermediate is { } first)
            {
                CheckMultiplier(first.Scale, nameof(sum));
                CheckByte(first.ZeroPoint, nameof(sum));
                CheckRange(first.Low, first.High, nameof(sum));
            }
            Origin = -sum.OutputShift;
            SumConstant = RequantizeReference.SumConstant(sum, zeroPoint);
        }
    }

    /// <summary>Stores accumulator + bias.</summary>
    /// <param name="channels">Output channels.</param>
    /// <param name="bias">Empty or one per channel.</param>
    public static QEpilogue ToInt32(int channels, ReadOnlySpan<int> bias = default) =>
        new(QOutput.Int32, channels, bias, [1f], null, default);

    /// <summary>Requantizes to unsigned bytes.</summary>
    /// <param name="channels">Output channels.</param>
    /// <param name="bias">Empty or one per channel, in units of scale_x · scale_w[c].</param>
    /// <param name="multipliers">1 or one per channel: scale_x · scale_w[c] / scale_y (or the intermediate's scale); |M| ≤ 2⁹⁰.</param>
    /// <param name="zeroPoint">Zero point of the output, in [0, 255].</param>
    /// <param name="low">Smallest output, before the table.</param>
    /// <param name="high">Largest output, before the table.</param>
    /// <param name="sum">Fused addition, if any.</param>
    /// <param name="table">Empty, or 256 bytes that replace the output.</param>
    /// <exception cref="ArgumentException">A length, multiplier, zero point or clamp is outside its range.</exception>
    public static QEpilogue ToUInt8(int channels, ReadOnlySpan<int> bias, ReadOnlySpan<float> multipliers, int zeroPoint,
        int low = 0, int high = 255, QSum? sum = null, ReadOnlySpan<byte> table = default)
    {
        CheckByte(zeroPoint, nameof(zeroPoint));
        CheckRange(low, high, nameof(low));
        return new(QOutput.UInt8, channels, bias, multipliers, sum, table, zeroPoint) { Low = low, High = high, ClampsByType = low == 0 && high == byte.MaxValue && AreBelowOne(multipliers) };
    }

    /// <summary>Stores real values: <c>acc · multiplier[c]</c>.</summary>
    /// <param name="channels">Output channels.</param>
    /// <param name="bias">Empty or one per channel, in units of scale_x · scale_w[c].</param>
    /// <param name="multipliers">1 or one per channel: scale_x · scale_w[c]; |M| ≤ 2⁹⁰.</param>
    /// <param name="low">Smallest output; −∞ for no clamp. Not NaN.</param>
    /// <param name="high">Largest output; +∞ for no clamp. Not NaN, not below <paramref name="low"/>.</param>
    /// <param name="sum">Fused addition of a float operand, scale 1 and no zero point.</param>
    /// <exception cref="ArgumentException">A length, multiplier or clamp is outside its range.</exception>
    public static QEpilogue ToFloat32(int channels, ReadOnlySpan<int> bias, ReadOnlySpan<float> multipliers,
        float low = float.NegativeInfinity, float high = float.PositiveInfinity, QSum? sum = null)
    {
        if (!(low <= high)) throw new ArgumentException($"clamp [{low}, {high}] is empty", nameof(low));
        if (sum is not null && (sum.Scale != 1f || sum.ZeroPoint != 0 || sum.Intermediate is not null))
            throw new ArgumentException("a float sum operand has scale 1, zero point 0 and no intermediate quantization", nameof(sum));
        return new(QOutput.Float32, channels, bias, multipliers, sum, default) { LowFloat = low, HighFloat = high };
    }

    /// <summary>Element type written.</summary>
    public QOutput Output { get; }

    /// <summary>Output channels.</summary>
    public int Channels { get; }

    /// <summary>Bytes of one output element.</summary>
    public int ElementBytes => Output == QOutput.UInt8 ? 1 : 4;

    /// <summary>Whether a bias was given.</summary>
    public bool HasBias { get; }

    /// <summary>One int32 per channel, zero without a bias; the sums' starting values.</summary>
    public ReadOnlySpan<int> Bias => _bias.Span<int>(0, Channels);

    /// <summary>One multiplier per channel.</summary>
    public ReadOnlySpan<float> Multipliers => _multipliers.Span<float>(0, Channels);

    /// <summary>Zero point of a byte output.</summary>
    public int ZeroPoint { get; }

    /// <summary>What is added to a rounded value to give the byte: the zero point, or where a sum contains it already, minus what the output is shifted by.</summary>
    public int Origin { get; }

    /// <summary>C of a sum.</summary>
    public float SumConstant { get; }

    /// <summary>Smallest byte output, before the table.</summary>
    public int Low { get; private init; }

    /// <summary>Largest byte output, before the table.</summary>
    public int High { get; private init; }

    /// <summary>
    /// Whether a byte output is clamped to [0, 255] only and no product leaves the range of int32: <c>|acc| ≤ 2³¹</c> and <c>|M| &lt; 1</c>. Rounding to int32 and saturating to bytes then clamp as they should.
    /// </summary>
    public bool ClampsByType { get; private init; }

    /// <summary>Smallest float output.</summary>
    public float LowFloat { get; private init; }

    /// <summary>Largest float output.</summary>
    public float HighFloat { get; private init; }

    /// <summary>Fused addition, or null.</summary>
    public QSum? Sum { get; }

    /// <summary>The byte table; empty if there is none.</summary>
    public ReadOnlySpan<byte> Table => _table is null ? default : _table.Span<byte>(0, 256);

    /// <summary>Biases; readable for <see cref="ChannelSlack"/> channels beyond the last.</summary>
    internal int* BiasPointer => (int*)_bias.Pointer;

    /// <summary>Multipliers; readable for <see cref="ChannelSlack"/> channels beyond the last.</summary>
    internal float* MultiplierPointer => (float*)_multipliers.Pointer;

    /// <summary>Table with the steps of <see cref="ByteLookup"/> behind it, or null.</summary>
    internal byte* TablePointer => _table is null ? null : _table.Pointer;

    /// <summary>Bytes of one element of the sum operand.</summary>
    internal int SumElementBytes => Output == QOutput.Float32 ? 4 : 1;

    /// <summary>Elements between rows of the sum operand.</summary>
    internal int SumRowStride => Sum is null ? 0 : Sum.RowStride != 0 ? Sum.RowStride : Channels;

    /// <summary>Bytes that the sum operand of <paramref name="rows"/> rows must have; 0 without one.</summary>
    internal long SumBytes(long rows) => Sum is null || rows == 0 ? 0 : ((rows - 1) * SumRowStride + Channels) * SumElementBytes;

    private static bool AreBelowOne(ReadOnlySpan<float> multipliers)
    {
        foreach (float multiplier in multipliers)
        {
            if (MathF.Abs(multiplier) >= 1) return false;
        }
        return true;
    }

    private static void CheckMultiplier(float multiplier, string name)
    {
        if (!(MathF.Abs(multiplier) <= LargestMultiplier))
            throw new ArgumentException($"multiplier {multiplier} is not a number of at most 2^90 in size", name);
    }

    private static void CheckByte(int zeroPoint, string name)
    {
        if (zeroPoint is < 0 or > 255) throw new ArgumentException($"zero point {zeroPoint} is outside [0, 255]", name);
    }

    private static void CheckRange(int low, int high, string name)
    {
        if (low < 0 || high > 255 || low > high) throw new ArgumentException($"clamp [{low}, {high}] is not inside [0, 255]", name);
    }
}
