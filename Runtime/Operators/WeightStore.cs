using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Things derived from constants (packed weights, column sums), made once and shared by all plans and sessions of a model.</summary>
/// <remarks>An entry lives as long as the constant it is derived from.</remarks>
internal sealed class WeightStore
{
    private readonly ConditionalWeakTable<Tensor, ConcurrentDictionary<string, Lazy<object>>> _entries = [];

    private long _identities;

    /// <summary>A number for <paramref name="constant"/> that no other tensor of this store has: for keys of what is derived from several constants.</summary>
    public long Identity(Tensor constant) => Get(constant, "identity", () => new Number(Interlocked.Increment(ref _identities))).Value;

    private sealed record Number(long Value);

    /// <summary>The entry for <paramref name="constant"/> and <paramref name="key"/>, made by <paramref name="make"/> on first request.</summary>
    public T Get<T>(Tensor constant, string key, Func<T> make) where T : class =>
        (T)_entries.GetValue(constant, static _ => new()).GetOrAdd(key, static (_, factory) => new Lazy<object>(() => factory()), make).Value;
}
