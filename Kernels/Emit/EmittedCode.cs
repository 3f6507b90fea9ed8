using Octet.Kernels.Cpu;

namespace Octet.Kernels.Emit;

/// <summary>Whether this process may run emitted machine code, and what it loaded.</summary>
internal static unsafe class EmittedCode
{
    /// <summary>Features whose kernels are emitted.</summary>
    private const CpuFeatures EmittedFeatures = CpuFeatures.Avx512Vnni;

    private static readonly byte[] Return = [0xC3];

    private static int _state;   // 0 not tried, 1 allowed, 2 refused

    /// <summary>Receives the one line that says that executable memory is refused; standard error unless a host sets it.</summary>
    public static Action<string> Log { get; set; } = Console.Error.WriteLine;

    /// <summary>Whether executable memory can be had; tried once, with a function that returns at once.</summary>
    public static bool Allowed
    {
        get
        {
            if (Volatile.Read(ref _state) == 0)
            {
                bool allowed = ExecutableMemory.TryLoad(Return) != null;
                if (Interlocked.CompareExchange(ref _state, allowed ? 1 : 2, 0) == 0 && !allowed)
                    Log("octet: the system refuses executable memory; kernels in emitted code are replaced by intrinsics");
            }
            return _state == 1;
        }
    }

    /// <summary>The features without those that only emitted code reaches, if this process may not run any.</summary>
    public static CpuFeatures Usable(CpuFeatures cpu) => (cpu & EmittedFeatures) == 0 || Allowed ? cpu : cpu & ~EmittedFeatures;

    /// <summary>Loads functions side by side and returns their addresses.</summary>
    /// <exception cref="InvalidOperationException">Executable memory is refused; ask <see cref="Allowed"/> first.</exception>
    public static nint[] Load(IReadOnlyList<byte[]> functions)
    {
        const int alignment = 64;
        var offsets = new int[functions.Count];
        int size = 0;
        for (int i = 0; i < offsets.Length; i++)
        {
            offsets[i] = size;
            size += (functions[i].Length + alignment - 1) / alignment * alignment;
        }
        var code = new byte[size];
        for (int i = 0; i < offsets.Length; i++) functions[i].CopyTo(code, offsets[i]);
        nint start = (nint)ExecutableMemory.TryLoad(code);
        if (start == 0) throw new InvalidOperationException("the system refuses executable memory");
        return Array.ConvertAll(offsets, offset => start + offset);
    }
}
