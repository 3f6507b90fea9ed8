using System.Numerics;
using System.Runtime.CompilerServices;

namespace Octet.Kernels.Elementwise;

/// <summary>A function of one value of any type.</summary>
internal interface IGenericUnary<T, TResult>
{
    /// <summary>The value.</summary>
    static abstract TResult Invoke(T x);
}

/// <summary>A function of two values of any type.</summary>
internal interface IGenericBinary<T, TResult>
{
    /// <summary>The value.</summary>
    static abstract TResult Invoke(T a, T b);
}

/// <summary>Functions on element types without a vector kernel. Integers wrap around; integer division truncates, and x / 0 is 0.</summary>
internal static class Generic
{
    /// <summary><c>a + b</c>.</summary>
    public readonly struct Add<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a + b;
    }

    /// <summary><c>a − b</c>.</summary>
    public readonly struct Subtract<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a - b;
    }

    /// <summary><c>a · b</c>.</summary>
    public readonly struct Multiply<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a * b;
    }

    /// <summary><c>a / b</c>, towards zero for integers; 0 for an integer divided by 0, and MinValue / −1 wraps to MinValue.</summary>
    public readonly struct Divide<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b)
        {
            if (T.IsInteger(T.One / (T.One + T.One)))   // integer types: 1/2 is 0
            {
                if (T.IsZero(b)) return T.Zero;
                if (T.IsNegative(b) && b == -T.One) return T.Zero - a;
            }
            return a / b;
        }
    }

    /// <summary>Remainder with the divisor's sign (Python's and ONNX Mod with fmod = 0); 0 for divisor 0.</summary>
    public readonly struct FloorModulo<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b)
        {
            T r = TruncatedModulo<T>.Invoke(a, b);
            return !T.IsZero(r) && T.IsNegative(r) != T.IsNegative(b) ? r + b : r;
        }
    }

    /// <summary>Remainder with the dividend's sign (C's fmod); 0 for an integer divisor 0, NaN for a float one.</summary>
    public readonly struct TruncatedModulo<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b)
        {
            if (T.IsInteger(T.One / (T.One + T.One)))
            {
                if (T.IsZero(b)) return T.Zero;
                if (T.IsNegative(b) && b == -T.One) return T.Zero;
            }
            return a % b;
        }
    }

    /// <summary><c>max(a, b)</c>; NaN if either is.</summary>
    public readonly struct Max<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => T.Max(a, b);
    }

    /// <summary><c>min(a, b)</c>; NaN if either is.</summary>
    public readonly struct Min<T> : IGenericBinary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => T.Min(a, b);
    }

    /// <summary><c>aᵇ</c> of floating-point values.</summary>
    public readonly struct Power<T> : IGenericBinary<T, T> where T : IPowerFunctions<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => T.Pow(a, b);
    }

    /// <summary><c>aᵇ</c> of integers by squaring, wrapping around; a negative exponent gives 1/aⁿ truncated: 0 unless a is ±1.</summary>
    public readonly struct IntegerPower<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        public static T Invoke(T a, T b)
        {
            if (T.IsNegative(b))
            {
                if (a == T.One) return a;
                return a == -T.One ? (T.IsOddInteger(b) ? a : T.One) : T.Zero;
            }
            T result = T.One;
            for (; !T.IsZero(b); b >>= 1, a *= a)
            {
                if (T.IsOddInteger(b)) result *= a;
            }
            return result;
        }
    }

    /// <summary>Bitwise and.</summary>
    public readonly struct And<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a & b;
    }

    /// <summary>Bitwise or.</summary>
    public readonly struct Or<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a | b;
    }

    /// <summary>Bitwise exclusive or.</summary>
    public readonly struct Xor<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => a ^ b;
    }

    /// <summary><c>a · 2ᵇ</c> modulo the type's range; 0 where b is at least the type's width.</summary>
    public readonly struct ShiftLeft<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => b >= T.CreateTruncating(a.GetByteCount() * 8) ? T.Zero : a << int.CreateTruncating(b);
    }

    /// <summary><c>⌊a / 2ᵇ⌋</c> of unsigned values; 0 where b is at least the type's width.</summary>
    public readonly struct ShiftRight<T> : IGenericBinary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T a, T b) => b >= T.CreateTruncating(a.GetByteCount() * 8) ? T.Zero : a >>> int.CreateTruncating(b);
    }

    /// <summary><c>a = b</c>; false for NaN.</summary>
    public readonly struct Equal<T> : IGenericBinary<T, bool> where T : IEqualityOperators<T, T, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(T a, T b) => a == b;
    }

    /// <summary><c>a &lt; b</c>; false for NaN.</summary>
    public readonly struct Less<T> : IGenericBinary<T, bool> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(T a, T b) => a < b;
    }

    /// <summary><c>a ≤ b</c>; false for NaN.</summary>
    public readonly struct LessOrEqual<T> : IGenericBinary<T, bool> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(T a, T b) => a <= b;
    }

    /// <summary><c>a &gt; b</c>; false for NaN.</summary>
    public readonly struct Greater<T> : IGenericBinary<T, bool> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(T a, T b) => a > b;
    }

    /// <summary><c>a ≥ b</c>; false for NaN.</summary>
    public readonly struct GreaterOrEqual<T> : IGenericBinary<T, bool> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(T a, T b) => a >= b;
    }

    /// <summary>Logical and.</summary>
    public readonly struct LogicalAnd : IGenericBinary<bool, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(bool a, bool b) => a & b;
    }

    /// <summary>Logical or.</summary>
    public readonly struct LogicalOr : IGenericBinary<bool, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(bool a, bool b) => a | b;
    }

    /// <summary>Logical exclusive or, and inequality.</summary>
    public readonly struct LogicalXor : IGenericBinary<bool, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(bool a, bool b) => a ^ b;
    }

    /// <summary>Equality of truth values.</summary>
    public readonly struct LogicalEqual : IGenericBinary<bool, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(bool a, bool b) => a == b;
    }

    /// <summary>Logical not.</summary>
    public readonly struct Not : IGenericUnary<bool, bool>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static bool Invoke(bool x) => !x;
    }

    /// <summary><c>|x|</c>; MinValue stays MinValue.</summary>
    public readonly struct Abs<T> : IGenericUnary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T x) => T.IsNegative(x) ? T.Zero - x : x;
    }

    /// <summary><c>−x</c>.</summary>
    public readonly struct Negate<T> : IGenericUnary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T x) => -x;
    }

    /// <summary>−1, 0 or 1; NaN stays NaN.</summary>
    public readonly struct Sign<T> : IGenericUnary<T, T> where T : INumber<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T x) => x > T.Zero ? T.One : x < T.Zero ? -T.One : T.IsNaN(x) ? x : T.Zero;
    }

    /// <summary>Bitwise complement.</summary>
    public readonly struct Complement<T> : IGenericUnary<T, T> where T : IBinaryInteger<T>
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static T Invoke(T x) => ~x;
    }
}
