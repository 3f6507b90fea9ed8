using System.Globalization;
using System.Runtime.InteropServices;
using CommunityToolkit.HighPerformance;

namespace Octet.Runtime.Tensors;

/// <summary>What a graph value holds at run time: a <see cref="Tensor"/> or a <see cref="TensorSequence"/>. An empty optional is null.</summary>
public abstract class RuntimeValue
{
    private protected RuntimeValue() { }
}

/// <summary>A list of tensors, ONNX's sequence type.</summary>
/// <param name="elementType">Type of every element; <see cref="DataType.Undefined"/> while nobody knows.</param>
/// <param name="items">The elements; not copied.</param>
public sealed class TensorSequence(DataType elementType, IReadOnlyList<Tensor> items) : RuntimeValue
{
    /// <summary>Type of every element.</summary>
    public DataType ElementType { get; } = elementType;

    /// <summary>The elements.</summary>
    public IReadOnlyList<Tensor> Items { get; } = items;
}

/// <summary>A dense array of elements in row-major order, with its element type and shape. Storable, unlike a span.</summary>
/// <remarks>The memory is the caller's: nothing is copied when a tensor wraps an array. Large weights of a model's file come into memory when they are first asked for.</remarks>
public sealed class Tensor : RuntimeValue
{
    private readonly Memory<byte> _bytes;
    private readonly FileBytes? _file;
    private readonly string[]? _strings;
    private readonly int[] _shape;

    /// <summary>Wraps <paramref name="bytes"/>, little-endian elements of <paramref name="type"/>.</summary>
    /// <exception cref="ArgumentException">The number of bytes is not that of the shape.</exception>
    public Tensor(DataType type, ReadOnlySpan<int> shape, Memory<byte> bytes)
    {
        if (type.Size() == 0) throw new ArgumentException($"{type.Name()} elements are not bytes", nameof(type));
        (Type, _shape, _bytes) = (type, shape.ToArray(), bytes);
        Length = CountElements(shape);
        if ((long)Length * type.Size() != bytes.Length)
            throw new ArgumentException($"{bytes.Length} bytes given for {type.Name()}{Format(shape)}; rule: element count × element size");
    }

    /// <summary>Elements that lie in a file.</summary>
    internal Tensor(DataType type, ReadOnlySpan<int> shape, FileBytes file)
    {
        (Type, _shape, _file) = (type, shape.ToArray(), file);
        Length = CountElements(shape);
        if ((long)Length * type.Size() != file.Length) throw new ArgumentException($"{file.Length} bytes given for {type.Name()}{Format(shape)}; rule: element count × element size");
    }

    /// <summary>Wraps text elements.</summary>
    /// <exception cref="ArgumentException">The number of elements is not that of the shape.</exception>
    public Tensor(string[] elements, ReadOnlySpan<int> shape)
    {
        ArgumentNullException.ThrowIfNull(elements);
        (Type, _shape, _strings) = (DataType.String, shape.ToArray(), elements);
        Length = CountElements(shape);
        if (Length != elements.Length) throw new ArgumentException($"{elements.Length} strings given for shape {Format(shape)}");
    }

    /// <summary>Allocates a zeroed tensor (empty strings for <see cref="DataType.String"/>).</summary>
    public Tensor(DataType type, ReadOnlySpan<int> shape)
    {
        (Type, _shape) = (type, shape.ToArray());
        Length = CountElements(shape);
        if (type == DataType.String)
        {
            _strings = new string[Length];
            Array.Fill(_strings, "");
        }
        else
        {
            if (type.Size() == 0) throw new ArgumentException($"no tensor has elements of type {type.Name()}", nameof(type));
            long bytes = (long)Length * type.Size();
            if (bytes > Array.MaxLength) throw new ArgumentException($"{type.Name()}{Format(shape)} needs {bytes} bytes; rule: at most {Array.MaxLength}");
            _bytes = new byte[bytes];
        }
    }

    /// <summary>Wraps an array without copying it.</summary>
    /// <exception cref="ArgumentException">The number of elements is not that of the shape, or the type is no tensor element.</exception>
    public static Tensor Create<T>(T[] elements, params ReadOnlySpan<int> shape) where T : unmanaged =>
        new(DataTypes.Of<T>(), shape, elements.AsMemory().AsBytes());

    /// <summary>A tensor of rank 0.</summary>
    public static Tensor Scalar<T>(T value) where T : unmanaged => Create([value], []);

    /// <summary>Element type.</summary>
    public DataType Type { get; }

    /// <summary>Extents, outermost first; empty for a scalar.</summary>
    public ReadOnlySpan<int> Shape => _shape;

    /// <summary>Number of axes.</summary>
    public int Rank => _shape.Length;

    /// <summary>Number of elements.</summary>
    public int Length { get; }

    /// <summary>The elements' bytes; empty for text.</summary>
    public Memory<byte> Bytes => _file is null ? _bytes : _file.Load();

    /// <summary>Number of bytes of the elements; 0 for text.</summary>
    internal int ByteLength => _file?.Length ?? _bytes.Length;

    /// <summary>The elements' bytes for a moment: those that lie in a file are not kept in memory.</summary>
    internal BorrowedBytes Borrow() => _file is null ? new(_bytes.Span, default) : _file.Borrow();

    /// <summary>The text elements.</summary>
    /// <exception cref="InvalidOperationException">The elements are not text.</exception>
    public Span<string> Strings => _strings ?? throw new InvalidOperationException($"the elements are {Type.Name()}, not string");

    /// <summary>The elements.</summary>
    /// <typeparam name="T">A type of the element's width; <see cref="bool"/> and <see cref="byte"/> are interchangeable.</typeparam>
    /// <exception cref="InvalidOperationException">An element is not as wide as <typeparamref name="T"/>.</exception>
    public Span<T> Span<T>() where T : unmanaged
    {
        if (!Type.IsStoredAs<T>()) throw new InvalidOperationException($"{Type.Name()} elements cannot be read as {typeof(T).Name}");
        return MemoryMarshal.Cast<byte, T>(Bytes.Span);
    }

    /// <summary>The same elements under another shape of the same element count; the memory is shared.</summary>
    /// <exception cref="ArgumentException">The element counts differ.</exception>
    public Tensor Reshape(params ReadOnlySpan<int> shape) => _strings is not null ? new Tensor(_strings, shape) : _file is not null ? new Tensor(Type, shape, _file) : new Tensor(Type, shape, _bytes);

    /// <summary>A copy with memory of its own.</summary>
    public Tensor Clone() => _strings is null ? new Tensor(Type, _shape, Bytes.ToArray()) : new Tensor([.. _strings], _shape);

    /// <summary>The elements as 64-bit integers, whichever integer or boolean type they have.</summary>
    /// <exception cref="InvalidOperationException">The elements are not integers.</exception>
    public long[] ToInt64Array()
    {
        var result = new long[Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = Type switch
            {
                DataType.Int64 => Span<long>()[i],
                DataType.Int32 => Span<int>()[i],
                DataType.Int16 => Span<short>()[i],
                DataType.UInt16 => Span<ushort>()[i],
                DataType.UInt32 => Span<uint>()[i],
                DataType.UInt64 => checked((long)Span<ulong>()[i]),
                DataType.Int8 or DataType.Int4 or DataType.Int2 => Span<sbyte>()[i],
                DataType.UInt8 or DataType.Bool or DataType.UInt4 or DataType.UInt2 => Span<byte>()[i],
                _ => throw new InvalidOperationException($"{Type.Name()} elements are not integers"),
            };
        }
        return result;
    }

    /// <summary>The elements as float32, whichever numeric type they have; 64-bit values are rounded.</summary>
    /// <exception cref="InvalidOperationException">The elements are not numbers.</exception>
    public float[] ToFloat32Array()
    {
        var result = new float[Length];
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = Type switch
            {
                DataType.Float32 => Span<float>()[i],
                DataType.Float64 => (float)Span<double>()[i],
                DataType.Float16 => (float)Span<Half>()[i],
                DataType.BFloat16 => BitConverter.UInt32BitsToSingle((uint)Span<ushort>()[i] << 16),
                DataType.UInt64 => Span<ulong>()[i],
                _ => ElementAsInt64(i),
            };
        }
        return result;
    }

    private float ElementAsInt64(int i) => Type switch
    {
        DataType.Int64 => Span<long>()[i],
        DataType.Int32 => Span<int>()[i],
        DataType.Int16 => Span<short>()[i],
        DataType.UInt16 => Span<ushort>()[i],
        DataType.UInt32 => Span<uint>()[i],
        DataType.Int8 or DataType.Int4 or DataType.Int2 => Span<sbyte>()[i],
        DataType.UInt8 or DataType.Bool or DataType.UInt4 or DataType.UInt2 => Span<byte>()[i],
        _ => throw new InvalidOperationException($"{Type.Name()} elements are not numbers"),
    };

    /// <summary>Element count of a shape.</summary>
    /// <exception cref="ArgumentException">An extent is negative or the count exceeds what one array holds.</exception>
    public static int CountElements(ReadOnlySpan<int> shape)
    {
        long count = 1;
        bool empty = false;
        foreach (int extent in shape)
        {
            if (extent < 0) throw new ArgumentException($"shape {Format(shape)} has a negative extent");
            if (extent == 0) { empty = true; continue; }
            count *= extent;
            if (count > Array.MaxLength) throw new ArgumentException($"shape {Format(shape)} has more than {Array.MaxLength} elements");
        }
        return empty ? 0 : (int)count;
    }

    /// <summary>A shape as text: <c>[1,3,224,224]</c>.</summary>
    public static string Format(ReadOnlySpan<int> shape)
    {
        var text = new System.Text.StringBuilder("[");
        for (int i = 0; i < shape.Length; i++)
        {
            if (i > 0) text.Append(',');
            text.Append(shape[i].ToString(CultureInfo.InvariantCulture));
        }
        return text.Append(']').ToString();
    }

    /// <inheritdoc/>
    public override string ToString() => Type.Name() + Format(_shape);
}
