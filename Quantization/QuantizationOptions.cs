using System.Globalization;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Octet.Quantization.Accuracy;
using Octet.Quantization.Calibration;
using Octet.Runtime.Execution;

namespace Octet.Quantization;

/// <summary>How ranges of activations are found.</summary>
public enum CalibrationMode
{
    /// <summary>Not in advance: activations are quantized by the range that they have when the model runs.</summary>
    None,
    /// <summary>Least and greatest value seen.</summary>
    Naive,
    /// <summary>The cut that loses least information; see <see cref="EntropyCollector"/>.</summary>
    Entropy,
    /// <summary>The range of all but a small share of the values; see <see cref="PercentileCollector"/>.</summary>
    Percentile,
    /// <summary>The cut that costs the least squared error; see <see cref="MeanSquaredErrorCollector"/>.</summary>
    MeanSquaredError,
    /// <summary>The moving average of the samples' ranges; see <see cref="MovingAverageCollector"/>.</summary>
    MovingAverage,
    /// <summary>The cut that Apache MXNet finds, for models that must match one calibrated there; see <see cref="MxNetEntropyCollector"/>.</summary>
    EntropyMxNet,
    /// <summary><see cref="QuantizationOptions.Collector"/> decides.</summary>
    Custom,
}

/// <summary>Integer type of quantized activations.</summary>
public enum ActivationType
{
    /// <summary>
    /// uint8 with zero point 0 where the calibrated minimum is not negative; elsewhere the grid of <see cref="Int8"/>, stored as uint8 with zero point 128. Every value of the int8 grid is there,
    /// and all activations have one type, without which ONNX Runtime has no integer convolution.
    /// </summary>
    Auto,
    /// <summary>int8, symmetric, zero point 0.</summary>
    Int8,
    /// <summary>uint8, affine: the zero point represents real 0 exactly.</summary>
    UInt8,
}

/// <summary>Which operators are quantized.</summary>
public enum QuantizeMode
{
    /// <summary>Every operator that has an integer form.</summary>
    Full,
    /// <summary>Convolutions and matrix products, and other operators only on paths of such operators between two of them.</summary>
    Smart,
}

/// <summary>How many scales a weight tensor has.</summary>
public enum Granularity
{
    /// <summary>One per tensor.</summary>
    Tensor,
    /// <summary>One per output channel.</summary>
    Channel,
}

/// <summary>How a model is quantized. Every value is checked before any work starts.</summary>
public sealed record QuantizationOptions
{
    /// <summary>Value of <see cref="LeastSqnr"/> where nothing else is said.</summary>
    public const double DefaultLeastSqnr = 30;

    /// <summary>How ranges of activations are found.</summary>
    public CalibrationMode Calibration { get; init; } = CalibrationMode.Entropy;

    /// <summary>Share of the values, in percent, that <see cref="CalibrationMode.Percentile"/> keeps; in (0, 100].</summary>
    public double Percentile { get; init; } = PercentileCollector.DefaultPercentile;

    /// <summary>Weight of the latest sample in <see cref="CalibrationMode.MovingAverage"/>; in (0, 1].</summary>
    public double MovingAverageWeight { get; init; } = MovingAverageCollector.DefaultWeight;

    /// <summary>
    /// The collector of <see cref="CalibrationMode.Custom"/>; otherwise null. It may hold a state already, such as one read from a cache file: the samples are added to it, and without samples
    /// its state alone decides.
    /// </summary>
    public CalibrationCollector? Collector { get; init; }

    /// <summary>Integer type of activations.</summary>
    public ActivationType Type { get; init; } = ActivationType.Auto;

    /// <summary>Which operators are quantized.</summary>
    public QuantizeMode Mode { get; init; } = QuantizeMode.Full;

    /// <summary>How many scales a weight tensor has.</summary>
    public Granularity Granularity { get; init; } = Granularity.Channel;

    /// <summary>Names of nodes to leave float; a name inside a merged node counts. A name that matches nothing is an error.</summary>
    public IReadOnlyList<string> Exclude { get; init; } = [];

    /// <summary>Patterns of node names to leave float: <c>*</c> stands for any text, and a pattern without it matches anywhere in the name. One that matches nothing is an error.</summary>
    public IReadOnlyList<string> ExcludeMatch { get; init; } = [];

    /// <summary>Operator types to leave float. One that matches nothing is an error.</summary>
    public IReadOnlyList<string> ExcludeOperators { get; init; } = [];

    /// <summary>Moves magnitude between the channels of neighbouring layers before anything else, so that they share one scale better; null for not. The float model stays the same bit for bit.</summary>
    public EqualizationOptions? Equalize { get; init; }

    /// <summary>Moves outliers of activations into the weights that multiply them (SmoothQuant); null for not. Reads the data once more. The float model stays the same bit for bit.</summary>
    public SmoothOptions? Smooth { get; init; }

    /// <summary>Whether biases make up for the mean error that rounding the weights gives each output channel; see <see cref="Accuracy.BiasCorrection"/>.</summary>
    public bool BiasCorrection { get; init; }

    /// <summary>Whether operators stay float where INT8 is slower on this machine, conversions included, measured with the first sample. The model then depends on the machine and the moment.</summary>
    public bool KeepFloatWhereSlower { get; init; }

    /// <summary>
    /// Least signal-to-noise ratio, in dB, that rounding to 8 bits must leave in an activation, where the collector keeps a histogram of it, and in what a batch normalization makes of it. Where it leaves
    /// less, what reads the activation stays float, and the normalization together with the sums in front of it. 0 lets nothing stay float. (A normal distribution on a grid over ±4σ has 41 dB.)
    /// </summary>
    public double LeastSqnr { get; init; } = DefaultLeastSqnr;

    /// <summary>Samples used for calibration; null for all.</summary>
    public int? Samples { get; init; }

    /// <summary>How the float model runs during calibration. Rewriting rules that it switches off are off while the model is prepared too.</summary>
    public SessionOptions Session { get; init; } = new();

    /// <summary>Receives what was decided and why.</summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">One is outside its range; the message says which, its value and the rule.</exception>
    internal QuantizationOptions Validate()
    {
        if (!Enum.IsDefined(Calibration)) throw new ArgumentException($"Calibration is {Calibration}; rule: one of {string.Join(", ", Enum.GetNames<CalibrationMode>())}");
        if (!Enum.IsDefined(Type)) throw new ArgumentException($"Type is {Type}; rule: one of {string.Join(", ", Enum.GetNames<ActivationType>())}");
        if (!Enum.IsDefined(Mode)) throw new ArgumentException($"Mode is {Mode}; rule: one of {string.Join(", ", Enum.GetNames<QuantizeMode>())}");
        if (!Enum.IsDefined(Granularity)) throw new ArgumentException($"Granularity is {Granularity}; rule: one of {string.Join(", ", Enum.GetNames<Granularity>())}");
        if (!(Percentile is > 0 and <= 100)) throw new ArgumentException($"Percentile is {Percentile.ToString(CultureInfo.InvariantCulture)}; rule: greater than 0 and at most 100");
        if (!(MovingAverageWeight is > 0 and <= 1)) throw new ArgumentException($"MovingAverageWeight is {MovingAverageWeight.ToString(CultureInfo.InvariantCulture)}; rule: greater than 0 and at most 1");
        Equalize?.Validate();
        Smooth?.Validate();
        RequireNames(nameof(Exclude), Exclude);
        RequireNames(nameof(ExcludeMatch), ExcludeMatch);
        RequireNames(nameof(ExcludeOperators), ExcludeOperators);
        if (KeepFloatWhereSlower && Calibration == CalibrationMode.None) throw new ArgumentException("KeepFloatWhereSlower is on but Calibration is None; rule: times are measured with a calibration sample");
        if (BiasCorrection && Calibration == CalibrationMode.None) throw new ArgumentException("BiasCorrection is on but Calibration is None; rule: the mean error is found with calibration samples");
        if (!(LeastSqnr >= 0)) throw new ArgumentException($"LeastSqnr is {LeastSqnr.ToString(CultureInfo.InvariantCulture)}; rule: at least 0");
        if (Samples is < 1) throw new ArgumentException($"Samples is {Samples}; rule: at least 1, or null for all");
        if (Calibration == CalibrationMode.Custom && Collector is null) throw new ArgumentException("Calibration is Custom but Collector is null; rule: custom calibration needs a collector");
        if (Calibration != CalibrationMode.Custom && Collector is not null) throw new ArgumentException($"a Collector is given but Calibration is {Calibration}; rule: a collector goes with Custom");
        return this;
    }

    /// <summary>A new collector for <see cref="Calibration"/>.</summary>
    internal CalibrationCollector CreateCollector() => Calibration switch
    {
        CalibrationMode.Naive => new MinMaxCollector(),
        CalibrationMode.Entropy => new EntropyCollector(),
        CalibrationMode.Percentile => new PercentileCollector(Percentile),
        CalibrationMode.MeanSquaredError => new MeanSquaredErrorCollector(Type),
        CalibrationMode.MovingAverage => new MovingAverageCollector(MovingAverageWeight),
        CalibrationMode.EntropyMxNet => new MxNetEntropyCollector(Type),
        CalibrationMode.Custom => Collector!,
        _ => throw new InvalidOperationException("calibration is off"),
    };

    private static void RequireNames(string option, IReadOnlyList<string> names)
    {
        if (names.Any(string.IsNullOrEmpty)) throw new ArgumentException($"{option} has an empty entry; rule: every entry is a name");
    }
}
