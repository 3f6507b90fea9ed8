using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Smallest and largest number of a quantized type.</summary>
/// <param name="Low">Smallest.</param>
/// <param name="High">Largest.</param>
internal readonly record struct QuantizedRange(int Low, int High)
{
    /// <summary>The element types that a linear quantization produces, bias accumulators excluded.</summary>
    public static readonly DataType[] Quantized =
    [
        DataType.UInt8, DataType.Int8, DataType.UInt16, DataType.Int16, DataType.UInt4, DataType.Int4, DataType.UInt2, DataType.Int2,
    ];

    /// <summary>The range of <paramref name="type"/>.</summary>
    /// <exception cref="ArgumentException">The type is no quantized type.</exception>
    public static QuantizedRange Of(DataType type) => type switch
    {
        DataType.UInt8 => new(0, 255),
        DataType.Int8 => new(-128, 127),
        DataType.UInt16 => new(0, 65535),
        DataType.Int16 => new(-32768, 32767),
        DataType.UInt4 => new(0, 15),
        DataType.Int4 => new(-8, 7),
        DataType.UInt2 => new(0, 3),
        DataType.Int2 => new(-2, 1),
        _ => throw new ArgumentException($"{type.Name()} is no quantized type", nameof(type)),
    };
}

/// <summary>Which scale belongs to which element of a quantized tensor.</summary>
/// <remarks>
/// A tensor is seen as <c>[Outer, Extent, Inner]</c> around the quantization axis. Element (o, a, i) has scale
/// <code>
///   per tensor   0
///   per axis     a
///   blocked      (o · Blocks + a / Block) · Inner + i      Blocks = ⌈Extent / Block⌉
/// </code>
/// </remarks>
/// <param name="Outer">Product of the extents in front of the axis.</param>
/// <param name="Extent">Extent of the axis.</param>
/// <param name="Inner">Product of the extents behind the axis.</param>
/// <param name="Block">Elements of the axis that share a scale: 0 for per axis; ignored for per tensor.</param>
/// <param name="PerTensor">One scale for all.</param>
internal readonly record struct QuantizationGrid(int Outer, int Extent, int Inner, int Block, bool PerTensor)
{
    /// <summary>Reads how <paramref name="c"/>'s node (QuantizeLinear or DequantizeLinear) maps scales to elements.</summary>
    /// <exception cref="ModelException">Scale and data do not fit.</exception>
    public static QuantizationGrid Read(NodeContext c, int[] x, int[] scale)
    {
        int count = Tensor.CountElements(x), block = checked((int)c.Attributes.Int("block_size"));
        if (block < 0) throw c.Error($"block_size is {block}", "block_size ≥ 0");
        if (block == 0)
        {
            if (scale.Length == 0 || scale is [1]) return new(1, count, 1, 0, true);
            if (scale.Length != 1) throw c.Error($"the scale has shape {Tensor.Format(scale)}", "without block_size a scale is a scalar or has one axis");
        }
        int axis = c.Axis(c.Attributes.Int("axis", 1), x.Length);
        int outer = 1, inner = 1;
        for (int i = 0; i < axis; i++) outer *= x[i];
        for (int i = axis + 1; i < x.Length; i++) inner *= x[i];
        if (block == 0)
        {
            if (scale[0] != x[axis]) throw c.Error($"{scale[0]} scales for extent {x[axis]} of axis {axis}", "scale.shape[0] = x.shape[axis]");
            return new(outer, x[axis], inner, 0, false);
        }
        int blocks = (x[axis] + block - 1) / block;
        bool fits = scale.Length == x.Length;
        for (int i = 0; fits && i < x.Length; i++) fits = scale[i] == (i == axis ? blocks : x[i]);
        if (!fits) throw c.Error($"the scale has shape {Tensor.Format(scale)} for data {Tensor.Format(x)}", $"the scale has the data's shape with ⌈{x[axis]} / {block}⌉ = {blocks} along axis {axis}");
        return new(outer, x[axis], inner, block, false);
    }

    /// <summary>The scale of the first element of run (<paramref name="outer"/>, <paramref name="position"/>); a run is Inner elements.</summary>
    public int ScaleOfRun(int outer, int position) =>
        PerTensor ? 0 : Block == 0 ? position : (outer * ((Extent + Block - 1) / Block) + position / Block) * Inner;
}
