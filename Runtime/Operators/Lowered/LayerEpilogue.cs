using Octet.Kernels.Requantize;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The epilogue attributes that <c>octet.QConv</c> and <c>octet.QGemm</c> share, docs/architecture.md.</summary>
/// <remarks>
/// With acc = Σ (x − zx)·(w − zw[o]) + bias[o] and M = <c>multipliers</c>:
/// <code>
///   output = uint8     y = table[Q(acc·M, y_zero_point, lo, hi)]
///       with sum       y = Q(acc·M + (sum − sum_zero_point)·sum_multiplier, …)
///       and mid_*      y = Q((m − mid_zero_point)·mid_scale_ratio + (sum − sum_zero_point)·sum_multiplier, …)     m = Q(acc·mid_multipliers, mid_zero_point, mid_lo, mid_hi)
///                      rounded as docs/numerics.md says: mid_is_second where the layer is the second operand, sum_shift and y_shift what StoreFromZero took away
///   output = float32   y = clamp(acc·M [+ sum], lo, hi)          lo and hi are real numbers
///   output = int32     y = acc
/// </code>
/// </remarks>
internal static class LayerEpilogue
{
    /// <summary>Input that holds the bias.</summary>
    public const int Bias = 2;

    /// <summary>Input that holds the sum operand.</summary>
    public const int Sum = 3;

    /// <summary>Element type that the node writes.</summary>
    public static DataType Output(NodeContext c) => c.Attributes.String("output") switch
    {
        "uint8" => DataType.UInt8,
        "float32" => DataType.Float32,
        "int32" => DataType.Int32,
        var other => throw c.Error($"output is '{other}'", "output is uint8, float32 or int32"),
    };

    /// <summary>Builds the epilogue for <paramref name="channels"/> output channels, rows of the sum operand <paramref name="sumRowStride"/> elements apart (0: dense).</summary>
    /// <exception cref="UnsupportedModelException">The bias is computed at run time.</exception>
    /// <exception cref="ModelException">An attribute is outside its range.</exception>
    public static QEpilogue Read(PlanContext c, int channels, int sumRowStride = 0)
    {
        DataType output = Output(c);
        ReadOnlySpan<int> bias = c.Has(Bias) ? c.Required(Bias).Span<int>() : default;
        float[] multipliers = c.Attributes.Floats("multipliers") ?? [1];
        try
        {
            if (output == DataType.Int32) return QEpilogue.ToInt32(channels, bias);
            if (output == DataType.Float32)
            {
                return QEpilogue.ToFloat32(channels, bias, multipliers, c.Attributes.Float("lo", float.NegativeInfinity), c.Attributes.Float("hi", float.PositiveInfinity),
                    c.Has(Sum) ? new QSum(1, 0, sumRowStride) : null);
            }
            QSum? sum = null;
            if (c.Has(Sum))
            {
                QIntermediate? mid = null;
                if (c.Attributes.Floats("mid_multipliers") is { } first)
                {
                    multipliers = first;
                    mid = new QIntermediate(c.Attributes.Float("mid_scale_ratio"), Int(c, "mid_zero_point"), Int(c, "mid_lo"), Int(c, "mid_hi", 255), Int(c, "mid_is_second") != 0);
                }
                sum = new QSum(c.Attributes.Float("sum_multiplier"), Int(c, "sum_zero_point"), sumRowStride, mid, Int(c, "sum_shift"), Int(c, "y_shift"));
            }
            ReadOnlySpan<byte> table = c.Attributes.Tensor("table") is { } entries ? entries.Span<byte>() : default;
            return QEpilogue.ToUInt8(channels, bias, multipliers, Int(c, "y_zero_point"), Int(c, "lo"), Int(c, "hi", 255), sum, table);
        }
        catch (ArgumentException error)
        {
            throw c.Error(error.Message, "the epilogue of docs/architecture.md");
        }
    }

    /// <summary>Whether all values are 0.</summary>
    public static bool AreZero(ReadOnlySpan<long> values)
    {
        foreach (long value in values)
        {
            if (value != 0) return false;
        }
        return true;
    }

    /// <summary>Zero points of the weights: none where all are 0.</summary>
    public static int[] WeightZeroPoints(NodeContext c)
    {
        long[] values = c.Attributes.Ints("w_zero_points") ?? [];
        return AreZero(values) ? [] : Array.ConvertAll(values, value => (int)value);
    }

    /// <summary>Largest byte of the data, <c>x_high</c>; 255 where nothing smaller is known.</summary>
    public static int LargestData(NodeContext c) => Int(c, "x_high", byte.MaxValue);

    /// <summary>Zero point of the data.</summary>
    public static int DataZeroPoint(NodeContext c) => Int(c, "x_zero_point");

    private static int Int(NodeContext c, string name, long otherwise = 0) => checked((int)c.Attributes.Int(name, otherwise));
}
