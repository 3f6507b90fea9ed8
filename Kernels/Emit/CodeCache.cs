using System.Diagnostics;
using Octet.Kernels.Memory;

namespace Octet.Kernels.Emit;

/// <summary>Emitted functions by signature; each is made once and lives until its cache is disposed.</summary>
internal sealed class CodeCache : IDisposable
{
    /// <summary>Functions start on cache lines of their own.</summary>
    private const int Alignment = 64;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, (ExecutableMemory Memory, nint[] Addresses)> _blocks = new(StringComparer.Ordinal);
    private bool _disposed;

    /// <summary>Time spent on making functions and loading them.</summary>
    public TimeSpan Spent { get; private set; }

    /// <summary>Signatures with loaded code.</summary>
    public int Count
    {
        get
        {
            lock (_lock) return _blocks.Count;
        }
    }

    /// <summary>Addresses of the functions of a signature, which <paramref name="emit"/> makes if they are not loaded yet.</summary>
    /// <param name="signature">Everything that the code depends on, in words: a kernel's name.</param>
    /// <param name="emit">Makes the functions.</param>
    /// <exception cref="InvalidOperationException">Executable memory is refused; ask <see cref="EmittedCode.Allowed"/> first.</exception>
    public nint[] Get(string signature, Func<EmittedFunction[]> emit)
    {
        lock (_lock)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_blocks.TryGetValue(signature, out (ExecutableMemory Memory, nint[] Addresses) known)) return known.Addresses;
            long start = Stopwatch.GetTimestamp();
            EmittedFunction[] functions = emit();
            var offsets = new int[functions.Length];
            int size = 0;
            for (int i = 0; i < offsets.Length; i++)
            {
                offsets[i] = size;
                size += (functions[i].Bytes.Length + Alignment - 1) / Alignment * Alignment;
            }
            var code = new byte[size];
            for (int i = 0; i < offsets.Length; i++) functions[i].Bytes.CopyTo(code, offsets[i]);
            ExecutableMemory memory = ExecutableMemory.TryLoad(code) ?? throw new InvalidOperationException("the system refuses executable memory");
            nint[] addresses = Array.ConvertAll(offsets, offset => memory.Address + offset);
            _blocks.Add(signature, (memory, addresses));
            Spent += Stopwatch.GetElapsedTime(start);
            return addresses;
        }
    }

    /// <summary>Frees all code; none of it may be called any more.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _disposed = true;
            foreach ((ExecutableMemory memory, _) in _blocks.Values) memory.Dispose();
            _blocks.Clear();
        }
    }
}
