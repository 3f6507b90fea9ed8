using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Octet.Kernels.Layout;

/// <summary>Copies that move elements without changing them.</summary>
internal static unsafe class LayoutKernels
{
    /// <summary>Copies <paramref name="rows"/> rows of <paramref name="widthBytes"/> bytes between two strides: concatenation, splitting and slices of dense blocks.</summary>
    /// <param name="x">Source; row r begins at byte <c>r · xStrideBytes</c>.</param>
    /// <param name="xStrideBytes">Distance of source rows.</param>
    /// <param name="y">Target; must not overlap x.</param>
    /// <param name="yStrideBytes">Distance of target rows.</param>
    /// <param name="widthBytes">Bytes of a row.</param>
    /// <param name="rows">Rows.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public static void CopyRows(ReadOnlySpan<byte> x, long xStrideBytes, Span<byte> y, long yStrideBytes, int widthBytes, int rows)
    {
        if (rows <= 0 || widthBytes <= 0) return;
        if (xStrideBytes < 0 || yStrideBytes < widthBytes || x.Length < (rows - 1) * xStrideBytes + widthBytes || y.Length < (rows - 1) * yStrideBytes + widthBytes)
            throw new ArgumentException($"{rows} rows of {widthBytes} bytes with strides {xStrideBytes} and {yStrideBytes} do not fit {x.Length} and {y.Length} bytes");
        fixed (byte* xp = x, yp = y)
        {
            if (xStrideBytes == widthBytes && yStrideBytes == widthBytes)
            {
                Buffer.MemoryCopy(xp, yp, y.Length, (long)widthBytes * rows);
                return;
            }
            switch (widthBytes)
            {
                case 1: Narrow<byte>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                case 2: Narrow<ushort>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                case 4: Narrow<uint>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                case 8: Narrow<ulong>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                case 16: Narrow<Vector128<byte>>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                case 32: Narrow<Vector256<byte>>(xp, xStrideBytes, yp, yStrideBytes, rows); break;
                default:
                    for (long r = 0; r < rows; r++) Unsafe.CopyBlockUnaligned(yp + r * yStrideBytes, xp + r * xStrideBytes, (uint)widthBytes);
                    break;
            }
        }
    }

    /// <summary>Rows of one <typeparamref name="T"/>: a load and a store each instead of a call.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Narrow<T>(byte* x, long xStrideBytes, byte* y, long yStrideBytes, long rows) where T : unmanaged
    {
        for (long r = 0; r < rows; r++, x += xStrideBytes, y += yStrideBytes) Unsafe.WriteUnaligned(y, Unsafe.ReadUnaligned<T>(x));
    }

    /// <summary><c>y[i] = x[2·i]</c>: every second element.</summary>
    /// <param name="x">At least <c>2 · y.Length − 1</c> elements.</param>
    /// <param name="y">Target; must not overlap x.</param>
    /// <exception cref="ArgumentException"><paramref name="x"/> is too short.</exception>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void EverySecond<T>(ReadOnlySpan<T> x, Span<T> y) where T : unmanaged
    {
        if (x.Length < 2L * y.Length - 1) throw new ArgumentException($"{y.Length} of every second element need {2L * y.Length - 1}, x has {x.Length}");
        fixed (T* from = x, to = y)
        {
            nint i = 0, last = y.Length;
            if (sizeof(T) == sizeof(float) && Sse.IsSupported)
            {
                // The second load ends one element behind the last one that is asked for, so the very last block is left to the loop below.
                for (; i < last - 4; i += 4)
                    Sse.Shuffle(Vector128.Load((float*)from + 2 * i), Vector128.Load((float*)from + 2 * i + 4), 0b10_00_10_00).Store((float*)to + i);
            }
            for (; i < last; i++) to[i] = from[2 * i];
        }
    }

    /// <summary>
    /// Picks along every axis: <c>y[i₀, i₁, …] = x[maps[0][i₀], maps[1][i₁], …]</c>, or <paramref name="fill"/> where any map says −1.
    /// Padding in all its modes, slices with steps and reversals are such maps.
    /// </summary>
    /// <param name="x">Input, dense.</param>
    /// <param name="shape">Input extents.</param>
    /// <param name="maps">One array per axis, as long as the output's extent, of input indices or −1.</param>
    /// <param name="fill">The constant.</param>
    /// <param name="y">Output, dense; must not overlap x.</param>
    /// <exception cref="ArgumentException">Lengths or indices are outside the extents.</exception>
    public static void Pick<T>(ReadOnlySpan<T> x, ReadOnlySpan<int> shape, int[][] maps, T fill, Span<T> y) where T : unmanaged
    {
        int rank = shape.Length;
        if (maps.Length != rank) throw new ArgumentException($"{maps.Length} maps for rank {rank}", nameof(maps));
        long inputs = 1, outputs = 1;
        for (int i = 0; i < rank; i++)
        {
            inputs *= shape[i];
            outputs *= maps[i].Length;
            foreach (int at in maps[i])
            {
                if (at < -1 || at >= shape[i]) throw new ArgumentException($"index {at} on axis {i} of extent {shape[i]}", nameof(maps));
            }
        }
        if (x.Length < inputs || y.Length < outputs) throw new ArgumentException($"x has {x.Length} of {inputs}, y {y.Length} of {outputs} elements");
        if (outputs == 0) return;
        if (rank == 0)
        {
            y[0] = x[0];
            return;
        }
        fixed (T* xp = x, yp = y) PickAxis(xp, shape, maps, 0, fill, yp, inside: true);
    }

    /// <summary>Fills one axis and returns how many elements were written.</summary>
    private static nint PickAxis<T>(T* x, ReadOnlySpan<int> shape, int[][] maps, int axis, T fill, T* y, bool inside) where T : unmanaged
    {
        int[] map = maps[axis];
        if (axis == shape.Length - 1)
        {
            if (!inside) new Span<T>(y, map.Length).Fill(fill);
            else
            {
                for (int i = 0; i < map.Length;)
                {
                    // Runs of consecutive indices are copied as a whole.
                    int start = i, first = map[i];
                    if (first < 0)
                    {
                        y[i++] = fill;
                        continue;
                    }
                    do i++; while (i < map.Length && map[i] == first + i - start);
                    new ReadOnlySpan<T>(x + first, i - start).CopyTo(new Span<T>(y + start, i - start));
                }
            }
            return map.Length;
        }
        nint inner = 1, written = 0;
        for (int i = axis + 1; i < shape.Length; i++) inner *= shape[i];
        foreach (int at in map) written += PickAxis(x + Math.Max(0, at) * inner, shape, maps, axis + 1, fill, y + written, inside && at >= 0);
        return written;
    }
}
