using System.Runtime.InteropServices;

namespace Octet.Kernels.SGemm;

/// <summary>
/// A number known to the JIT while it reads a method: the size of the struct, so <c>sizeof(TRows) &gt; 3</c> removes the code that it guards
/// before that code is compiled. Rows, or vectors, of a tile.
/// </summary>
internal interface ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 1)]
internal readonly struct Rows1 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 2)]
internal readonly struct Rows2 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 3)]
internal readonly struct Rows3 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 4)]
internal readonly struct Rows4 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 5)]
internal readonly struct Rows5 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 6)]
internal readonly struct Rows6 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 7)]
internal readonly struct Rows7 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 8)]
internal readonly struct Rows8 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 9)]
internal readonly struct Rows9 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 10)]
internal readonly struct Rows10 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 11)]
internal readonly struct Rows11 : ITileRows;

[StructLayout(LayoutKind.Sequential, Size = 12)]
internal readonly struct Rows12 : ITileRows;
