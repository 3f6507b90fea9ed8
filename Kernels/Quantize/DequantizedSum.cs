using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Quantize;

/// <summary>The real sum of two tensors of bytes: <c>y = (a − za)·sa + (b − zb)·sb</c>.</summary>
/// <remarks>Both products and the sum are rounded to float32 each, so that the bits are those of two <see cref="QuantizeKernels.Dequantize"/> and a sum.</remarks>
internal static unsafe class DequantizedSum
{
    private const int PieceLength = 16384;

    /// <summary>Adds.</summary>
    /// <param name="a">First operand.</param>
    /// <param name="gridA">Its scale and zero point.</param>
    /// <param name="b">Second operand, as long as the first.</param>
    /// <param name="gridB">Its scale and zero point.</param>
    /// <param name="y">Receives as many sums; must not overlap an operand.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public static void Run(ReadOnlySpan<byte> a, (float Scale, int ZeroPoint) gridA, ReadOnlySpan<byte> b, (float Scale, int ZeroPoint) gridB, Span<float> y, CpuFeatures cpu, Parallelism p)
    {
        if (a.Length != b.Length || y.Length < a.Length) throw new ArgumentException($"a has {a.Length}, b {b.Length} and y {y.Length} elements");
        fixed (byte* ap = a, bp = b)
        fixed (float* yp = y)
        {
            var work = new Pieces
            {
                A = ap,
                B = bp,
                Y = yp,
                Length = a.Length,
                GridA = gridA,
                GridB = gridB,
                Kernel = VectorWidths.Select(cpu) switch
                {
                    VectorWidth.V512 => &DequantizedSumLoop<Lanes512, Vector512<float>>.Run,
                    VectorWidth.V256 => &DequantizedSumLoop<Lanes256, Vector256<float>>.Run,
                    VectorWidth.V128 => &DequantizedSumLoop<Lanes128, Vector128<float>>.Run,
                    _ => &DequantizedSumLoop<ScalarLanes, float>.Run,
                },
            };
            p.For(ref work, (a.Length + PieceLength - 1) / PieceLength);
        }
    }

    private struct Pieces : IPieces
    {
        public byte* A, B;
        public float* Y;
        public int Length;
        public (float Scale, int ZeroPoint) GridA, GridB;
        public delegate*<byte*, float, float, byte*, float, float, float*, nint, void> Kernel;

        public readonly void Run(int piece, int worker)
        {
            nint start = (nint)piece * PieceLength;
            Kernel(A + start, GridA.Scale, GridA.ZeroPoint, B + start, GridB.Scale, GridB.ZeroPoint, Y + start, Math.Min(PieceLength, Length - start));
        }
    }
}

/// <summary>The loop of <see cref="DequantizedSum"/>.</summary>
internal static unsafe class DequantizedSumLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(byte* a, float scaleA, float zeroA, byte* b, float scaleB, float zeroB, float* y, nint length)
    {
        V sa = TLanes.Create(scaleA), za = TLanes.Create(zeroA), sb = TLanes.Create(scaleB), zb = TLanes.Create(zeroB);
        nint i = 0;
        for (; i <= length - TLanes.Count; i += TLanes.Count)
            TLanes.Store(TLanes.Add(TLanes.Multiply(TLanes.Subtract(TLanes.LoadUInt8(a + i), za), sa), TLanes.Multiply(TLanes.Subtract(TLanes.LoadUInt8(b + i), zb), sb)), y + i);
        for (; i < length; i++)
        {
            float left = (a[i] - zeroA) * scaleA, right = (b[i] - zeroB) * scaleB;
            y[i] = left + right;
        }
    }
}
