namespace Octet.Runtime.Operators;

/// <summary>How one axis is resampled: for every output index its taps' input indexes and weights.</summary>
/// <param name="Input">Input extent.</param>
/// <param name="Output">Output extent.</param>
/// <param name="Taps">Taps per output index.</param>
/// <param name="Indexes">Input index per output index and tap, within [0, Input).</param>
/// <param name="Weights">Weight per output index and tap.</param>
/// <param name="Outside">Per output index whether it lies outside of a crop and takes the extrapolation value; null where none does.</param>
internal sealed record ResampleAxis(int Input, int Output, int Taps, int[] Indexes, float[] Weights, bool[]? Outside)
{
    /// <summary>Whether the output is the input.</summary>
    public bool IsIdentity
    {
        get
        {
            if (Input != Output || Outside is not null) return false;
            for (int o = 0; o < Output; o++)
            {
                for (int t = 0; t < Taps; t++)
                {
                    int index = Indexes[o * Taps + t];
                    float weight = Weights[o * Taps + t];
                    if (index == o ? false : weight != 0) return false;
                }
            }
            return true;
        }
    }

    /// <summary>The single source of every output index; for nearest neighbours.</summary>
    public static ResampleAxis Nearest(int input, int output, ResampleRule rule, float scale, float roiStart, float roiEnd)
    {
        var indexes = new int[output];
        var weights = new float[output];
        bool[]? outside = null;
        Array.Fill(weights, 1);
        for (int o = 0; o < output; o++)
        {
            float x = rule.Source(o, input, output, scale, roiStart, roiEnd);
            if (rule.IsOutside(x, input)) (outside ??= new bool[output])[o] = true;
            indexes[o] = Math.Clamp(rule.Round(x, scale), 0, input - 1);
        }
        return new ResampleAxis(input, output, 1, indexes, weights, outside);
    }

    /// <summary>Weighted neighbours: linear (2 taps), cubic (4 taps), more where <paramref name="rule"/> asks for antialiasing.</summary>
    public static ResampleAxis Weighted(int input, int output, ResampleRule rule, float scale, float roiStart, float roiEnd)
    {
        // The kernel spans [−radius, radius] in input steps, stretched by 1/scale where antialiasing meets downsampling.
        double radius = rule.Mode == ResampleMode.Linear ? 1 : 2;
        double stretch = rule.Antialias ? Math.Min(scale, 1.0) : 1.0;
        int first = (int)Math.Floor(-radius / stretch) + 1, taps = 2 - 2 * first;
        var indexes = new int[output * taps];
        var weights = new float[output * taps];
        var row = new double[taps];
        bool[]? outside = null;
        for (int o = 0; o < output; o++)
        {
            double x = rule.Source(o, input, output, scale, roiStart, roiEnd);
            if (rule.IsOutside((float)x, input)) (outside ??= new bool[output])[o] = true;
            // The left neighbour is strictly left of x, so an integer x has distance 1 from it; the weights come out the same.
            int left = (int)Math.Clamp(Math.Ceiling(x) - 1, int.MinValue / 2, int.MaxValue / 2);
            double ratio = x - left, sum = 0;
            for (int t = 0; t < taps; t++)
            {
                int index = left + first + t;
                double weight = rule.Weight(stretch * (first + t - ratio));
                if (rule.ExcludeOutside && (index < 0 || index >= input)) weight = 0;
                row[t] = weight;
                sum += weight;
                indexes[o * taps + t] = Math.Clamp(index, 0, input - 1);
            }
            bool normalize = (rule.Antialias || rule.ExcludeOutside) && sum != 0;
            for (int t = 0; t < taps; t++) weights[o * taps + t] = (float)(normalize ? row[t] / sum : row[t]);
        }
        return new ResampleAxis(input, output, taps, indexes, weights, outside);
    }
}

/// <summary>Which neighbours count, and how much.</summary>
internal enum ResampleMode
{
    /// <summary>The nearest one.</summary>
    Nearest,
    /// <summary>Two, by distance.</summary>
    Linear,
    /// <summary>Four, by a cubic of distance.</summary>
    Cubic,
}

/// <summary>Where an output index comes from, and how its neighbours are weighted.</summary>
/// <param name="Mode">Kernel.</param>
/// <param name="Coordinates">ONNX <c>coordinate_transformation_mode</c>.</param>
/// <param name="NearestMode">ONNX <c>nearest_mode</c>; <c>simple</c> is version 10's rule: up when shrinking, down otherwise.</param>
/// <param name="CubicA">Coefficient a of the cubic kernel.</param>
/// <param name="ExcludeOutside">Whether neighbours outside of the input weigh nothing.</param>
/// <param name="Antialias">Whether the kernel widens when shrinking.</param>
internal sealed record ResampleRule(ResampleMode Mode, string Coordinates, string NearestMode, double CubicA, bool ExcludeOutside, bool Antialias)
{
    /// <summary>Whether <see cref="Coordinates"/> crops to a region.</summary>
    public bool Crops => Coordinates == "tf_crop_and_resize";

    /// <summary>The input coordinate of output index <paramref name="o"/>, in float32 as ONNX's runtimes compute it.</summary>
    public float Source(int o, int input, int output, float scale, float roiStart, float roiEnd)
    {
        // The output extent before rounding down; it differs from `output` where scales are given.
        float exact = scale * input;
        switch (Coordinates)
        {
            case "asymmetric":
                return o / scale;
            case "half_pixel":
                return scale == 1 ? o : (o + 0.5f) / scale - 0.5f;
            case "pytorch_half_pixel":
                return output == 1 ? 0 : (o + 0.5f) / scale - 0.5f;
            case "tf_half_pixel_for_nn":
                return (o + 0.5f) / scale;
            case "half_pixel_symmetric":
                float center = input / 2f;
                return center * (1 - output / exact) + (o + 0.5f) / scale - 0.5f;
            case "align_corners":
                return exact == 1 ? 0 : o * (input - 1) / (exact - 1);
            case "tf_crop_and_resize":
                float start = roiStart * (input - 1), span = (roiEnd - roiStart) * (input - 1);
                return output == 1 ? start + span / 2 : start + o * span / (output - 1);
            default:
                throw new ModelException($"coordinate_transformation_mode '{Coordinates}' is unknown; rule: one of ONNX Resize's modes");
        }
    }

    /// <summary>Whether a coordinate lies outside of a cropped input.</summary>
    public bool IsOutside(float x, int input) => Crops && (x < 0 || x > input - 1);

    /// <summary>The nearest index by <see cref="NearestMode"/>.</summary>
    public int Round(float x, float scale) => (int)(NearestMode switch
    {
        "floor" => MathF.Floor(x),
        "ceil" => MathF.Ceiling(x),
        "round_prefer_ceil" => MathF.Floor(x + 0.5f),
        "simple" => scale < 1 ? MathF.Ceiling(x) : MathF.Floor(x),
        "round_prefer_floor" => MathF.Ceiling(x - 0.5f),
        _ => throw new ModelException($"nearest_mode '{NearestMode}' is unknown; rule: one of ONNX Resize's modes"),
    });

    /// <summary>The kernel at distance <paramref name="x"/>: the hat function or Keys' cubic (1981).</summary>
    public double Weight(double x)
    {
        x = Math.Abs(x);
        if (Mode == ResampleMode.Linear) return Math.Max(0, 1 - x);
        double a = CubicA;
        return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((x - 5) * x + 8) * x * a - 4 * a : 0;
    }
}
