using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Runs emitted functions in the interpreter and compares every byte that they may write with the definition.</summary>
/// <remarks>Every array is exactly as long as the kernel's contract says, so one byte too far is a fault. The answer is the first difference in words, or null.</remarks>
internal static class EmittedBehaviour
{
    /// <summary>Contents of the operands.</summary>
    public enum Data
    {
        Random,
        LargestProducts,
        SmallestProducts,
        SumsWrapAround,
    }

    private const byte Untouched = 0xA7;

    /// <summary>Sections and groups of a tile's depth: none, less than, exactly and more than the unrolled part, more than one section.</summary>
    private static readonly (int Taps, int Groups)[] Depths = [(0, 0), (1, 0), (1, 1), (1, 3), (1, 4), (1, 9), (3, 1), (2, 4), (2, 6)];

    /// <summary>Every check of a tile function.</summary>
    public static string? CheckTile(byte[] code, QGemmKernel kernel, int rows, bool windows)
    {
        foreach ((int taps, int groups) in Depths)
        {
            foreach (Data data in Enum.GetValues<Data>())
            {
                if (Catch(() => Tile(code, kernel, rows, taps, groups, data, windows)) is { } wrong) return $"{taps} sections of {groups} groups, {data}: {wrong}";
            }
        }
        return null;
    }

    /// <summary>Every check of a depthwise function.</summary>
    /// <param name="code">The function.</param>
    /// <param name="kernel">Its row of the table.</param>
    /// <param name="slide">0 for any window, else how many columns the 3×3 windows are apart.</param>
    /// <param name="windows">The calling convention.</param>
    public static string? CheckDepthwise(byte[] code, QDepthwiseKernel kernel, int slide, bool windows)
    {
        foreach (int pixels in new[] { 0, 1, 2, 3, 4, 7 })
        {
            foreach (int channels in new[] { 1, 15, 16, 17, 33, 63, 64 })
            {
                foreach (int groups in slide == 0 ? new[] { 1, 3 } : [3])
                {
                    foreach (bool requantizes in slide == 0 ? new[] { true, false } : [true])
                    {
                        Data data = (Data)((pixels + channels + groups) % 4);
                        if (Catch(() => Depthwise(code, kernel, slide, pixels, channels, groups, requantizes, data, windows)) is { } wrong)
                            return $"{pixels} pixels, {channels} channels, {groups} groups, {(requantizes ? "bytes" : "sums")}, {data}: {wrong}";
                    }
                }
            }
        }
        return null;
    }

    private static string? Catch(Func<string?> check)
    {
        try
        {
            return check();
        }
        catch (MachineFaultException fault)
        {
            return fault.Message;
        }
    }

    private static string? Tile(byte[] code, QGemmKernel kernel, int rows, int taps, int groups, Data data, bool windows)
    {
        int nr = kernel.Nr, section = groups * kernel.Kr, k = taps * section;
        var random = new Random(rows * 1009 + taps * 31 + groups);
        byte[] a = random.Bytes(rows * k);
        sbyte[] b = random.SBytes(k * nr);
        int[] init = random.Ints(nr, -1_000_000, 1_000_000);
        Fill(data, a, b, init);

        var machine = new Machine(seed: rows + taps);
        // A row per section of its own: [row][tap][section], table [tap][Mr].
        var table = new byte[taps == 0 ? 0 : ((taps - 1) * kernel.Mr + rows) * sizeof(ulong)];
        for (int tap = 0; tap < taps; tap++)
        {
            for (int row = 0; row < rows; row++)
            {
                ulong address = machine.Memory.Map(Invariant($"row {row} of section {tap}"), a.AsSpan(row * k + tap * section, section).ToArray(), misalignment: (row + tap) % 7);
                BinaryPrimitives.WriteUInt64LittleEndian(table.AsSpan((tap * kernel.Mr + row) * sizeof(ulong)), address);
            }
        }
        var packed = new byte[k * nr];
        for (int depth = 0; depth < k; depth++)
            for (int n = 0; n < nr; n++) packed[depth / kernel.Kr * nr * kernel.Kr + n * kernel.Kr + depth % kernel.Kr] = (byte)b[depth * nr + n];
        var c = new byte[rows * nr * sizeof(int)];
        Array.Fill(c, Untouched);

        var tile = new byte[Marshal.SizeOf<QGemmTile>()];
        Set<QGemmTile>(tile, nameof(QGemmTile.Rows), machine.Memory.Map("the table of rows", table));
        Set<QGemmTile>(tile, nameof(QGemmTile.Taps), (ulong)taps);
        Set<QGemmTile>(tile, nameof(QGemmTile.Groups), (ulong)groups);
        Set<QGemmTile>(tile, nameof(QGemmTile.B), machine.Memory.Map("b", packed));
        Set<QGemmTile>(tile, nameof(QGemmTile.Init), machine.Memory.Map("init", MemoryMarshal.AsBytes(init.AsSpan()).ToArray(), misalignment: 4));
        Set<QGemmTile>(tile, nameof(QGemmTile.C), machine.Memory.Map("c", c, writable: true, misalignment: 8));
        Set<QGemmTile>(tile, nameof(QGemmTile.RowCount), (ulong)rows);
        machine.Call(code, machine.Memory.Map("the arguments", tile), windows);

        int[] expected = QGemmReference.Multiply([.. a.Select(value => (int)value)], 0, [.. b.Select(value => (int)value)], [], rows, nr, k);
        Span<int> actual = MemoryMarshal.Cast<byte, int>(c.AsSpan());
        for (int i = 0; i < expected.Length; i++)
        {
            int right = unchecked(expected[i] + init[i % nr]);
            if (actual[i] != right) return Invariant($"c[{i / nr},{i % nr}] is {actual[i]}, not {right}");
        }
        return null;
    }

    private static string? Depthwise(byte[] code, QDepthwiseKernel kernel, int slide, int pixels, int channels, int groups, bool requantizes, Data data, bool windows)
    {
        int block = kernel.Block, group = kernel.Group, slots = groups * group;
        var random = new Random(pixels * 1009 + channels * 31 + groups);
        sbyte[] weights = random.SBytes(slots * block);   // packed: [group][position][tap in group]
        int[] init = random.Ints(block, -20_000, 20_000);

        // Addresses of the taps: an array each, or for sliding windows three lines with a column every `column` bytes.
        int column = block + 3, step = slide == 0 ? 5 : slide * column, columns = (Math.Max(1, pixels) - 1) * slide + 3;
        int lineBytes = slide == 0 ? (Math.Max(1, pixels) - 1) * step + block : (columns - 1) * column + block;
        byte[][] lines = Enumerable.Range(0, slide == 0 ? slots : 3).Select(_ => random.Bytes(lineBytes)).ToArray();
        foreach (byte[] line in lines) Fill(data, line, [], []);
        Fill(data, [], weights, init);
        var machine = new Machine(seed: pixels + channels);
        ulong[] addresses = lines.Select((line, index) => machine.Memory.Map(Invariant($"line {index}"), line, misalignment: index % 5)).ToArray();
        var taps = new byte[slots * sizeof(ulong)];
        (int Line, int Start)[] tapAt = new (int, int)[slots];
        for (int slot = 0; slot < slots; slot++)
        {
            bool unused = slide != 0 && slot % group == 3;   // a group is a column of three rows
            tapAt[slot] = slide == 0 ? (slot, 0) : unused ? (0, 0) : (slot % group, slot / group * column);
            if (unused)
                for (int position = 0; position < block; position++) weights[(slot / group * block + position) * group + slot % group] = 0;
            BinaryPrimitives.WriteUInt64LittleEndian(taps.AsSpan(slot * sizeof(ulong)), addresses[tapAt[slot].Line] + (ulong)tapAt[slot].Start);
        }

        float[] multipliers = Enumerable.Range(0, block).Select(c => (c % 9 == 8 ? 1e26f : 0.0003f) * (1 + c % 5)).ToArray();
        int zeroPoint = random.Next(256), low = random.Next(0, 100), high = random.Next(low, 256);
        var epilogue = QEpilogue.ToUInt8(block, [], multipliers, zeroPoint, low, high);
        int element = requantizes ? 1 : sizeof(int), yStride = channels * element + 3;
        var y = new byte[pixels == 0 ? 0 : (pixels - 1) * yStride + channels * element];
        Array.Fill(y, Untouched);

        float[] positioned = new float[block];
        for (int c = 0; c < block; c++) positioned[kernel.Position(c)] = multipliers[c];
        var run = new byte[Marshal.SizeOf<QDepthwiseRun>()];
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Taps), machine.Memory.Map("the addresses of the taps", taps));
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Groups), (ulong)groups);
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Step), (ulong)step);
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Pixels), (ulong)pixels);
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Weights), machine.Memory.Map("weights", MemoryMarshal.AsBytes(weights.AsSpan()).ToArray()));
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Init), machine.Memory.Map("init", MemoryMarshal.AsBytes(init.AsSpan()).ToArray()));
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Multipliers), requantizes ? machine.Memory.Map("multipliers", MemoryMarshal.AsBytes(positioned.AsSpan()).ToArray()) : 0);
        BinaryPrimitives.WriteSingleLittleEndian(run.AsSpan(Offset<QDepthwiseRun>(nameof(QDepthwiseRun.Low))), low - zeroPoint);
        BinaryPrimitives.WriteSingleLittleEndian(run.AsSpan(Offset<QDepthwiseRun>(nameof(QDepthwiseRun.High))), high - zeroPoint);
        BinaryPrimitives.WriteInt32LittleEndian(run.AsSpan(Offset<QDepthwiseRun>(nameof(QDepthwiseRun.ZeroPoint))), zeroPoint);
        BinaryPrimitives.WriteInt32LittleEndian(run.AsSpan(Offset<QDepthwiseRun>(nameof(QDepthwiseRun.Channels))), channels);
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.Y), machine.Memory.Map("y", y, writable: true));
        Set<QDepthwiseRun>(run, nameof(QDepthwiseRun.YStride), (ulong)yStride);
        machine.Call(code, machine.Memory.Map("the arguments", run), windows);

        var expected = new byte[y.Length];
        Array.Fill(expected, Untouched);
        for (int pixel = 0; pixel < pixels; pixel++)
        {
            for (int c = 0; c < channels; c++)
            {
                int position = kernel.Position(c), sum = init[position];
                for (int slot = 0; slot < slots; slot++)
                    sum = unchecked(sum + lines[tapAt[slot].Line][tapAt[slot].Start + pixel * step + c] * weights[(slot / group * block + position) * group + slot % group]);
                if (requantizes) expected[pixel * yStride + c] = RequantizeReference.ToUInt8(epilogue, sum, c, 0);
                else BinaryPrimitives.WriteInt32LittleEndian(expected.AsSpan(pixel * yStride + c * sizeof(int)), sum);
            }
        }
        int first = y.AsSpan().CommonPrefixLength(expected);
        return first == y.Length ? null : Invariant($"byte {first} of y is {y[first]}, not {expected[first]}");
    }

    private static void Fill(Data data, byte[] a, sbyte[] b, int[] init)
    {
        switch (data)
        {
            case Data.LargestProducts:
                Array.Fill(a, byte.MaxValue);
                Array.Fill(b, sbyte.MaxValue);
                break;
            case Data.SmallestProducts:
                Array.Fill(a, byte.MaxValue);
                Array.Fill(b, sbyte.MinValue);
                break;
            case Data.SumsWrapAround:
                for (int n = 0; n < init.Length; n++) init[n] = n % 2 == 0 ? int.MaxValue - n : int.MinValue + n;
                break;
        }
    }

    private static int Offset<T>(string field) => (int)Marshal.OffsetOf<T>(field);

    private static void Set<T>(byte[] at, string field, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(at.AsSpan(Offset<T>(field)), value);

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
