using System.Globalization;

namespace Octet.Runtime.Graphs;

/// <summary>One extent of a shape: a number, a named unknown such as <c>N</c>, or an unnamed unknown.</summary>
/// <remarks>Arithmetic on known extents is exact; with an unknown operand, or beyond 63 bits, the result is an unnamed unknown, except for <c>x·1</c>, <c>x+0</c>, <c>x/1</c>.</remarks>
public readonly struct Dim : IEquatable<Dim>
{
    private readonly long _plusOne;   // 0 = unknown, so that default(Dim) is unknown

    private Dim(long plusOne, string? symbol) => (_plusOne, Symbol) = (plusOne, symbol);

    /// <summary>A known extent.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="value"/> is negative.</exception>
    public Dim(long value)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(value);
        _plusOne = value + 1;
    }

    /// <summary>An extent that nobody knows and that has no name.</summary>
    public static Dim Unknown => default;

    /// <summary>A named unknown; equal names mean equal extents.</summary>
    public static Dim Named(string symbol) => new(0, symbol);

    /// <summary>Whether the extent is a number.</summary>
    public bool IsKnown => _plusOne != 0;

    /// <summary>The number.</summary>
    /// <exception cref="InvalidOperationException">The extent is unknown.</exception>
    public long Value => IsKnown ? _plusOne - 1 : throw new InvalidOperationException("the extent is not known");

    /// <summary>The name of an unknown extent, or null.</summary>
    public string? Symbol { get; }

    /// <summary>A known extent.</summary>
    public static implicit operator Dim(long value) => new(value);

    /// <summary>Whether both are the same number or the same name; an unnamed unknown equals only another unnamed unknown.</summary>
    public bool Equals(Dim other) => _plusOne == other._plusOne && Symbol == other.Symbol;

    /// <summary>Whether the extents are certainly the same at run time.</summary>
    public bool SameAs(Dim other) => IsKnown ? Equals(other) : Symbol is not null && Symbol == other.Symbol;

    /// <summary>Whether the extents are certainly different at run time.</summary>
    public bool DiffersFrom(Dim other) => IsKnown && other.IsKnown && Value != other.Value;

    /// <summary>Sum.</summary>
    public static Dim operator +(Dim a, Dim b) =>
        a.IsKnown && b.IsKnown ? From(a.Value + b.Value) : b.Is(0) ? a : a.Is(0) ? b : Unknown;

    /// <summary>Difference; unknown where it would be negative.</summary>
    public static Dim operator -(Dim a, Dim b) => a.IsKnown && b.IsKnown ? From(a.Value - b.Value) : b.Is(0) ? a : Unknown;

    /// <summary>Product.</summary>
    public static Dim operator *(Dim a, Dim b) =>
        a.IsKnown && b.IsKnown ? Math.BigMul(a.Value, b.Value, out long product) == 0 ? From(product) : Unknown : b.Is(1) ? a : a.Is(1) ? b : a.Is(0) || b.Is(0) ? 0 : Unknown;

    /// <summary>Quotient, rounded down.</summary>
    public static Dim operator /(Dim a, Dim b) => a.IsKnown && b.IsKnown && b.Value != 0 ? From(a.Value / b.Value) : b.Is(1) ? a : Unknown;

    /// <summary>Equality as <see cref="Equals(Dim)"/>.</summary>
    public static bool operator ==(Dim a, Dim b) => a.Equals(b);

    /// <summary>Inequality as <see cref="Equals(Dim)"/>.</summary>
    public static bool operator !=(Dim a, Dim b) => !a.Equals(b);

    /// <summary>Whether the extent is known to be <paramref name="value"/>.</summary>
    public bool Is(long value) => _plusOne == value + 1;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Dim other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(_plusOne, Symbol);

    /// <summary>The number, the name, or <c>?</c>.</summary>
    public override string ToString() => IsKnown ? Value.ToString(CultureInfo.InvariantCulture) : Symbol ?? "?";

    private static Dim From(long value) => value < 0 ? Unknown : new Dim(value);
}
