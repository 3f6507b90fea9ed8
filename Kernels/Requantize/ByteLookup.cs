using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Requantize;

/// <summary><c>y[i] = table[x[i]]</c> for a table of 256 bytes; y may be x.</summary>
/// <remarks>
/// The table is 16 rows T of 16 bytes, and VPSHUFB looks one up: by the low four bits of an index, or 0 where its highest bit is set. Each half of the table is a sum of steps instead of rows,
/// <code>
///   D₀ = T₀    Dᵣ = Tᵣ ⊕ Tᵣ₋₁        T[q] = D₀[q] ⊕ D₁[q − 16] ⊕ … ⊕ D₇[q − 112]        0 ≤ q &lt; 128
/// </code>
/// so that an index need not end with its row, only begin with it: subtraction with signed saturation leaves it negative as soon as its row lies behind, and for bytes of the other half from the start.
/// That is a subtraction, a look-up and an exclusive or for each row. The second half takes q ⊕ 128.
/// </remarks>
internal static unsafe class ByteLookup
{
    /// <summary>Entries of a table, and bytes of its steps.</summary>
    public const int Length = 256;

    private const int Row = 16, Half = 8;

    /// <summary>Computes the steps of a table.</summary>
    /// <param name="table">256 entries.</param>
    /// <param name="steps">Receives 256 bytes; must not overlap the table.</param>
    public static void Prepare(byte* table, byte* steps)
    {
        for (int row = 0; row < 2 * Half; row++)
        {
            Vector128<byte> entries = Vector128.Load(table + row * Row);
            (row % Half == 0 ? entries : entries ^ Vector128.Load(table + (row - 1) * Row)).Store(steps + row * Row);
        }
    }

    /// <summary>Any length on any CPU: eight bytes per load.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Scalar(byte* table, byte* x, byte* y, nint length)
    {
        nint i = 0;
        for (; i <= length - 8; i += 8)
        {
            ulong source = *(ulong*)(x + i);
            ulong low = (uint)(table[(byte)source] | table[(byte)(source >> 8)] << 8 | table[(byte)(source >> 16)] << 16 | table[(byte)(source >> 24)] << 24);
            ulong high = (uint)(table[(byte)(source >> 32)] | table[(byte)(source >> 40)] << 8 | table[(byte)(source >> 48)] << 16 | table[(byte)(source >> 56)] << 24);
            *(ulong*)(y + i) = BitConverter.IsLittleEndian ? low | high << 32 : high | low << 32;
        }
        for (; i < length; i++) y[i] = table[x[i]];
    }

    /// <summary>Whole vectors of 16 bytes; requires SSSE3. Returns how many bytes are done.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static nint Wide128(byte* steps, byte* x, byte* y, nint length)
    {
        nint i = 0;
        for (; i <= length - 16; i += 16) Sixteen(steps, Vector128.Load(x + i)).Store(y + i);
        return i;
    }

    /// <summary>Whole vectors of 32 bytes; requires AVX2. Returns how many bytes are done.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static nint Wide256(byte* steps, byte* x, byte* y, nint length)
    {
        byte* upper = steps + Half * Row;
        Vector256<byte> flip = Vector256.Create((byte)0x80);
        nint i = 0;
        for (; i <= length - 64; i += 64)
        {
            Vector256<byte> x0 = Vector256.Load(x + i), x1 = Vector256.Load(x + i + 32);
            HalfOf256(steps, x0, steps, x1, out Vector256<byte> low0, out Vector256<byte> low1);
            HalfOf256(upper, x0 ^ flip, upper, x1 ^ flip, out Vector256<byte> high0, out Vector256<byte> high1);
            (low0 ^ high0).Store(y + i);
            (low1 ^ high1).Store(y + i + 32);
        }
        for (; i <= length - 32; i += 32) ThirtyTwo(steps, Vector256.Load(x + i)).Store(y + i);
        return i;
    }

    /// <summary>Rows of bytes in place, <paramref name="stride"/> apart: 32 at a time, columns that are left over from two rows together; requires AVX2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Rows256(byte* table, byte* steps, byte* y, nint stride, nint rows, nint columns)
    {
        nint whole = columns & ~31, r = 0;
        if (whole > 0)
            for (nint row = 0; row < rows; row++) Wide256(steps, y + row * stride, y + row * stride, whole);
        if ((columns & 16) != 0)
        {
            for (byte* at = y + whole; r <= rows - 2; r += 2, at += 2 * stride)
            {
                Vector256<byte> both = ThirtyTwo(steps, Vector256.Create(Vector128.Load(at), Vector128.Load(at + stride)));
                both.GetLower().Store(at);
                both.GetUpper().Store(at + stride);
            }
            if (r < rows) Sixteen(steps, Vector128.Load(y + r * stride + whole)).Store(y + r * stride + whole);
            whole += 16;
        }
        if (whole == columns) return;
        for (r = 0; r < rows; r++) Scalar(table, y + r * stride + whole, y + r * stride + whole, columns - whole);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<byte> Sixteen(byte* steps, Vector128<byte> x)
    {
        Vector128<sbyte> low = x.AsSByte(), high = (x ^ Vector128.Create((byte)0x80)).AsSByte(), sixteen = Vector128.Create((sbyte)Row);
        Vector128<byte> result = Ssse3.Shuffle(Vector128.Load(steps), low.AsByte()) ^ Ssse3.Shuffle(Vector128.Load(steps + Half * Row), high.AsByte());
        for (byte* row = steps + Row; row < steps + Half * Row; row += Row)
        {
            low = Sse2.SubtractSaturate(low, sixteen);
            high = Sse2.SubtractSaturate(high, sixteen);
            result ^= Ssse3.Shuffle(Vector128.Load(row), low.AsByte()) ^ Ssse3.Shuffle(Vector128.Load(row + Half * Row), high.AsByte());
        }
        return result;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> Both(byte* row) => Avx2.BroadcastVector128ToVector256(row);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<byte> ThirtyTwo(byte* steps, Vector256<byte> x)
    {
        HalfOf256(steps, x, steps + Half * Row, x ^ Vector256.Create((byte)0x80), out Vector256<byte> low, out Vector256<byte> high);
        return low ^ high;
    }

    /// <summary>Two vectors through one half of a table each, the loop over rows written out.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void HalfOf256(byte* stepsA, Vector256<byte> a, byte* stepsB, Vector256<byte> b, out Vector256<byte> ya, out Vector256<byte> yb)
    {
        Vector256<sbyte> sixteen = Vector256.Create((sbyte)Row), i = a.AsSByte(), j = b.AsSByte();
        Vector256<byte> resultA = Avx2.Shuffle(Both(stepsA), a), resultB = Avx2.Shuffle(Both(stepsB), b);

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + 2 * Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + 2 * Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + 3 * Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + 3 * Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + 4 * Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + 4 * Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + 5 * Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + 5 * Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        resultA ^= Avx2.Shuffle(Both(stepsA + 6 * Row), i.AsByte());
        resultB ^= Avx2.Shuffle(Both(stepsB + 6 * Row), j.AsByte());

        i = Avx2.SubtractSaturate(i, sixteen);
        j = Avx2.SubtractSaturate(j, sixteen);
        ya = resultA ^ Avx2.Shuffle(Both(stepsA + 7 * Row), i.AsByte());
        yb = resultB ^ Avx2.Shuffle(Both(stepsB + 7 * Row), j.AsByte());
    }
}
