using System.Runtime.CompilerServices;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Quantize;

/// <summary>An integer type that values are quantized to: its range, and how lanes are read and written.</summary>
internal unsafe interface IQuantizedType<T> where T : unmanaged
{
    /// <summary>Smallest value.</summary>
    static abstract int Min { get; }

    /// <summary>Largest value.</summary>
    static abstract int Max { get; }

    /// <summary>Reads one register of values as floats.</summary>
    static abstract V Load<TLanes, V>(T* source) where TLanes : struct, ILanes<V> where V : unmanaged;

    /// <summary>Writes one register of integral floats in [Min, Max].</summary>
    static abstract void Store<TLanes, V>(V value, T* target) where TLanes : struct, ILanes<V> where V : unmanaged;
}

/// <summary>byte, [0, 255].</summary>
internal readonly unsafe struct UInt8Type : IQuantizedType<byte>
{
    public static int Min => byte.MinValue;

    public static int Max => byte.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TLanes, V>(byte* source) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.LoadUInt8(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, V>(V value, byte* target) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Store8(value, target);
}

/// <summary>sbyte, [−128, 127].</summary>
internal readonly unsafe struct Int8Type : IQuantizedType<sbyte>
{
    public static int Min => sbyte.MinValue;

    public static int Max => sbyte.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TLanes, V>(sbyte* source) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.LoadInt8(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, V>(V value, sbyte* target) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Store8(value, (byte*)target);
}

/// <summary>ushort, [0, 65535].</summary>
internal readonly unsafe struct UInt16Type : IQuantizedType<ushort>
{
    public static int Min => ushort.MinValue;

    public static int Max => ushort.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TLanes, V>(ushort* source) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.LoadUInt16(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, V>(V value, ushort* target) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Store16(value, target);
}

/// <summary>short, [−32768, 32767].</summary>
internal readonly unsafe struct Int16Type : IQuantizedType<short>
{
    public static int Min => short.MinValue;

    public static int Max => short.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TLanes, V>(short* source) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.LoadInt16(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, V>(V value, short* target) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Store16(value, (ushort*)target);
}

/// <summary>int32; only dequantized. Differences above 2²⁴ round to float.</summary>
internal readonly unsafe struct Int32Type : IQuantizedType<int>
{
    public static int Min => int.MinValue;

    public static int Max => int.MaxValue;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TLanes, V>(int* source) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.LoadInt32(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TLanes, V>(V value, int* target) where TLanes : struct, ILanes<V> where V : unmanaged => TLanes.Store32(value, target);
}

/// <summary>Reading and writing lanes of a quantized type. The bytes are told apart here, so that ahead-of-time compilation, which does not see through generic static interface methods, sees through these.</summary>
internal static unsafe class QuantizedLanes
{
    /// <summary><see cref="IQuantizedType{T}.Load"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static V Load<TType, T, TLanes, V>(T* source) where TType : struct, IQuantizedType<T> where T : unmanaged where TLanes : struct, ILanes<V> where V : unmanaged =>
        typeof(TType) == typeof(UInt8Type) ? TLanes.LoadUInt8((byte*)source)
        : typeof(TType) == typeof(Int8Type) ? TLanes.LoadInt8((sbyte*)source)
        : TType.Load<TLanes, V>(source);

    /// <summary><see cref="IQuantizedType{T}.Store"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store<TType, T, TLanes, V>(V value, T* target) where TType : struct, IQuantizedType<T> where T : unmanaged where TLanes : struct, ILanes<V> where V : unmanaged
    {
        if (typeof(TType) == typeof(UInt8Type) || typeof(TType) == typeof(Int8Type)) TLanes.Store8(value, (byte*)target);
        else TType.Store<TLanes, V>(value, target);
    }
}
