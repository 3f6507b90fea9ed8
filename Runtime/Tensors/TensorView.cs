using System.Runtime.InteropServices;

namespace Octet.Runtime.Tensors;

/// <summary>A tensor seen while its memory is alive, without owning it: what hooks and collectors receive.</summary>
public readonly ref struct TensorView
{
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly int[]? _permutation;

    /// <summary>Views elements in row-major order of <paramref name="shape"/>.</summary>
    public TensorView(DataType type, ReadOnlySpan<int> shape, ReadOnlySpan<byte> bytes)
    {
        Type = type;
        Shape = shape;
        _bytes = bytes;
    }

    internal TensorView(DataType type, ReadOnlySpan<int> shape, ReadOnlySpan<byte> bytes, int[]? permutation) : this(type, shape, bytes)
    {
        _permutation = permutation;
    }

    /// <summary>Views a whole tensor.</summary>
    public TensorView(Tensor tensor) : this(tensor.Type, tensor.Shape, tensor.Bytes.Span) { }

    /// <summary>Element type.</summary>
    public DataType Type { get; }

    /// <summary>Extents as the model means them.</summary>
    public ReadOnlySpan<int> Shape { get; }

    /// <summary>Number of elements.</summary>
    public int Length => Type.Size() == 0 ? 0 : _bytes.Length / Type.Size();

    /// <summary>
    /// Whether the elements lie in row-major order of <see cref="Shape"/>. A plan keeps images channels-last; statistics over all
    /// elements need no order, and <see cref="ToTensor"/> restores it.
    /// </summary>
    public bool IsRowMajor => _permutation is null;

    /// <summary>All elements, in memory order (see <see cref="IsRowMajor"/>).</summary>
    /// <exception cref="InvalidOperationException">An element is not as wide as <typeparamref name="T"/>.</exception>
    public ReadOnlySpan<T> Elements<T>() where T : unmanaged
    {
        if (!Type.IsStoredAs<T>()) throw new InvalidOperationException($"{Type.Name()} elements cannot be read as {typeof(T).Name}");
        return MemoryMarshal.Cast<byte, T>(_bytes);
    }

    /// <summary>A copy in row-major order that outlives the view.</summary>
    public Tensor ToTensor()
    {
        var result = new Tensor(Type, Shape);
        if (_permutation is null)
        {
            _bytes.CopyTo(result.Bytes.Span);
            return result;
        }

        // Memory axis i holds logical axis _permutation[i].
        int rank = Shape.Length, size = Type.Size();
        Span<int> memoryStride = stackalloc int[rank];
        int stride = size;
        for (int i = rank - 1; i >= 0; i--)
        {
            memoryStride[_permutation[i]] = stride;
            stride *= Shape[_permutation[i]];
        }
        Span<int> index = stackalloc int[rank];
        Span<byte> target = result.Bytes.Span;
        for (int to = 0; to < target.Length; to += size)
        {
            int from = 0;
            for (int i = 0; i < rank; i++) from += index[i] * memoryStride[i];
            _bytes.Slice(from, size).CopyTo(target[to..]);
            for (int i = rank - 1; i >= 0 && ++index[i] == Shape[i]; i--) index[i] = 0;
        }
        return result;
    }
}
