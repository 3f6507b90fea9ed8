using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Octet.Kernels.Cpu;
using Octet.Kernels.QConv;

namespace Octet.Runtime.Execution;

/// <summary>How a session runs its model.</summary>
public sealed record SessionOptions
{
    /// <summary>Threads that one run may use, its caller's included; 1 starts no other thread. Default: the processors that the process may use.</summary>
    public int Threads { get; init; } = Environment.ProcessorCount;

    /// <summary>Instruction sets that kernels may use. Default: what the CPU has, capped by <c>OCTET_MAX_ISA</c>. No choice changes an integer result.</summary>
    /// <remarks>
    /// With both forms of VNNI, 512 and 256 bits, integer kernels use the one that is faster on this machine: timed once per process, in a few milliseconds, when the first
    /// integer product is planned; the environment variable <c>OCTET_VNNI</c> = <c>measure | zmm | ymm</c> decides in place of that measurement.
    /// </remarks>
    public CpuFeatures Cpu { get; init; } = CpuInfo.Detected;

    /// <summary>
    /// Whether integer 3×3 convolutions of stride 1 may take Winograd's form, which is exact and changes no result. Default: where timing it on this machine finds it faster;
    /// the environment variable <c>OCTET_WINOGRAD</c> = <c>measure | off | 2x2 | 4x4</c> decides in place of that measurement.
    /// </summary>
    public WinogradUse IntegerWinograd { get; init; } = WinogradUse.Measured;

    /// <summary>Whether rewriting may merge operators.</summary>
    public bool Fuse { get; init; } = true;

    /// <summary>Whether quantized patterns become integer operators; off, they run as float between QuantizeLinear and DequantizeLinear.</summary>
    public bool Lower { get; init; } = true;

    /// <summary>Whether images are kept channels-last.</summary>
    public bool ChannelsLast { get; init; } = true;

    /// <summary>
    /// Whether 3×3 float convolutions of stride 1 may use Winograd's F(2×2, 3×3) and F(4×4, 3×3) where that is faster. It needs a half to a quarter of the products and rounds
    /// differently; docs/numerics.md states the bound. Integer results never depend on it.
    /// </summary>
    public bool FloatWinograd { get; init; } = true;

    /// <summary>Names of rewriting rules that are not applied; <c>octet explain</c> lists the names.</summary>
    public IReadOnlySet<string> DisabledRules { get; init; } = new HashSet<string>();

    /// <summary>Names of values that must exist in the plan, for hooks: nothing is merged across them.</summary>
    public IReadOnlySet<string> KeepValues { get; init; } = new HashSet<string>();

    /// <summary>Plans kept for different input shapes; the one unused for longest is dropped. At least 1.</summary>
    public int MaxPlans { get; init; } = 8;

    /// <summary>Receives notes on plans made and on what was left out.</summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>Checks every option.</summary>
    /// <exception cref="ArgumentException">One is outside its range; the message says which, its value and the rule.</exception>
    internal SessionOptions Validate()
    {
        if (Threads < 1) throw new ArgumentException($"Threads is {Threads}; rule: at least 1");
        if (MaxPlans < 1) throw new ArgumentException($"MaxPlans is {MaxPlans}; rule: at least 1");
        return this;
    }
}
