using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Something to do with a number type that is known only when a plan is made.</summary>
internal interface INumberVisitor<out TResult>
{
    /// <summary>Does it for elements of type <typeparamref name="T"/>.</summary>
    TResult Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>;
}

/// <summary>Something to do with a floating-point type that is known only when a plan is made.</summary>
internal interface IRealVisitor<out TResult>
{
    /// <summary>Does it for elements of type <typeparamref name="T"/>.</summary>
    TResult Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T>;
}

/// <summary>Something to do with an integer type that is known only when a plan is made.</summary>
internal interface IIntegerVisitor<out TResult>
{
    /// <summary>Does it for elements of type <typeparamref name="T"/>.</summary>
    TResult Visit<T>() where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T>;
}

/// <summary>Something to do with elements that are only moved, by their width.</summary>
internal interface IWidthVisitor<out TResult>
{
    /// <summary>Does it for elements as wide as <typeparamref name="T"/>.</summary>
    TResult Visit<T>() where T : unmanaged, IEquatable<T>;
}

/// <summary>From an element type to the C# type that computes with it. Plans are made with it; runs are not.</summary>
internal static class ElementTypes
{
    /// <summary>The types that <see cref="Number"/> knows.</summary>
    public static ReadOnlySpan<DataType> Numbers =>
    [
        DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16, DataType.Int8, DataType.Int16, DataType.Int32, DataType.Int64,
        DataType.UInt8, DataType.UInt16, DataType.UInt32, DataType.UInt64,
    ];

    /// <summary>Floating-point types.</summary>
    public static ReadOnlySpan<DataType> Reals => [DataType.Float32, DataType.Float64, DataType.Float16, DataType.BFloat16];

    /// <summary>Integer types of whole bytes.</summary>
    public static ReadOnlySpan<DataType> Integers =>
        [DataType.Int8, DataType.Int16, DataType.Int32, DataType.Int64, DataType.UInt8, DataType.UInt16, DataType.UInt32, DataType.UInt64];

    /// <summary>Types of indices.</summary>
    public static ReadOnlySpan<DataType> Indices => [DataType.Int32, DataType.Int64];

    /// <summary>Calls <paramref name="visitor"/> with the C# type of <paramref name="type"/>.</summary>
    /// <exception cref="UnsupportedModelException">The type is not one to compute with.</exception>
    public static TResult Number<TResult>(NodeContext c, DataType type, INumberVisitor<TResult> visitor) => type switch
    {
        DataType.Float32 => visitor.Visit<float>(),
        DataType.Float64 => visitor.Visit<double>(),
        DataType.Float16 => visitor.Visit<Half>(),
        DataType.Int8 => visitor.Visit<sbyte>(),
        DataType.Int16 => visitor.Visit<short>(),
        DataType.Int32 => visitor.Visit<int>(),
        DataType.Int64 => visitor.Visit<long>(),
        DataType.UInt8 => visitor.Visit<byte>(),
        DataType.UInt16 => visitor.Visit<ushort>(),
        DataType.UInt32 => visitor.Visit<uint>(),
        DataType.UInt64 => visitor.Visit<ulong>(),
        _ => throw c.Unsupported($"it cannot compute with {type.Name()} elements", "float32, float64, float16 or an integer type of whole bytes"),
    };

    /// <summary>Calls <paramref name="visitor"/> with the C# type of <paramref name="type"/>.</summary>
    /// <exception cref="UnsupportedModelException">The type is no floating-point type to compute with.</exception>
    public static TResult Real<TResult>(NodeContext c, DataType type, IRealVisitor<TResult> visitor) => type switch
    {
        DataType.Float32 => visitor.Visit<float>(),
        DataType.Float64 => visitor.Visit<double>(),
        DataType.Float16 => visitor.Visit<Half>(),
        _ => throw c.Unsupported($"it cannot compute with {type.Name()} elements", "float32, float64 or float16"),
    };

    /// <summary>Calls <paramref name="visitor"/> with the C# type of <paramref name="type"/>.</summary>
    /// <exception cref="UnsupportedModelException">The type is no integer type of whole bytes.</exception>
    public static TResult Integer<TResult>(NodeContext c, DataType type, IIntegerVisitor<TResult> visitor) => type switch
    {
        DataType.Int8 => visitor.Visit<sbyte>(),
        DataType.Int16 => visitor.Visit<short>(),
        DataType.Int32 => visitor.Visit<int>(),
        DataType.Int64 => visitor.Visit<long>(),
        DataType.UInt8 => visitor.Visit<byte>(),
        DataType.UInt16 => visitor.Visit<ushort>(),
        DataType.UInt32 => visitor.Visit<uint>(),
        DataType.UInt64 => visitor.Visit<ulong>(),
        _ => throw c.Unsupported($"it cannot compute with {type.Name()} elements", "an integer type of whole bytes"),
    };

    /// <summary>Calls <paramref name="visitor"/> with an integer type as wide as elements of <paramref name="type"/>.</summary>
    /// <exception cref="UnsupportedModelException">The elements are text.</exception>
    public static TResult Width<TResult>(NodeContext c, DataType type, IWidthVisitor<TResult> visitor) => type.Size() switch
    {
        1 => visitor.Visit<byte>(),
        2 => visitor.Visit<ushort>(),
        4 => visitor.Visit<uint>(),
        8 => visitor.Visit<ulong>(),
        16 => visitor.Visit<UInt128>(),
        _ => throw c.Unsupported($"it cannot move {type.Name()} elements", "elements of 1, 2, 4, 8 or 16 bytes"),
    };
}
