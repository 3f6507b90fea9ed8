using System.Buffers.Binary;
using System.Text;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.MxNet;

/// <summary>MXNet's list of named arrays (<c>.params</c>), every version of the array format.</summary>
/// <remarks>
/// <code>
/// file    u64 0x112 · u64 0 · u64 n · n arrays · u64 n · n × (u64 length, bytes)
/// array   0xF993FAC8: shape64                   │ first versions: u32 rank, u32 extents instead of a mark
///         0xF993FAC9: i32 storage, shape64      │ 0xF993FACA: the same, where rank 0 is a scalar and rank −1 is no array
///         then, unless there is no array: i32 device, i32 device number, i32 element type, elements
/// shape64 i32 rank, i64 extents
/// </code>
/// Names begin with <c>arg:</c> or <c>aux:</c>, or with neither; both prefixes are taken off. Sparse storage is refused.
/// </remarks>
internal static class MxNetParams
{
    private const ulong FileMark = 0x112;
    private const uint Version1 = 0xF993FAC8, Version2 = 0xF993FAC9, Version3 = 0xF993FACA;
    /// <summary>More axes than any array of MXNet has.</summary>
    internal const int MaxRank = 32;

    /// <summary>Reads a list; arrays that were saved empty are left out.</summary>
    /// <exception cref="ModelException">The bytes are no such list.</exception>
    public static Dictionary<string, Tensor> Read(byte[] file, string source)
    {
        var reader = new Reader(file, source);
        if (reader.UInt64() != FileMark) throw reader.Broken("it does not begin with MXNet's mark", "a list of arrays begins with the number 0x112");
        reader.UInt64();
        var arrays = new Tensor?[reader.Count(perItem: 4)];
        for (int i = 0; i < arrays.Length; i++) arrays[i] = ReadArray(reader, i);
        int names = reader.Count(perItem: 8);
        if (names != arrays.Length) throw reader.Broken($"it has {arrays.Length} arrays and {names} names", "every array has a name");
        var result = new Dictionary<string, Tensor>(StringComparer.Ordinal);
        foreach (Tensor? array in arrays)
        {
            string name = reader.Name();
            if (name.StartsWith("arg:", StringComparison.Ordinal) || name.StartsWith("aux:", StringComparison.Ordinal)) name = name[4..];
            if (array is not null && !result.TryAdd(name, array)) throw reader.Broken($"it has two arrays '{name}'", "names are unique");
        }
        return result;
    }

    private static Tensor? ReadArray(Reader reader, int index)
    {
        uint mark = reader.UInt32();
        int rank;
        bool wide = mark is Version1 or Version2 or Version3;
        if (mark is Version2 or Version3)
        {
            int storage = reader.Int32();
            // -1 is what MXNet calls an undefined storage, kept by arrays that hold nothing.
            if (storage is not (0 or -1)) throw new UnsupportedModelException($"{reader.Source}: array {index} has sparse storage {storage}; what works: dense arrays");
        }
        rank = wide ? reader.Int32() : (int)Math.Min(mark, int.MaxValue);
        if (rank < 0 || (rank == 0 && mark != Version3)) return null;
        if (rank > MaxRank) throw reader.Broken($"array {index} has {rank} axes", $"at most {MaxRank}, and a known version of the array format");
        var shape = new int[rank];
        for (int i = 0; i < rank; i++)
        {
            long extent = wide ? reader.Int64() : reader.UInt32();
            if (extent is < 0 or > int.MaxValue) throw reader.Broken($"array {index} has extent {extent} on axis {i}", $"extents are 0 to {int.MaxValue}");
            shape[i] = (int)extent;
        }
        reader.Int32();
        reader.Int32();
        int code = reader.Int32();
        DataType type = code switch
        {
            0 => DataType.Float32,
            1 => DataType.Float64,
            2 => DataType.Float16,
            3 => DataType.UInt8,
            4 => DataType.Int32,
            5 => DataType.Int8,
            6 => DataType.Int64,
            7 => DataType.Bool,
            8 => DataType.Int16,
            9 => DataType.UInt16,
            10 => DataType.UInt32,
            11 => DataType.UInt64,
            12 => DataType.BFloat16,
            _ => throw reader.Broken($"array {index} has element type {code}", "MXNet's element types are 0 (float32) to 12 (bfloat16)"),
        };
        int count;
        try
        {
            count = Tensor.CountElements(shape);
        }
        catch (ArgumentException e)
        {
            throw reader.Broken($"array {index}: {e.Message}", "an array fits one tensor");
        }
        return new Tensor(type, shape, reader.Bytes((long)count * type.Size(), $"array {index}"));
    }

    private sealed class Reader(byte[] file, string source)
    {
        private int _at;

        public string Source => source;

        public uint UInt32() => BinaryPrimitives.ReadUInt32LittleEndian(Take(4, "a number"));

        public int Int32() => BinaryPrimitives.ReadInt32LittleEndian(Take(4, "a number"));

        public long Int64() => BinaryPrimitives.ReadInt64LittleEndian(Take(8, "a number"));

        public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8, "a number"));

        /// <summary>A number of items that take at least <paramref name="perItem"/> bytes each.</summary>
        public int Count(int perItem)
        {
            ulong count = UInt64();
            return count <= (ulong)((file.Length - _at) / perItem) ? (int)count : throw Broken($"it lists {count} items in {file.Length - _at} bytes", "a file holds what it lists");
        }

        public byte[] Bytes(long count, string what) => Take(count, what).ToArray();

        public string Name()
        {
            ulong length = UInt64();
            if (length > (ulong)(file.Length - _at)) throw Broken($"a name has {length} bytes", "names lie in the file");
            return Encoding.UTF8.GetString(Take((long)length, "a name"));
        }

        public ModelException Broken(string what, string rule) => new($"{source}: {what}; rule: {rule}");

        private ReadOnlySpan<byte> Take(long count, string what)
        {
            if (count > file.Length - _at) throw Broken($"{what} needs {count} bytes at {_at} of {file.Length}", "the file is complete");
            ReadOnlySpan<byte> bytes = file.AsSpan(_at, (int)count);
            _at += (int)count;
            return bytes;
        }
    }
}
