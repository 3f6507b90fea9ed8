using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QGemm;

/// <summary>How a tile reads its operands; one group is always 4 bytes of one row of A and 4 bytes of one column of B.</summary>
internal enum QGemmPacking
{
    /// <summary>Groups of 4: unsigned bytes of A (read in place) and signed bytes of B.</summary>
    Bytes,

    /// <summary>Groups of 2: both operands widened to int16, so that no pair of products can saturate.</summary>
    Words,

    /// <summary>Groups of 4 read in place: as bytes where <see cref="QGemmProof"/> shows that 16 bits hold the sums of two or four products, as words elsewhere.</summary>
    Pairs,
}

/// <summary>What one tile computes: <c>c[r,n] = init[n] + Σ_taps Σ_k a[tap,r,k] · b[tap,k,n]</c>, int32 modulo 2³².</summary>
internal unsafe struct QGemmTile
{
    /// <summary><c>[taps][Mr]</c> addresses: where row r starts for a tap. Only the first <see cref="RowCount"/> of each tap are read.</summary>
    public byte** Rows;

    /// <summary>Sections of the depth; a matrix product has one, a convolution one per window tap (or row of taps).</summary>
    public nint Taps;

    /// <summary>Groups of <c>Kr</c> in one section; the packing zero-pads the last group.</summary>
    public nint Groups;

    /// <summary>Packed columns, <c>[taps][groups][Nr]</c> groups of 4 bytes.</summary>
    public byte* B;

    /// <summary><c>Nr</c> starting values: the bias with the column term of the zero points.</summary>
    public int* Init;

    /// <summary>Receives <c>[rows][Nr]</c> sums.</summary>
    public int* C;

    /// <summary>Rows to compute, 1 … Mr.</summary>
    public nint RowCount;

    /// <summary>For <see cref="QGemmPacking.Pairs"/>, per section: how many fours, pairs and words there are, and where in a row each of them starts (two places for fours).</summary>
    public int* Plan;

    /// <summary>For <see cref="QGemmPacking.Pairs"/>, int32 from the starting values of one row to those of the next; 0 where all rows start alike.</summary>
    public nint InitStride;

    /// <summary>For <see cref="QGemmPacking.Pairs"/>: how often all sections are multiplied by the same panel, each time with further addresses: dense parts of the same rows of A.</summary>
    public nint Passes;

    /// <summary>For <see cref="QGemmPacking.Pairs"/>: four bounds per row of the listed groups to add and to subtract; null if there are none, or if they are among the starting values.</summary>
    public int* Outside;

    /// <summary>Listed groups: their 4 bytes, and which they are.</summary>
    public int* Values, Listed;

    /// <summary>Where the bytes of each group lie in the panel.</summary>
    public int* Places;

    /// <summary>Tiles of <see cref="RowCount"/> rows to compute one after the other by a kernel that <see cref="QGemmKernel.Finishes"/>; others do one.</summary>
    public nint Tiles;

    /// <summary>Columns that exist, 1 … Nr. Sums of the others may be left out.</summary>
    public nint Columns;

    /// <summary>What a kernel that <see cref="QGemmKernel.Finishes"/> writes: <see cref="QOutput.Int32"/> sums to <see cref="C"/>, tile after tile, or finished elements to <see cref="Y"/>.</summary>
    public QOutput Output;

    /// <summary>Output of the first row and column.</summary>
    public byte* Y;

    /// <summary>Bytes between output rows.</summary>
    public nint YStride;

    /// <summary><c>Nr</c> multipliers.</summary>
    public float* Multipliers;

    /// <summary>Clamp of <see cref="QOutput.UInt8"/>, relative to the zero point, or of <see cref="QOutput.Float32"/>.</summary>
    public float Low, High;

    /// <summary>Zero point of <see cref="QOutput.UInt8"/>.</summary>
    public int ZeroPoint;

    /// <summary>Smallest byte of <see cref="QOutput.UInt8"/>: <see cref="Low"/> plus <see cref="ZeroPoint"/>.</summary>
    public byte Floor;

    /// <summary>Whether all columns exist and <see cref="QOutput.UInt8"/> needs no clamp but that of its type: <see cref="QEpilogue.ClampsByType"/>.</summary>
    public bool IsPlain;

    /// <summary>Weights that are wanted next, and where they end: a kernel that <see cref="QGemmKernel.Finishes"/> asks for <see cref="AheadStep"/> bytes of them per section of every tile.</summary>
    public byte* Ahead, AheadEnd;

    /// <summary>Bytes of <see cref="Ahead"/> per section of a tile; 0 for none.</summary>
    public nint AheadStep;
}

/// <summary>One row of <see cref="QGemmKernels.All"/>.</summary>
internal sealed unsafe class QGemmKernel
{
    private readonly Lock _lock = new();
    private readonly Func<nint[]>? _functions;
    private nint[]? _tiles;

    /// <summary>Describes a kernel in intrinsics or plain C#.</summary>
    /// <param name="name">types-MrxNrxKr-isa.</param>
    /// <param name="requires">CPU features, all of them needed.</param>
    /// <param name="mr">Most rows of one tile; a tile function exists for every count from 1 on.</param>
    /// <param name="nr">Columns of one tile and of one packed panel.</param>
    /// <param name="packing">How operands are stored.</param>
    /// <param name="throughput">Relative speed of a full tile; only proportions matter.</param>
    /// <param name="epilogue">The requantization that goes with the same instruction set.</param>
    /// <param name="functions">Addresses of the managed functions for 1 … Mr rows.</param>
    public QGemmKernel(string name, CpuFeatures requires, int mr, int nr, QGemmPacking packing, float throughput,
        QEpilogueKernel epilogue, Func<nint[]> functions)
        : this(name, requires, mr, nr, packing, throughput, epilogue) => _functions = functions;

    /// <summary>Describes a kernel in emitted code, called without a transition.</summary>
    /// <param name="name">types-MrxNrxKr-isa.</param>
    /// <param name="requires">CPU features, all of them needed.</param>
    /// <param name="mr">Most rows of one tile.</param>
    /// <param name="nr">Columns of one tile and of one packed panel.</param>
    /// <param name="packing">How operands are stored.</param>
    /// <param name="throughput">Relative speed of a full tile; only the order matters.</param>
    /// <param name="epilogue">The requantization that goes with it.</param>
    /// <param name="emit">Makes the functions for 1 … Mr rows in a calling convention (Windows or not; null: this system's).</param>
    public QGemmKernel(string name, CpuFeatures requires, int mr, int nr, QGemmPacking packing, float throughput,
        QEpilogueKernel epilogue, Func<bool?, EmittedFunction[]> emit)
        : this(name, requires, mr, nr, packing, throughput, epilogue) => Emit = emit;

    private QGemmKernel(string name, CpuFeatures requires, int mr, int nr, QGemmPacking packing, float throughput, QEpilogueKernel epilogue)
    {
        Name = name;
        Requires = requires;
        Mr = mr;
        Nr = nr;
        Packing = packing;
        Throughput = throughput;
        Epilogue = epilogue;
    }

    /// <summary>types-MrxNrxKr-isa.</summary>
    public string Name { get; }

    /// <summary>CPU features, all of them needed.</summary>
    public CpuFeatures Requires { get; }

    /// <summary>Most rows of one tile.</summary>
    public int Mr { get; }

    /// <summary>Columns of one tile.</summary>
    public int Nr { get; }

    /// <summary>Depth of one group: 4 bytes or 2 words.</summary>
    public int Kr => Packing == QGemmPacking.Words ? 2 : 4;

    /// <summary>Bytes of one element of A as the tile reads it.</summary>
    public int ElementBytes => Packing == QGemmPacking.Words ? 2 : 1;

    /// <summary>How operands are stored.</summary>
    public QGemmPacking Packing { get; }

    /// <summary>Relative speed of a full tile; of <see cref="QGemmPacking.Pairs"/>, with every sum of four proved.</summary>
    public float Throughput { get; }

    /// <summary>Relative speed where only pairs are proved; other packings need no proof.</summary>
    public float PairThroughput { get; init; }

    /// <summary>Relative speed of groups that are not proved; other packings need no proof.</summary>
    public float UnprovedThroughput { get; init; }

    /// <summary>Whether one call computes several tiles and can requantize them in registers.</summary>
    public bool Finishes { get; init; }

    /// <summary>Whether the tile functions of 1 … Mr rows come twice: for all columns, and for at most half of them.</summary>
    public bool HasNarrow { get; init; }

    /// <summary>The requantization of the same instruction set.</summary>
    public QEpilogueKernel Epilogue { get; }

    /// <summary>Makes the tile functions as machine code; null for a kernel that is not emitted. Works on any CPU, since it only makes bytes.</summary>
    public Func<bool?, EmittedFunction[]>? Emit { get; }

    /// <summary>Whether the tile functions are emitted code.</summary>
    public bool IsNative => Emit is not null;

    /// <summary>Makes the tile functions now, so that no later run pays for it; only the first call in a process does anything.</summary>
    public void Prepare()
    {
        if (Volatile.Read(ref _tiles) is null)
        {
            lock (_lock) _tiles ??= Emit is null ? _functions!() : EmittedCode.Load(Name, () => Emit(null));
        }
    }

    /// <summary>Runs one tile, or several if the kernel <see cref="Finishes"/>; <see cref="Prepare"/> must have been called.</summary>
    public void Run(QGemmTile* tile)
    {
        nint variant = tile->RowCount - 1;
        if (HasNarrow && tile->Columns <= Nr / 2) variant += Mr;
        nint function = _tiles![variant];
        if (IsNative) ((delegate* unmanaged[SuppressGCTransition]<QGemmTile*, void>)function)(tile);
        else ((delegate*<QGemmTile*, void>)function)(tile);
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
