namespace Octet.Runtime.Tensors;

/// <summary>Element types. The numbers are those of ONNX <c>TensorProto.DataType</c>.</summary>
public enum DataType
{
    /// <summary>Not known, or no tensor.</summary>
    Undefined = 0,
    /// <summary>IEEE binary32.</summary>
    Float32 = 1,
    /// <summary>0 … 255.</summary>
    UInt8 = 2,
    /// <summary>−128 … 127.</summary>
    Int8 = 3,
    /// <summary>0 … 65535.</summary>
    UInt16 = 4,
    /// <summary>−32768 … 32767.</summary>
    Int16 = 5,
    /// <summary>32-bit signed.</summary>
    Int32 = 6,
    /// <summary>64-bit signed.</summary>
    Int64 = 7,
    /// <summary>Text; never in an arena.</summary>
    String = 8,
    /// <summary>One byte, 0 or 1.</summary>
    Bool = 9,
    /// <summary>IEEE binary16; stored, computed in float32.</summary>
    Float16 = 10,
    /// <summary>IEEE binary64.</summary>
    Float64 = 11,
    /// <summary>32-bit unsigned.</summary>
    UInt32 = 12,
    /// <summary>64-bit unsigned.</summary>
    UInt64 = 13,
    /// <summary>Two binary32; loaded and saved only.</summary>
    Complex64 = 14,
    /// <summary>Two binary64; loaded and saved only.</summary>
    Complex128 = 15,
    /// <summary>The upper half of a binary32; stored, computed in float32.</summary>
    BFloat16 = 16,
    /// <summary>8-bit float, 4 exponent bits, no infinities; loaded and saved only.</summary>
    Float8E4M3FN = 17,
    /// <summary>8-bit float, 4 exponent bits, no negative zero; loaded and saved only.</summary>
    Float8E4M3FNUZ = 18,
    /// <summary>8-bit float, 5 exponent bits; loaded and saved only.</summary>
    Float8E5M2 = 19,
    /// <summary>8-bit float, 5 exponent bits, no negative zero; loaded and saved only.</summary>
    Float8E5M2FNUZ = 20,
    /// <summary>0 … 15; one element per byte in memory, two in a file.</summary>
    UInt4 = 21,
    /// <summary>−8 … 7; one element per byte in memory, two in a file.</summary>
    Int4 = 22,
    /// <summary>4-bit float; one element per byte in memory; loaded and saved only.</summary>
    Float4E2M1 = 23,
    /// <summary>Power-of-two scale; loaded and saved only.</summary>
    Float8E8M0 = 24,
    /// <summary>0 … 3; one element per byte in memory, four in a file.</summary>
    UInt2 = 25,
    /// <summary>−2 … 1; one element per byte in memory, four in a file.</summary>
    Int2 = 26,
}

/// <summary>Facts about element types.</summary>
public static class DataTypes
{
    /// <summary>Bytes of one element in memory; 0 for <see cref="DataType.String"/> and <see cref="DataType.Undefined"/>.</summary>
    public static int Size(this DataType type) => type switch
    {
        DataType.Undefined or DataType.String => 0,
        DataType.UInt16 or DataType.Int16 or DataType.Float16 or DataType.BFloat16 => 2,
        DataType.Float32 or DataType.Int32 or DataType.UInt32 => 4,
        DataType.Int64 or DataType.UInt64 or DataType.Float64 or DataType.Complex64 => 8,
        DataType.Complex128 => 16,
        _ => 1,
    };

    /// <summary>The name as ONNX's documents write it, in lower case: <c>float32</c>, <c>uint8</c>, …</summary>
    public static string Name(this DataType type) => type.ToString().ToLowerInvariant();

    /// <summary>Whether the type is a floating-point type that Octet computes with: float16, bfloat16, float32, float64.</summary>
    public static bool IsFloat(this DataType type) =>
        type is DataType.Float32 or DataType.Float64 or DataType.Float16 or DataType.BFloat16;

    /// <summary>Whether the type is a two's complement or unsigned integer of at least 8 bits.</summary>
    public static bool IsInteger(this DataType type) => type is DataType.Int8 or DataType.UInt8 or DataType.Int16 or DataType.UInt16
        or DataType.Int32 or DataType.UInt32 or DataType.Int64 or DataType.UInt64;

    /// <summary>The element type that <typeparamref name="T"/> stores.</summary>
    /// <exception cref="ArgumentException">No element type is stored as <typeparamref name="T"/>.</exception>
    public static DataType Of<T>()
    {
        if (typeof(T) == typeof(float)) return DataType.Float32;
        if (typeof(T) == typeof(byte)) return DataType.UInt8;
        if (typeof(T) == typeof(sbyte)) return DataType.Int8;
        if (typeof(T) == typeof(ushort)) return DataType.UInt16;
        if (typeof(T) == typeof(short)) return DataType.Int16;
        if (typeof(T) == typeof(int)) return DataType.Int32;
        if (typeof(T) == typeof(long)) return DataType.Int64;
        if (typeof(T) == typeof(string)) return DataType.String;
        if (typeof(T) == typeof(bool)) return DataType.Bool;
        if (typeof(T) == typeof(Half)) return DataType.Float16;
        if (typeof(T) == typeof(double)) return DataType.Float64;
        if (typeof(T) == typeof(uint)) return DataType.UInt32;
        if (typeof(T) == typeof(ulong)) return DataType.UInt64;
        throw new ArgumentException($"no tensor element type is stored as {typeof(T).Name}");
    }

    /// <summary>Whether elements of this type may be read as <typeparamref name="T"/>: the same width and not text.</summary>
    internal static bool IsStoredAs<T>(this DataType type) where T : unmanaged =>
        type.Size() == System.Runtime.CompilerServices.Unsafe.SizeOf<T>();
}
