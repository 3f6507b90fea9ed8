using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
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
    /// <summary><see cref="QuantizationOptions.Collector"/> decides.</summary>
    Custom,
}

/// <summary>Integer type of quantized activations.</summary>
public enum ActivationType
{
    /// <summary>uint8 with zero point 0 where the calibrated minimum is not negative, int8 elsewhere.</summary>
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
    /// <summary>How ranges of activations are found.</summary>
    public CalibrationMode Calibration { get; init; } = CalibrationMode.Entropy;

    /// <summary>The collector of <see cref="CalibrationMode.Custom"/>; otherwise null.</summary>
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

    /// <summary>Samples used for calibration; null for all.</summary>
    public int? Samples { get; init; }

    /// <summary>How the float model runs during calibration.</summary>
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
        CalibrationMode.Custom => Collector!,
        _ => throw new InvalidOperationException("calibration is off"),
    };
}
