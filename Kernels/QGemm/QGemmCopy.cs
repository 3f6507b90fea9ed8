using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Octet.Kernels.QGemm;

/// <summary>Copies of A in the form that a kernel reads.</summary>
internal static unsafe class QGemmCopy
{
    /// <summary><c>to[k] = from[k] xor flip</c> as a byte or widened to a word, zero from <paramref name="length"/> to <paramref name="padded"/>.</summary>
    [MethodImpl(HotLoop.Optimized)]
    public static void Row(byte* from, byte* to, int length, int padded, byte flip, QGemmPacking packing)
    {
        int k = 0;
        if (packing != QGemmPacking.Words)
        {
            Vector128<byte> mask = Vector128.Create(flip);
            for (; k <= length - 16; k += 16) (Vector128.Load(from + k) ^ mask).Store(to + k);
            for (; k < length; k++) to[k] = (byte)(from[k] ^ flip);
            for (; k < padded; k++) to[k] = 0;
        }
        else
        {
            short* words = (short*)to;
            Vector128<byte> mask = Vector128.Create(flip);
            for (; k <= length - 16; k += 16)
            {
                (Vector128<ushort> lower, Vector128<ushort> upper) = Vector128.Widen(Vector128.Load(from + k) ^ mask);
                lower.AsInt16().Store(words + k);
                upper.AsInt16().Store(words + k + 8);
            }
            for (; k < length; k++) words[k] = (byte)(from[k] ^ flip);
            for (; k < padded; k++) words[k] = 0;
        }
    }
}
