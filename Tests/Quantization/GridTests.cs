using Octet.Quantization;
using Octet.Quantization.Calibration;
using Octet.Quantization.Rewriting;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Quantization;

/// <summary>Scales and zero points of activations, weights and biases.</summary>
internal sealed class GridTests
{
    [TestCase(-2f, 1f, ActivationType.Int8, DataType.Int8, 2.0 / 127, 0)]
    [TestCase(0f, 1f, ActivationType.Int8, DataType.Int8, 1.0 / 127, 0)]
    [TestCase(0f, 6f, ActivationType.Auto, DataType.UInt8, 6.0 / 255, 0)]
    [TestCase(2f, 6f, ActivationType.Auto, DataType.UInt8, 6.0 / 255, 0)]
    [TestCase(-1e-6f, 6f, ActivationType.Auto, DataType.UInt8, 6.0 / 127, 128)]
    [TestCase(-1f, 1f, ActivationType.UInt8, DataType.UInt8, 2.0 / 255, 127)]
    [TestCase(-3f, -1f, ActivationType.UInt8, DataType.UInt8, 3.0 / 255, 255)]
    [TestCase(-3f, -1f, ActivationType.Auto, DataType.UInt8, 3.0 / 127, 128)]
    [TestCase(0f, 1e-7f, ActivationType.Auto, DataType.UInt8, 1e-7 / 255, 0)]
    [TestCase(0f, 0f, ActivationType.Auto, DataType.UInt8, 1, 0)]
    [TestCase(0f, 0f, ActivationType.Int8, DataType.Int8, 1, 0)]
    public void OfARange(float min, float max, ActivationType type, DataType expected, double scale, int zeroPoint)
    {
        GridParameters grid = GridParameters.For(new CalibrationRange(min, max), type);
        Assert.That((grid.Type, grid.ZeroPoint), Is.EqualTo((expected, zeroPoint)));
        Assert.That(grid.Scale, Is.EqualTo((float)scale).Within(1).Ulps);
    }

    [Test]
    public void EveryRangeGetsAFiniteStepThatCoversIt([Values] ActivationType type, [Values(0f, 1e-45f, 1e-40f, 1e-20f, 1f, 1e20f, 3.4e38f)] float magnitude, [Values(-1f, -0.3f, 0f, 0.5f)] float low, [Values(-0.2f, 0f, 1f)] float high)
    {
        if (low > high) (low, high) = (high, low);
        var range = new CalibrationRange(low * magnitude, high * magnitude);
        GridParameters grid = GridParameters.For(range, type);
        Assert.That(float.IsNormal(grid.Scale) && grid.Scale > 0);
        (int least, int most) = grid.Type == DataType.UInt8 ? (0, 255) : (-127, 127);
        Assert.That(grid.ZeroPoint, Is.InRange(least, most), "real 0 has no integer");
        foreach (double end in new double[] { range.Min, range.Max })
        {
            double q = Math.Round(end / grid.Scale) + grid.ZeroPoint;
            // One step: the zero point is rounded, so an end may fall half a step outside, and then rounds outwards.
            Assert.That(q, Is.InRange(least - 1, most + 1));
        }
    }

    [Test]
    public void WeightsPerChannelUseTheWholeRangeOfEveryChannel()
    {
        QuantizedWeight w = WeightQuantizer.Quantize(Tensor.Create([1f, -2f, 0f, 0f, 0.5f, 0.25f], 3, 2), 0, [], 0);
        Assert.That(w.Scales, Is.EqualTo(new[] { 2f / 127, 1f, 0.5f / 127 }), "a channel of zeros gets scale 1");
        Assert.That(w.Values.Span<sbyte>().ToArray(), Is.EqualTo(new sbyte[] { 64, -127, 0, 0, 127, 64 }));
        Assert.That(w.Axis, Is.Zero);
    }

    [Test]
    public void WeightsPerChannelOfTheLastAxis()
    {
        QuantizedWeight w = WeightQuantizer.Quantize(Tensor.Create([1f, -4f, 2f, 3f], 2, 2), 1, [], 0);
        Assert.That(w.Scales, Is.EqualTo(new[] { 2f / 127, 4f / 127 }));
        Assert.That(w.Values.Span<sbyte>().ToArray(), Is.EqualTo(new sbyte[] { 64, -127, 127, 95 }));
    }

    [Test]
    public void WeightsPerTensorShareOneScale()
    {
        QuantizedWeight w = WeightQuantizer.Quantize(Tensor.Create([1f, -2f, 0f, 0f, 0.5f, 0.25f], 3, 2), -1, [], 0);
        Assert.That(w.Scales, Is.EqualTo(new[] { 2f / 127 }));
        Assert.That(w.Values.Span<sbyte>().ToArray(), Is.EqualTo(new sbyte[] { 64, -127, 0, 0, 32, 16 }));
    }

    /// <summary>Of each kernel at most half a step is lost in the sum, and no weight is further away than its other neighbour.</summary>
    [Test]
    public void RoundingKeepsTheSumOfEveryKernel([Values(4, 9, 49)] int kernel)
    {
        var random = new Random(kernel);
        float[] w = [.. Enumerable.Range(0, 6 * 3 * kernel).Select(i => i < 3 * kernel ? 0.3f / 127 * (i % kernel == 0 ? 300 : 1) : random.NextSingle() * 2 - 1)];   // in the first channel all errors have one sign
        QuantizedWeight rounded = WeightQuantizer.Quantize(Tensor.Create(w, 6, 3, kernel), 0, [], 0, kernel);
        ReadOnlySpan<sbyte> q = rounded.Values.Span<sbyte>();
        for (int k = 0; k < 6 * 3; k++)
        {
            double sum = 0;
            for (int i = k * kernel; i < (k + 1) * kernel; i++)
            {
                double error = q[i] - (double)w[i] / rounded.Scales[k / 3];
                sum += error;
                Assert.That(Math.Abs(error), Is.LessThan(1));
            }
            Assert.That(Math.Abs(sum), Is.LessThanOrEqualTo(0.5 + 1e-9), $"kernel {k}");
        }
        Assert.That(WeightQuantizer.Quantize(Tensor.Create(w, 6, 3, kernel), 0, [], 0).Values.Span<sbyte>().SequenceEqual(q), Is.False, "nothing had to be rounded the other way");
    }

    [Test]
    public void ABiasThatWouldNotFitMakesTheWeightsScaleGrow()
    {
        float[] bias = [1f, 0f];
        QuantizedWeight w = WeightQuantizer.Quantize(Tensor.Create([1e-6f, 1e-6f], 2, 1), 0, bias, 1e-6f);
        Assert.That(w.Scales[1], Is.EqualTo(1e-6f / 127), "only the channel that needs it grows");
        int[] integers = WeightQuantizer.QuantizeBias(bias, 1e-6f, w.Scales);
        Assert.That(integers[0], Is.EqualTo(WeightQuantizer.BiasLimit).Within(256), "scales are float32: 2⁻²³ relative");
        Assert.That(integers[0] * (double)WeightQuantizer.BiasScale(1e-6f, w.Scales[0]), Is.EqualTo(1).Within(1e-6));
    }

    /// <summary>A product of 32 terms with a bias, data in ±data and weights in ±weights: no output is NaN, and every output differs by no more than quantizing says.</summary>
    /// <remarks>
    /// With steps s_x = data/127 and s_w ≤ max(weights/127, |b|max / (2³⁰ · s_x)): 32 · (data · s_w/2 + weights · s_x/2 + s_x·s_w/4), half a step of the bias, and 10⁻⁶ of the outputs for float32.
    /// </remarks>
    [Test]
    public void ExtremeRangesStayCloseToFloat([Values("1 0", "1 1e-6", "0 1", "1e-6 1", "1e-6 1e-6", "0 0")] string ranges, [Values] Granularity granularity, [Values] ActivationType type)
    {
        string[] parts = ranges.Split(' ');
        float data = float.Parse(parts[0], System.Globalization.CultureInfo.InvariantCulture), weights = float.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture);
        const int depth = 32, columns = 8, rows = 16;
        var random = new Random(3);
        var g = new TestGraph();
        Value x = g.Input("x", rows, depth);
        g.Output(g.Node("Gemm", [x, g.Floats("w", random.Floats(depth * columns, weights), depth, columns), g.Floats("b", random.Floats(columns))], name: "fc"), "y");
        var model = new Model(g.Graph);
        var sample = new Dictionary<string, Tensor> { ["x"] = Tensor.Create(random.Floats(rows * depth, data), rows, depth) };
        QuantizationResult result = Quantizer.Quantize(model, [sample], new QuantizationOptions { Calibration = CalibrationMode.Naive, Granularity = granularity, Type = type });
        Assert.That(result.Report.QuantizedNodes, Is.EqualTo(1));

        float[] expected = new InferenceSession(model).Run(sample)["y"].ToFloat32Array(), actual = new InferenceSession(result.Model).Run(sample)["y"].ToFloat32Array();
        double stepX = data == 0 ? 1 : 2.0 * data / (type == ActivationType.UInt8 ? 255 : 254);
        double stepW = Math.Max(weights == 0 ? 1 : weights / 127.0, 1.0 / (1 << 30) / stepX);
        double bound = depth * (data * stepW / 2 + weights * stepX / 2 * (data == 0 ? 0 : 1) + (data == 0 ? 0 : stepX * stepW / 4)) + stepX * stepW / 2 + 1e-6 * (1 + depth * data * weights);
        if (weights == 0) bound = 1e-6;   // every product is zero exactly, and the scale follows the bias
        for (int i = 0; i < expected.Length; i++) Assert.That(Math.Abs(actual[i] - expected[i]), Is.LessThanOrEqualTo(bound), $"output {i}: {actual[i]}, float {expected[i]}");
    }
}
