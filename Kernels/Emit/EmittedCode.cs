using Octet.Kernels.Cpu;
using Octet.Kernels.Memory;

namespace Octet.Kernels.Emit;

/// <summary>The emitted code of this process: whether it may run any, and what it loaded.</summary>
/// <remarks>Kernels are a fixed, small set that any session may call, so their code lives as long as the process.</remarks>
internal static class EmittedCode
{
    /// <summary>Receives the one line that says that executable memory is refused; standard error unless a host sets it.</summary>
    public static Action<string> Log { get; set; } = static line => Console.Error.WriteLine(line);

    private static readonly byte[] Return = [0xC3];

    private static readonly CodePermit Permit = new(Probe, line => Log(line));

    private static readonly CodeCache Cache = new();

    /// <inheritdoc cref="CodePermit.Allowed"/>
    public static bool Allowed => Permit.Allowed;

    /// <summary>Time that this process has spent on emitting and loading kernels.</summary>
    public static TimeSpan Spent => Cache.Spent;

    /// <inheritdoc cref="CodePermit.Usable"/>
    public static CpuFeatures Usable(CpuFeatures cpu) => Permit.Usable(cpu);

    /// <inheritdoc cref="CodeCache.Get"/>
    public static nint[] Load(string signature, Func<EmittedFunction[]> emit) => Cache.Get(signature, emit);

    private static bool Probe()
    {
        using ExecutableMemory? memory = ExecutableMemory.TryLoad(Return);
        return memory is not null;
    }
}
