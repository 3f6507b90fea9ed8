using System.Runtime.InteropServices;
using Octet.Kernels.Threading;

namespace Octet.Tests.Kernels;

/// <summary>Reproducible data and thread pools for the integer kernel tests.</summary>
internal static class IntegerData
{
    /// <summary>More helpers than most test machines have cores, so that pieces really move between threads.</summary>
    private static readonly WorkerPool Pool = new(3);

    public static Parallelism Threads(int threads) => threads == 1 ? Parallelism.None : new Parallelism(Pool, threads);

    public static byte[] Bytes(this Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    public static sbyte[] SBytes(this Random random, int length) => MemoryMarshal.Cast<byte, sbyte>(random.Bytes(length)).ToArray();

    public static int[] Ints(this Random random, int length, int low, int high) =>
        Enumerable.Range(0, length).Select(_ => random.Next(low, high)).ToArray();

    public static int[] Widen(ReadOnlySpan<byte> values)
    {
        var wide = new int[values.Length];
        for (int i = 0; i < wide.Length; i++) wide[i] = values[i];
        return wide;
    }

    public static int[] Widen(ReadOnlySpan<sbyte> values)
    {
        var wide = new int[values.Length];
        for (int i = 0; i < wide.Length; i++) wide[i] = values[i];
        return wide;
    }

    /// <summary>The transpose of a <c>[rows, columns]</c> matrix.</summary>
    public static T[] Transpose<T>(T[] matrix, int rows, int columns)
    {
        var result = new T[matrix.Length];
        for (int r = 0; r < rows; r++)
            for (int c = 0; c < columns; c++) result[c * rows + r] = matrix[r * columns + c];
        return result;
    }
}
