using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A window function of ONNX: <c>w[n] = a₀ − a₁·cos(2πn/N) + a₂·cos(4πn/N)</c>, n in [0, size), N = size where periodic (default), size − 1 otherwise.</summary>
internal abstract class WindowFunction : Operator
{
    // A size is a number in the file: without a limit a few bytes could ask for all memory.
    private const int MostElements = 1 << 26;

    public override string Types => "float32, float64";

    public override string Limits => "more than 2²⁶ elements";

    /// <summary>a₀, a₁, a₂.</summary>
    protected abstract (double A0, double A1, double A2) Coefficients { get; }

    public override void Infer(InferContext c)
    {
        var type = (DataType)c.Attributes.Int("output_datatype", (long)DataType.Float32);
        c.Set(0, type, c.KnownInts(0) is [>= 0 and <= int.MaxValue and var size] ? size : Dim.Unknown);
    }

    public override Step Plan(PlanContext c)
    {
        long wanted = c.Required(0).ToInt64Array()[0];
        if (wanted is < 0 or > MostElements) throw c.Unsupported($"a window of {wanted} elements", $"at most {MostElements}");
        int size = (int)wanted;
        double period = c.Attributes.Int("periodic", 1) != 0 ? size : size - 1;
        (double a0, double a1, double a2) = Coefficients;
        var window = new double[size];
        for (int n = 0; n < size; n++)
        {
            double angle = period == 0 ? 0 : 2 * Math.PI * n / period;
            window[n] = a0 - a1 * Math.Cos(angle) + a2 * Math.Cos(2 * angle);
        }
        return c.OutputElement(0) switch
        {
            DataType.Float32 => Step.From("window", run => { Span<float> y = run.Output<float>(0); for (int i = 0; i < y.Length; i++) y[i] = (float)window[i]; }),
            DataType.Float64 => Step.From("window", run => window.CopyTo(run.Output<double>(0))),
            var other => throw c.Unsupported($"output_datatype {other.Name()}", Types),
        };
    }
}

/// <summary>ONNX <c>HannWindow</c>: <c>½ − ½·cos(2πn/N)</c>.</summary>
internal sealed class HannWindow : WindowFunction
{
    public override OperatorId Id => new("HannWindow", Since: 17);

    protected override (double A0, double A1, double A2) Coefficients => (0.5, 0.5, 0);
}

/// <summary>ONNX <c>HammingWindow</c>: <c>25/46 − 21/46·cos(2πn/N)</c>.</summary>
internal sealed class HammingWindow : WindowFunction
{
    public override OperatorId Id => new("HammingWindow", Since: 17);

    protected override (double A0, double A1, double A2) Coefficients => (25.0 / 46, 21.0 / 46, 0);
}

/// <summary>ONNX <c>BlackmanWindow</c>: <c>0.42 − ½·cos(2πn/N) + 0.08·cos(4πn/N)</c>.</summary>
internal sealed class BlackmanWindow : WindowFunction
{
    public override OperatorId Id => new("BlackmanWindow", Since: 17);

    protected override (double A0, double A1, double A2) Coefficients => (0.42, 0.5, 0.08);
}

/// <summary>ONNX <c>MelWeightMatrix</c>: triangles that turn the bins of a spectrum into mel bands, <c>[dft_length/2 + 1, num_mel_bins]</c>.</summary>
/// <remarks><c>mel(f) = 2595 · log₁₀(1 + f/700)</c>; band edges are equally spaced in mel and rounded down to bins.</remarks>
internal sealed class MelWeightMatrix : Operator
{
    private const int MostElements = 1 << 26;

    public override OperatorId Id => new("MelWeightMatrix", Since: 17);

    public override string Types => "float32, float64";

    public override string Limits => "more than 2²⁶ elements";

    public override void Infer(InferContext c)
    {
        var type = (DataType)c.Attributes.Int("output_datatype", (long)DataType.Float32);
        Dim bands = c.KnownInts(0) is [>= 0 and <= int.MaxValue and var mels] ? mels : Dim.Unknown;
        Dim bins = c.KnownInts(1) is [>= 0 and <= int.MaxValue and var length] ? length / 2 + 1 : Dim.Unknown;
        c.Set(0, type, bins, bands);
    }

    public override Step Plan(PlanContext c)
    {
        long bands = c.Required(0).ToInt64Array()[0], length = c.Required(1).ToInt64Array()[0], rate = c.Required(2).ToInt64Array()[0];
        double lower = c.Required(3).ToFloat32Array()[0], upper = c.Required(4).ToFloat32Array()[0];
        if (rate <= 0 || !(lower >= 0) || !(upper >= lower)) throw c.Error($"edges {lower} and {upper} at rate {rate}", "0 ≤ lower ≤ upper, rate > 0");
        if (bands is < 0 or > 1 << 16 || length is < 0 or > 1 << 24 || (length / 2 + 1) * bands > MostElements)
            throw c.Unsupported($"{bands} bands of a spectrum of {length}", $"at most {MostElements} elements");
        int bins = (int)(length / 2 + 1);
        double low = 2595 * Math.Log10(1 + lower / 700), high = 2595 * Math.Log10(1 + upper / 700), step = (high - low) / (bands + 2);
        var edges = new long[bands + 2];
        for (int i = 0; i < edges.Length; i++) edges[i] = (long)Math.Floor((length + 1) * (700 * (Math.Pow(10, (i * step + low) / 2595) - 1)) / rate);
        if (edges[^1] > bins) throw c.Error($"the upper edge is bin {edges[^1]} of {bins}", "edges lie within the spectrum");
        var matrix = new double[bins * bands];
        for (int band = 0; band < bands; band++)
        {
            (long from, long center, long to) = (edges[band], edges[band + 1], edges[band + 2]);
            if (center == from) Set(center, band, 1);
            else
            {
                for (long j = from; j <= center; j++) Set(j, band, (double)(j - from) / (center - from));
            }
            for (long j = center; j < to; j++) Set(j, band, (double)(to - j) / (to - center));
        }
        void Set(long bin, int band, double value)
        {
            if (bin < bins) matrix[bin * bands + band] = value;
        }
        return c.OutputElement(0) switch
        {
            DataType.Float32 => Step.From("mel", run => { Span<float> y = run.Output<float>(0); for (int i = 0; i < y.Length; i++) y[i] = (float)matrix[i]; }),
            DataType.Float64 => Step.From("mel", run => matrix.CopyTo(run.Output<double>(0))),
            var other => throw c.Unsupported($"output_datatype {other.Name()}", Types),
        };
    }
}

/// <summary>ONNX <c>Det</c>: determinants of square matrices, <c>[…, M, M] → […]</c>, by elimination with row pivots in float64.</summary>
internal sealed class Det : Operator
{
    public override OperatorId Id => new("Det", Since: 11);

    public override string Types => "float32, float64";

    public override void Infer(InferContext c)
    {
        if (c.Shape(0) is not { } shape) { c.SetUnknownShape(0, c.Element(0)); return; }
        if (shape.Length < 2 || shape[^1].DiffersFrom(shape[^2])) throw c.Error($"X is {c.Type(0)}", "the last two axes are a square matrix");
        c.Set(0, new TensorType(c.Element(0), shape.AsSpan()[..^2]));
    }

    public override Step Plan(PlanContext c)
    {
        int size = c.InputShape(0)[^1];
        int scratch = checked(size * size * sizeof(double));
        return c.Element(0) switch
        {
            DataType.Float32 => Step.From("elimination", run => Run<float>(run, size), scratchBytes: scratch),
            DataType.Float64 => Step.From("elimination", run => Run<double>(run, size), scratchBytes: scratch),
            _ => throw c.Unsupported($"{c.Element(0).Name()} input", Types),
        };
    }

    private static void Run<T>(StepContext c, int size) where T : unmanaged, System.Numerics.IFloatingPoint<T>
    {
        Span<double> m = System.Runtime.InteropServices.MemoryMarshal.Cast<byte, double>(c.Scratch)[..(size * size)];
        ReadOnlySpan<T> x = c.Input<T>(0);
        Span<T> y = c.Output<T>(0);
        for (int i = 0; i < y.Length; i++)
        {
            for (int j = 0; j < m.Length; j++) m[j] = double.CreateTruncating(x[i * m.Length + j]);
            y[i] = T.CreateTruncating(Determinant(m, size));
        }
    }

    private static double Determinant(Span<double> m, int n)
    {
        double det = 1;
        for (int column = 0; column < n; column++)
        {
            int pivot = column;
            for (int row = column + 1; row < n; row++) if (Math.Abs(m[row * n + column]) > Math.Abs(m[pivot * n + column])) pivot = row;
            if (m[pivot * n + column] == 0) return 0;
            if (pivot != column)
            {
                for (int j = 0; j < n; j++) (m[pivot * n + j], m[column * n + j]) = (m[column * n + j], m[pivot * n + j]);
                det = -det;
            }
            det *= m[column * n + column];
            for (int row = column + 1; row < n; row++)
            {
                double factor = m[row * n + column] / m[column * n + column];
                for (int j = column; j < n; j++) m[row * n + j] -= factor * m[column * n + j];
            }
        }
        return det;
    }
}
