using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SGemm;

/// <summary>One row of <see cref="SGemmKernels.All"/>: a float32 tile in every height and width that edges need.</summary>
internal sealed unsafe class SGemmKernel
{
    // [rows − 1][vectors − 1]
    private readonly delegate*<SGemmTileArguments*, void>[] _tiles;
    private readonly delegate*<SGemmShortArguments*, void> _shortVector, _shortPanel;

    private SGemmKernel(string name, CpuFeatures requires, int mr, int lanes, float throughput, delegate*<SGemmTileArguments*, void>[] tiles, delegate*<SGemmTileArguments*, void> row, delegate*<SGemmTileArguments*, void> twoRows,
        delegate*<SGemmShortArguments*, void> shortVector, delegate*<SGemmShortArguments*, void> shortPanel)
    {
        Name = name;
        Requires = requires;
        Mr = mr;
        Lanes = lanes;
        Nr = 2 * lanes;
        Throughput = throughput;
        _tiles = tiles;
        Row = row;
        TwoRows = twoRows;
        _shortVector = shortVector;
        _shortPanel = shortPanel;
    }

    /// <summary><c>types-MrxNr-isa</c>.</summary>
    public string Name { get; }

    /// <summary>What the CPU must have.</summary>
    public CpuFeatures Requires { get; }

    /// <summary>Rows of a full tile.</summary>
    public int Mr { get; }

    /// <summary>Columns of a full tile: two vectors. The last panel of a matrix is one vector wide where that is enough.</summary>
    public int Nr { get; }

    /// <summary>Columns of one vector.</summary>
    public int Lanes { get; }

    /// <summary>Relative speed of a full tile, measured.</summary>
    public float Throughput { get; }

    /// <summary>The tile of <paramref name="rows"/> ≤ <see cref="Mr"/> rows and 1 or 2 vectors.</summary>
    public delegate*<SGemmTileArguments*, void> Tile(int rows, int vectors) => _tiles[2 * (rows - 1) + vectors - 1];

    /// <summary>Many rows by one panel of 1 or 2 vectors, for depths up to <see cref="ShortDepth"/>.</summary>
    public delegate*<SGemmShortArguments*, void> Short(int vectors) => vectors == 1 ? _shortVector : _shortPanel;

    /// <summary>Depth up to which setting up a tile costs as much as its products, measured.</summary>
    public const int ShortDepth = 32;

    /// <summary>One row by <see cref="RowPanels"/> whole panels.</summary>
    public delegate*<SGemmTileArguments*, void> Row { get; }

    /// <summary>Two rows by <see cref="TwoRowPanels"/> whole panels.</summary>
    public delegate*<SGemmTileArguments*, void> TwoRows { get; }

    /// <summary>Panels that <see cref="TwoRows"/> takes.</summary>
    public const int TwoRowPanels = 2;

    /// <summary>Panels that <see cref="Row"/> takes.</summary>
    public const int RowPanels = 4;

    /// <summary>Columns stored for <paramref name="columns"/> remaining ones: one vector or two.</summary>
    public int PanelWidth(int columns) => columns <= Lanes ? Lanes : Nr;

    /// <inheritdoc/>
    public override string ToString() => Name;

    /// <summary>Builds a row over one register width.</summary>
    /// <param name="name">Row name.</param>
    /// <param name="requires">What the CPU must have.</param>
    /// <param name="mr">Rows of the full tile, at most 12.</param>
    /// <param name="throughput">Relative speed.</param>
    public static SGemmKernel Create<TLanes, V>(string name, CpuFeatures requires, int mr, float throughput)
        where TLanes : struct, ILanes<V> where V : unmanaged
    {
        var tiles = new delegate*<SGemmTileArguments*, void>[24];
        Add<TLanes, V, Rows1>(tiles, mr);
        Add<TLanes, V, Rows2>(tiles, mr);
        Add<TLanes, V, Rows3>(tiles, mr);
        Add<TLanes, V, Rows4>(tiles, mr);
        Add<TLanes, V, Rows5>(tiles, mr);
        Add<TLanes, V, Rows6>(tiles, mr);
        Add<TLanes, V, Rows7>(tiles, mr);
        Add<TLanes, V, Rows8>(tiles, mr);
        Add<TLanes, V, Rows9>(tiles, mr);
        Add<TLanes, V, Rows10>(tiles, mr);
        Add<TLanes, V, Rows11>(tiles, mr);
        Add<TLanes, V, Rows12>(tiles, mr);
        return new(name, requires, mr, TLanes.Count, throughput, tiles, &SGemvTile<TLanes, V>.Run, &SGemvTile<TLanes, V>.RunTwo, &SGemmShortTile<TLanes, V, Rows1>.Run, &SGemmShortTile<TLanes, V, Rows2>.Run);
    }

    private static void Add<TLanes, V, TRows>(delegate*<SGemmTileArguments*, void>[] tiles, int mr)
        where TLanes : struct, ILanes<V> where V : unmanaged where TRows : unmanaged, ITileRows
    {
        if (sizeof(TRows) > mr) return;
        tiles[2 * (sizeof(TRows) - 1)] = &SGemmTile<TLanes, V, TRows, Rows1>.Run;
        tiles[2 * (sizeof(TRows) - 1) + 1] = &SGemmTile<TLanes, V, TRows, Rows2>.Run;
    }
}

/// <summary>The float32 tiles.</summary>
internal static class SGemmKernels
{
    /// <summary>Every tile. The selector, the tests and the benchmarks iterate this table; a new tile is one row.</summary>
    public static readonly SGemmKernel[] All =
    [
        //                                                types-MrxNr-isa       requires                             Mr  throughput
        SGemmKernel.Create<Lanes512, Vector512<float>>("f32-12x32-avx512",   CpuFeatures.Avx512,                     12, 16f),
        SGemmKernel.Create<Lanes256, Vector256<float>>("f32-6x16-avx2",      CpuFeatures.Avx2 | CpuFeatures.Fma,      6, 8f),
        SGemmKernel.Create<Lanes128, Vector128<float>>("f32-6x8-vector128",  CpuFeatures.Vector128,                   6, 3f),
        SGemmKernel.Create<ScalarLanes, float>("f32-4x2-scalar",             CpuFeatures.None,                        4, 0.6f),
    ];

    /// <summary>The kernel with the best throughput after tile padding. Pure, so it can be asked about any CPU.</summary>
    /// <param name="m">Rows of A.</param>
    /// <param name="n">Columns of B.</param>
    /// <param name="k">Depth; no kernel's merit depends on it.</param>
    /// <param name="cpu">The CPU.</param>
    public static SGemmKernel Select(int m, int n, int k, CpuFeatures cpu)
    {
        SGemmKernel? best = null;
        float bestScore = 0f;
        foreach (SGemmKernel kernel in All)
        {
            if ((kernel.Requires & ~cpu) != 0) continue;
            float score = kernel.Throughput * Used(n, kernel.Lanes);
            if (best is null || score > bestScore) (best, bestScore) = (kernel, score);
        }
        return best!;
    }

    /// <summary>Fraction of the padded extent that is real work, in (0, 1].</summary>
    private static float Used(int extent, int tile) => (float)Math.Max(1, extent) / ((Math.Max(1, extent) + tile - 1) / tile * tile);
}
