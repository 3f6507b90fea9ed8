using System.Runtime.CompilerServices;

namespace Octet.Kernels.SGemm;

/// <summary>A number known to the JIT: rows, or vectors, of a tile.</summary>
internal interface ITileRows
{
    /// <summary>The number.</summary>
    static abstract int Count { get; }
}

internal readonly struct Rows1 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 1;
    }
}

internal readonly struct Rows2 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 2;
    }
}

internal readonly struct Rows3 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 3;
    }
}

internal readonly struct Rows4 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 4;
    }
}

internal readonly struct Rows5 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 5;
    }
}

internal readonly struct Rows6 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 6;
    }
}

internal readonly struct Rows7 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 7;
    }
}

internal readonly struct Rows8 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 8;
    }
}

internal readonly struct Rows9 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 9;
    }
}

internal readonly struct Rows10 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 10;
    }
}

internal readonly struct Rows11 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 11;
    }
}

internal readonly struct Rows12 : ITileRows
{
    public static int Count
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => 12;
    }
}
