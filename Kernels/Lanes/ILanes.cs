namespace Octet.Kernels.Lanes;

/// <summary>
/// Floats that one register holds, and what can be done with them. A kernel is written once over this interface; the width is a
/// struct parameter, so the JIT compiles one specialised body per width and no call remains.
/// </summary>
/// <remarks>
/// Every operation is one IEEE operation per lane, the same for every width, so a kernel without reductions over lanes gives the same bits on
/// every width. The exception is <see cref="MultiplyAdd"/>, which fuses where the hardware does; <see cref="FusedMultiplyAdd"/> always does.
/// Masks are values whose lanes are all ones or all zeros.
/// </remarks>
/// <typeparam name="V">The register: <c>float</c>, <c>Vector128&lt;float&gt;</c>, <c>Vector256&lt;float&gt;</c> or <c>Vector512&lt;float&gt;</c>.</typeparam>
internal unsafe interface ILanes<V> where V : unmanaged
{
    /// <summary>Lanes of <typeparamref name="V"/>; a constant.</summary>
    static abstract int Count { get; }

    /// <summary>All lanes <paramref name="value"/>.</summary>
    static abstract V Create(float value);

    /// <summary>All lanes the bit pattern <paramref name="bits"/>.</summary>
    static abstract V CreateBits(int bits);

    /// <summary>Reads <see cref="Count"/> floats; no alignment needed.</summary>
    static abstract V Load(float* source);

    /// <summary>Reads <paramref name="count"/> floats and nothing behind them; the other lanes are 0. 0 ≤ count ≤ Count.</summary>
    static abstract V LoadPartial(float* source, int count);

    /// <summary>Writes <see cref="Count"/> floats; no alignment needed.</summary>
    static abstract void Store(V value, float* target);

    /// <summary>Writes the first <paramref name="count"/> lanes and nothing behind them. 0 ≤ count ≤ Count.</summary>
    static abstract void StorePartial(V value, float* target, int count);

    /// <summary><c>a + b</c>.</summary>
    static abstract V Add(V a, V b);

    /// <summary><c>a − b</c>.</summary>
    static abstract V Subtract(V a, V b);

    /// <summary><c>a · b</c>.</summary>
    static abstract V Multiply(V a, V b);

    /// <summary><c>a / b</c>.</summary>
    static abstract V Divide(V a, V b);

    /// <summary><c>a · b + c</c>, one rounding where the CPU has FMA and two where it has not.</summary>
    static abstract V MultiplyAdd(V a, V b, V c);

    /// <summary><c>a · b + c</c>, rounded once on every CPU; slow where it has no FMA.</summary>
    static abstract V FusedMultiplyAdd(V a, V b, V c);

    /// <summary><c>a &gt; b ? a : b</c> as MAXPS does it: <paramref name="b"/> where either is NaN.</summary>
    static abstract V Max(V a, V b);

    /// <summary><c>a &lt; b ? a : b</c> as MINPS does it: <paramref name="b"/> where either is NaN.</summary>
    static abstract V Min(V a, V b);

    /// <summary>Square root.</summary>
    static abstract V Sqrt(V a);

    /// <summary>Nearest integer, half to even.</summary>
    static abstract V Round(V a);

    /// <summary>Largest integer not above.</summary>
    static abstract V Floor(V a);

    /// <summary>Smallest integer not below.</summary>
    static abstract V Ceiling(V a);

    /// <summary>Bitwise and.</summary>
    static abstract V And(V a, V b);

    /// <summary>Bitwise or.</summary>
    static abstract V Or(V a, V b);

    /// <summary>Bitwise exclusive or.</summary>
    static abstract V Xor(V a, V b);

    /// <summary>Mask of <c>a &lt; b</c>; false for NaN.</summary>
    static abstract V LessThan(V a, V b);

    /// <summary>Mask of <c>a ≤ b</c>; false for NaN.</summary>
    static abstract V LessOrEqual(V a, V b);

    /// <summary>Mask of <c>a = b</c>; false for NaN.</summary>
    static abstract V Equals(V a, V b);

    /// <summary>Lanes of <paramref name="ifTrue"/> where the mask is ones, of <paramref name="ifFalse"/> where it is zeros.</summary>
    static abstract V Select(V mask, V ifTrue, V ifFalse);

    /// <summary><c>a · 2ⁿ</c> for integral <paramref name="n"/> in [−252, 252], rounded once into the subnormals at most.</summary>
    static abstract V ScaleByPowerOfTwo(V a, V n);

    /// <summary><c>e</c> of <c>a = m · 2ᵉ</c>, 1 ≤ m &lt; 2, as a float; a is normal and positive.</summary>
    static abstract V Exponent(V a);

    /// <summary>Bits of <paramref name="a"/> as integers minus the bits of <paramref name="b"/>, wrapping.</summary>
    static abstract V SubtractBits(V a, V b);

    /// <summary>Sum of the lanes, by halving.</summary>
    static abstract float Sum(V a);

    /// <summary>The float of one lane's worth: <c>Max</c> over lanes by halving.</summary>
    static abstract float MaxLane(V a);

    /// <summary>The float of one lane's worth: <c>Min</c> over lanes by halving.</summary>
    static abstract float MinLane(V a);

    /// <summary>Reads <see cref="Count"/> bytes as floats.</summary>
    static abstract V LoadUInt8(byte* source);

    /// <summary>Reads <see cref="Count"/> signed bytes as floats.</summary>
    static abstract V LoadInt8(sbyte* source);

    /// <summary>Reads <see cref="Count"/> 16-bit unsigned integers as floats.</summary>
    static abstract V LoadUInt16(ushort* source);

    /// <summary>Reads <see cref="Count"/> 16-bit integers as floats.</summary>
    static abstract V LoadInt16(short* source);

    /// <summary>Reads <see cref="Count"/> 32-bit integers as the nearest floats.</summary>
    static abstract V LoadInt32(int* source);

    /// <summary>Writes the low 8 bits of integral values in (−2³¹, 2³¹); no saturation.</summary>
    static abstract void Store8(V value, byte* target);

    /// <summary>Writes the low 16 bits of integral values in (−2³¹, 2³¹); no saturation.</summary>
    static abstract void Store16(V value, ushort* target);

    /// <summary>Writes integral values in (−2³¹, 2³¹) as 32-bit integers.</summary>
    static abstract void Store32(V value, int* target);

    /// <summary>Asks for the cache line at <paramref name="address"/> in L2; any address is allowed, and it is only a hint.</summary>
    static abstract void Prefetch(void* address);

    /// <summary>Likewise in L1.</summary>
    static abstract void PrefetchNear(void* address);
}
