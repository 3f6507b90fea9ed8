using Octet.Kernels.Cpu;

namespace Octet.Kernels.Emit;

/// <summary>Whether emitted code may run; asked of the system once, and said once where the answer is no.</summary>
/// <param name="probe">Tries to load code.</param>
/// <param name="log">Receives the one line of a refusal.</param>
internal sealed class CodePermit(Func<bool> probe, Action<string> log)
{
    /// <summary>Features whose kernels are emitted.</summary>
    private const CpuFeatures EmittedFeatures = CpuFeatures.Avx512Vnni;

    private readonly Lock _lock = new();
    private bool? _allowed;

    /// <summary>Whether executable memory can be had.</summary>
    public bool Allowed
    {
        get
        {
            lock (_lock)
            {
                if (_allowed is { } known) return known;
                _allowed = probe();
                if (!_allowed.Value) log("octet: the system refuses executable memory; kernels in emitted code are replaced by intrinsics");
                return _allowed.Value;
            }
        }
    }

    /// <summary>The features without those that only emitted code reaches, if none may run; the system is asked only if there are any.</summary>
    public CpuFeatures Usable(CpuFeatures cpu) => (cpu & EmittedFeatures) == 0 || Allowed ? cpu : cpu & ~EmittedFeatures;
}
