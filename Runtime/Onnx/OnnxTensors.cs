using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Text;
using CommunityToolkit.HighPerformance;
using Google.Protobuf;
using Google.Protobuf.Collections;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Onnx;

/// <summary>TensorProto and SparseTensorProto ↔ <see cref="Tensor"/>. Every size is checked against the bytes that are there before memory is taken.</summary>
/// <param name="external">Where data outside the file may lie, or null where there is no such place.</param>
/// <param name="expansion">What forms shorter than their tensor may still grow to.</param>
/// <param name="large">Tensors whose raw data were left in the file.</param>
internal sealed class OnnxTensors(ExternalData? external, ExpansionBudget expansion, IReadOnlyDictionary<TensorProto, FileBytes>? large = null)
{
    /// <summary>More axes than any operator has; keeps shapes on the stack.</summary>
    internal const int MaxRank = 64;

    /// <summary>Element types that lie several to a byte in files: bits of one element, or 0.</summary>
    internal static int PackedBits(DataType type) => type switch
    {
        DataType.Int4 or DataType.UInt4 or DataType.Float4E2M1 => 4,
        DataType.Int2 or DataType.UInt2 => 2,
        _ => 0,
    };

    /// <summary>Bytes that <paramref name="count"/> elements take in raw form in a file.</summary>
    internal static long RawBytes(DataType type, long count) =>
        PackedBits(type) is > 0 and int bits ? (count * bits + 7) / 8 : count * type.Size();

    /// <summary>The element type with ONNX's number <paramref name="number"/>.</summary>
    /// <exception cref="ModelException">There is none.</exception>
    internal static DataType ElementType(int number, string what) =>
        number > 0 && number <= (int)DataType.Int2 ? (DataType)number
        : throw new ModelException($"{what} has element type {number}; rule: ONNX's element types are 1 (float32) to {(int)DataType.Int2} (int2)");

    /// <summary>Reads a dense tensor.</summary>
    /// <param name="proto">What the file says.</param>
    /// <param name="what">How messages call it, such as <c>initializer 'w'</c>.</param>
    /// <returns>A tensor that shares the file's memory where raw data has the form that Octet uses.</returns>
    /// <exception cref="ModelException">Type, shape and data do not fit each other.</exception>
    public Tensor Read(TensorProto proto, string what)
    {
        DataType type = ElementType(proto.DataType, what);
        int[] shape = Shape(proto.Dims, what);
        int count = Count(shape, type, what);
        if (proto.Segment is not null) throw new UnsupportedModelException($"{what} is stored in segments; what works: one tensor, whole, in the file or beside it");

        if (type == DataType.String)
        {
            if (proto.RawData.Length > 0 || large?.ContainsKey(proto) == true || proto.DataLocation == TensorProto.Types.DataLocation.External)
                throw new ModelException($"{what} has string elements in raw or external form; rule: strings are in string_data");
            if (proto.StringData.Count != count) throw WrongCount(what, type, shape, proto.StringData.Count, "strings");
            var strings = new string[count];
            for (int i = 0; i < count; i++) strings[i] = Text(proto.StringData[i], what);
            return new Tensor(strings, shape);
        }
        if (proto.DataLocation == TensorProto.Types.DataLocation.External)
        {
            if (external is null)
                throw new ModelException($"{what} has its data in another file; rule: such a model is loaded by path, so that its folder is known");
            return FromRaw(type, shape, count, external.Read(proto.ExternalData, RawBytes(type, count), what));
        }
        FileBytes? data = large?.GetValueOrDefault(proto);
        if (data is not null || proto.RawData.Length > 0)
        {
            int length = data?.Length ?? proto.RawData.Length;
            if (TypedCount(proto) > 0) throw new ModelException($"{what} has raw data and typed data; rule: one of them");
            if (length != RawBytes(type, count)) throw WrongCount(what, type, shape, length, "bytes of raw data");
            if (data is not null && PackedBits(type) == 0 && type != DataType.Bool) return new Tensor(type, shape, data);
            return FromRaw(type, shape, count, data is not null ? data.Load() : MemoryMarshal.AsMemory(proto.RawData.Memory));
        }
        return new Tensor(type, shape, FromTyped(proto, type, shape, count, what));
    }

    /// <summary>Reads a sparse tensor into a dense one; elements that are not listed are zero.</summary>
    /// <exception cref="ModelException">Values, indices and shape do not fit each other, or the dense form is out of proportion.</exception>
    public Tensor ReadSparse(SparseTensorProto proto, string what)
    {
        if (proto.Values is null || proto.Indices is null) throw new ModelException($"{what} lacks values or indices; rule: a sparse tensor has both");
        Tensor values = Read(proto.Values, $"the values of {what}");
        Tensor indices = Read(proto.Indices, $"the indices of {what}");
        int[] shape = Shape(proto.Dims, what);
        int count = Count(shape, values.Type, what);
        if (indices.Type != DataType.Int64 || values.Rank != 1)
            throw new ModelException($"{what} has values {values} and indices {indices}; rule: one axis of values, int64 indices");
        bool linear = indices.Rank == 1;
        if (!(linear ? indices.Shape[0] == values.Length : indices.Rank == 2 && indices.Shape[0] == values.Length && indices.Shape[1] == shape.Length))
            throw new ModelException($"{what} has values {values}, indices {indices} and rank {shape.Length}; rule: indices are [n] or [n, rank]");

        expansion.Take((long)count * Math.Max(1, values.Type.Size()), what);
        var dense = new Tensor(values.Type, shape);
        ReadOnlySpan<long> index = indices.Span<long>();
        int size = values.Type.Size();
        for (int i = 0; i < values.Length; i++)
        {
            long at = 0;
            if (linear) at = index[i];
            else
            {
                for (int axis = 0; axis < shape.Length; axis++)
                {
                    long coordinate = index[i * shape.Length + axis];
                    if (coordinate < 0 || coordinate >= shape[axis])
                        throw new ModelException($"{what} has coordinate {coordinate} on axis {axis} of extent {shape[axis]}; rule: indices lie inside the tensor");
                    at = at * shape[axis] + coordinate;
                }
            }
            if (at < 0 || at >= count) throw new ModelException($"{what} has index {at} in {count} elements; rule: indices lie inside the tensor");
            if (values.Type == DataType.String) dense.Strings[(int)at] = values.Strings[i];
            else values.Bytes.Span.Slice(i * size, size).CopyTo(dense.Bytes.Span[((int)at * size)..]);
        }
        return dense;
    }

    /// <summary>Writes a tensor: raw data that shares the tensor's memory, packed types packed, strings as UTF-8.</summary>
    public static TensorProto Write(Tensor tensor, string name)
    {
        var proto = new TensorProto { Name = name, DataType = (int)tensor.Type };
        foreach (int extent in tensor.Shape) proto.Dims.Add(extent);
        if (tensor.Type == DataType.String)
        {
            foreach (string element in tensor.Strings) proto.StringData.Add(ByteString.CopyFromUtf8(element));
        }
        else
        {
            proto.RawData = PackedBits(tensor.Type) is > 0 and int bits
                ? UnsafeByteOperations.UnsafeWrap(Pack(tensor.Bytes.Span, bits))
                : UnsafeByteOperations.UnsafeWrap(tensor.Bytes);
        }
        return proto;
    }

    /// <summary>UTF-8 bytes as text.</summary>
    /// <exception cref="ModelException">The bytes are not UTF-8.</exception>
    internal static string Text(ByteString bytes, string what)
    {
        try
        {
            return StrictUtf8.GetString(bytes.Span);
        }
        catch (DecoderFallbackException)
        {
            throw new ModelException($"{what} has text that is not UTF-8; rule: text is UTF-8");
        }
    }

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    /// <summary>A shape as the file gives it, within what a tensor may have.</summary>
    private static int[] Shape(RepeatedField<long> dims, string what)
    {
        if (dims.Count > MaxRank) throw new ModelException($"{what} has {dims.Count} axes; rule: at most {MaxRank}");
        var shape = new int[dims.Count];
        for (int i = 0; i < shape.Length; i++)
        {
            if (dims[i] is < 0 or > int.MaxValue) throw new ModelException($"{what} has extent {dims[i]} on axis {i}; rule: extents are 0 to {int.MaxValue}");
            shape[i] = (int)dims[i];
        }
        return shape;
    }

    private static int Count(int[] shape, DataType type, string what)
    {
        try
        {
            int count = Tensor.CountElements(shape);
            if ((long)count * Math.Max(1, type.Size()) <= Array.MaxLength) return count;
        }
        catch (ArgumentException)
        {
        }
        throw new ModelException($"{what} is {type.Name()}{Tensor.Format(shape)}; rule: a tensor has at most {Array.MaxLength} elements and bytes");
    }

    private static Tensor FromRaw(DataType type, int[] shape, int count, Memory<byte> raw)
    {
        if (PackedBits(type) is > 0 and int bits)
        {
            return new Tensor(type, shape, Unpack(raw.Span, count, bits, type is DataType.Int4 or DataType.Int2));
        }
        if (type == DataType.Bool && raw.Span.ContainsAnyExceptInRange((byte)0, (byte)1))
        {
            byte[] normal = raw.ToArray();
            foreach (ref byte element in normal.AsSpan()) element = element == 0 ? (byte)0 : (byte)1;
            raw = normal;
        }
        return new Tensor(type, shape, raw);
    }

    private static Memory<byte> FromTyped(TensorProto proto, DataType type, int[] shape, int count, string what)
    {
        int present = TypedCount(proto);
        switch (type)
        {
            case DataType.Float32 or DataType.Complex64:
                Expect(proto.FloatData.Count, type == DataType.Complex64 ? 2L * count : count, "numbers in float_data");
                return Copy<float>(proto.FloatData);
            case DataType.Float64 or DataType.Complex128:
                Expect(proto.DoubleData.Count, type == DataType.Complex128 ? 2L * count : count, "numbers in double_data");
                return Copy<double>(proto.DoubleData);
            case DataType.Int64:
                Expect(proto.Int64Data.Count, count, "numbers in int64_data");
                return Copy<long>(proto.Int64Data);
            case DataType.UInt64:
                Expect(proto.Uint64Data.Count, count, "numbers in uint64_data");
                return Copy<ulong>(proto.Uint64Data);
            case DataType.UInt32:
                {
                    Expect(proto.Uint64Data.Count, count, "numbers in uint64_data");
                    var result = new byte[4 * count];
                    for (int i = 0; i < count; i++)
                    {
                        ulong element = proto.Uint64Data[i];
                        if (element > uint.MaxValue) throw OutOfRange(element.ToString(System.Globalization.CultureInfo.InvariantCulture), i);
                        BinaryPrimitives.WriteUInt32LittleEndian(result.AsSpan(4 * i), (uint)element);
                    }
                    return result;
                }
            case DataType.Int32:
                Expect(proto.Int32Data.Count, count, "numbers in int32_data");
                return Copy<int>(proto.Int32Data);
        }

        // Everything narrower travels in int32_data; 16-bit floats as bit patterns, which some writers sign-extend.
        (int low, int high) = type switch
        {
            DataType.Int16 => (short.MinValue, short.MaxValue),
            DataType.UInt16 => (0, ushort.MaxValue),
            DataType.Float16 or DataType.BFloat16 => (short.MinValue, ushort.MaxValue),
            DataType.Int8 => (sbyte.MinValue, sbyte.MaxValue),
            DataType.Bool => (int.MinValue, int.MaxValue),
            DataType.UInt8 => (0, byte.MaxValue),
            _ => (sbyte.MinValue, byte.MaxValue),
        };
        int bits = PackedBits(type);
        long stored = bits > 0 ? RawBytes(type, count) : count;
        Expect(proto.Int32Data.Count, stored, "numbers in int32_data");
        int size = type.Size();
        var bytes = new byte[stored * size];
        for (int i = 0; i < stored; i++)
        {
            int element = proto.Int32Data[i];
            if (element < low || element > high) throw OutOfRange(element.ToString(System.Globalization.CultureInfo.InvariantCulture), i);
            if (type == DataType.Bool) bytes[i] = element != 0 ? (byte)1 : (byte)0;
            else if (size == 1) bytes[i] = (byte)element;
            else BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * i), (ushort)element);
        }
        return bits > 0 ? Unpack(bytes, count, bits, type is DataType.Int4 or DataType.Int2) : bytes;

        void Expect(int found, long wanted, string unit)
        {
            if (found != wanted || found != present) throw WrongCount(what, type, shape, found == wanted ? present : found, found == wanted ? "typed numbers in all lists" : unit);
        }

        ModelException OutOfRange(string element, int index) =>
            new($"{what} is {type.Name()} and has {element} at {index}; rule: elements fit their type");
    }

    private static Memory<byte> Copy<T>(RepeatedField<T> data) where T : unmanaged
    {
        var elements = new T[data.Count];
        data.CopyTo(elements, 0);
        return elements.AsMemory().AsBytes();
    }

    private static int TypedCount(TensorProto proto) =>
        proto.FloatData.Count + proto.Int32Data.Count + proto.Int64Data.Count + proto.DoubleData.Count + proto.Uint64Data.Count + proto.StringData.Count;

    /// <summary>Spreads elements of <paramref name="bits"/> bits, the first in the lowest bits of a byte, to one per byte.</summary>
    internal static byte[] Unpack(ReadOnlySpan<byte> packed, int count, int bits, bool signed)
    {
        var result = new byte[count];
        int perByte = 8 / bits, mask = (1 << bits) - 1, shift = 32 - bits;
        for (int i = 0; i < count; i++)
        {
            int element = packed[i / perByte] >> (i % perByte * bits) & mask;
            result[i] = (byte)(signed ? element << shift >> shift : element);
        }
        return result;
    }

    /// <summary>The inverse of <see cref="Unpack"/>.</summary>
    internal static byte[] Pack(ReadOnlySpan<byte> elements, int bits)
    {
        int perByte = 8 / bits, mask = (1 << bits) - 1;
        var result = new byte[(elements.Length + perByte - 1) / perByte];
        for (int i = 0; i < elements.Length; i++) result[i / perByte] |= (byte)((elements[i] & mask) << (i % perByte * bits));
        return result;
    }

    private static ModelException WrongCount(string what, DataType type, int[] shape, long found, string unit) =>
        new($"{what} is {type.Name()}{Tensor.Format(shape)} and has {found} {unit}; rule: the data are exactly the elements of the shape");
}

/// <summary>
/// Bounds the memory that a file can ask for beyond its own size, through sparse tensors and functions: <see cref="Free"/> bytes plus
/// <see cref="Factor"/> times the file's size.
/// </summary>
internal sealed class ExpansionBudget(long fileBytes)
{
    /// <summary>Allowed however small the file is.</summary>
    internal const long Free = 64L << 20;

    /// <summary>Allowed per byte of the file.</summary>
    internal const long Factor = 64;

    private long _left = Free + Factor * fileBytes;

    /// <summary>Takes <paramref name="bytes"/> from the budget.</summary>
    /// <exception cref="ModelException">Not so much is left.</exception>
    public void Take(long bytes, string what)
    {
        if (bytes > _left)
            throw new ModelException($"{what} would take {bytes} bytes more than the file stores for it; rule: a file of {fileBytes} bytes expands to at most {Free + Factor * fileBytes}");
        _left -= Math.Max(0, bytes);
    }
}
