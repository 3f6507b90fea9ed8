using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QConv.X86;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Kernels.QConv;

/// <summary>A run of output pixels for one block of channels.</summary>
internal unsafe struct QDepthwiseRun
{
    /// <summary>Address of every tap for the first pixel, at the block's first channel; slots beyond the last tap repeat a valid address.</summary>
    public byte** Taps;

    /// <summary>Groups of taps, the last one filled up with zero weights.</summary>
    public nint Groups;

    /// <summary>Bytes from one output pixel's window to the next one's.</summary>
    public nint Step;

    /// <summary>Output pixels.</summary>
    public nint Pixels;

    /// <summary>Packed weights of the block.</summary>
    public byte* Weights;

    /// <summary>One starting value per channel, in the kernel's channel order.</summary>
    public int* Init;

    /// <summary>One multiplier per channel, in the kernel's channel order; null to store sums.</summary>
    public float* Multipliers;

    /// <summary>Clamp of the rounded product, zero point subtracted.</summary>
    public float Low, High;

    /// <summary>Zero point of the output.</summary>
    public int ZeroPoint;

    /// <summary>Channels to store, at most the block's.</summary>
    public int Channels;

    /// <summary>Bytes out, or int32 sums out (in memory order) if there are no multipliers.</summary>
    public byte* Y;

    /// <summary>Bytes between output pixels.</summary>
    public nint YStride;

    /// <summary>For a kernel that <see cref="QDepthwiseKernel.TakesOffset"/>, bytes from the addresses of taps to the block's first channel of the first pixel.</summary>
    public nint Offset;

    /// <summary>For such a kernel: whether bytes need no clamp but that of their type, see <see cref="QEpilogue.ClampsByType"/>.</summary>
    public bool IsPlain;
}

/// <summary>One row of the depthwise table: vectors run over channels, one output pixel at a time.</summary>
internal sealed unsafe class QDepthwiseKernel
{
    private readonly Lock _lock = new();
    private readonly Func<nint[]>? _managed;
    private nint[]? _functions;

    /// <summary>Describes a kernel in intrinsics or plain C#, whose one function serves any window.</summary>
    /// <param name="name">Types, channels × taps of one step, instruction set.</param>
    /// <param name="requires">CPU features, all of them needed.</param>
    /// <param name="block">Channels of one block.</param>
    /// <param name="group">Taps of one group.</param>
    /// <param name="weightBytes">Bytes of one packed weight.</param>
    /// <param name="throughput">Relative speed; only the order matters.</param>
    /// <param name="epilogue">The requantization of the same instruction set.</param>
    /// <param name="functions">Address of the managed function.</param>
    public QDepthwiseKernel(string name, CpuFeatures requires, int block, int group, int weightBytes, float throughput,
        QEpilogueKernel epilogue, Func<nint[]> functions)
        : this(name, requires, block, group, weightBytes, throughput, epilogue) => _managed = functions;

    /// <summary>Describes a kernel in emitted code, called without a transition.</summary>
    /// <param name="name">Types, channels × taps of one step, instruction set.</param>
    /// <param name="requires">CPU features, all of them needed.</param>
    /// <param name="block">Channels of one block.</param>
    /// <param name="group">Taps of one group.</param>
    /// <param name="weightBytes">Bytes of one packed weight.</param>
    /// <param name="throughput">Relative speed; only the order matters.</param>
    /// <param name="epilogue">The requantization that goes with it.</param>
    /// <param name="emit">Makes the functions in a calling convention (Windows or not; null: this system's): any window, 3×3 windows one and two columns apart.</param>
    public QDepthwiseKernel(string name, CpuFeatures requires, int block, int group, int weightBytes, float throughput,
        QEpilogueKernel epilogue, Func<bool?, EmittedFunction[]> emit)
        : this(name, requires, block, group, weightBytes, throughput, epilogue) => Emit = emit;

    private QDepthwiseKernel(string name, CpuFeatures requires, int block, int group, int weightBytes, float throughput, QEpilogueKernel epilogue)
    {
        Name = name;
        Requires = requires;
        Block = block;
        Group = group;
        WeightBytes = weightBytes;
        Throughput = throughput;
        Epilogue = epilogue;
    }

    /// <summary>Types, channels × taps of one step, instruction set.</summary>
    public string Name { get; }

    /// <summary>CPU features, all of them needed.</summary>
    public CpuFeatures Requires { get; }

    /// <summary>Channels of one block.</summary>
    public int Block { get; }

    /// <summary>Taps of one group.</summary>
    public int Group { get; }

    /// <summary>Bytes of one packed weight, its zero point subtracted: 1, 2 or 4.</summary>
    public int WeightBytes { get; }

    /// <summary>Relative speed.</summary>
    public float Throughput { get; }

    /// <summary>The requantization of the same instruction set, for the forms that the kernel does not do itself.</summary>
    public QEpilogueKernel Epilogue { get; }

    /// <summary>Makes the functions as machine code; null for a kernel that is not emitted. Works on any CPU, since it only makes bytes.</summary>
    public Func<bool?, EmittedFunction[]>? Emit { get; }

    /// <summary>Whether the functions are emitted code.</summary>
    public bool IsNative => Emit is not null;

    /// <summary>Whether the kernel requantizes byte outputs without a sum itself.</summary>
    public bool Requantizes => Block > 1;

    /// <summary>Whether all blocks of a line share the addresses of taps: the function adds <see cref="QDepthwiseRun.Offset"/> itself.</summary>
    public bool TakesOffset { get; init; }

    /// <summary>Whether 3×3 windows have functions of their own; their taps are then ordered by column.</summary>
    public bool Slides => IsNative;

    /// <summary>Where the kernel keeps channel <paramref name="c"/> of a block: unpacking interleaves 4 columns of each 128-bit lane.</summary>
    public int Position(int c) => Block == 1 ? 0 : c % 16 / 4 * (Block / 4) + c / 16 * 4 + c % 4;

    /// <summary>Makes the functions now, so that no later run pays for it; only the first call in a process does anything.</summary>
    public void Prepare()
    {
        if (Volatile.Read(ref _functions) is null)
        {
            lock (_lock) _functions ??= Emit is null ? _managed!() : EmittedCode.Load(Name, () => Emit(null));
        }
    }

    /// <summary>Runs; <see cref="Prepare"/> must have been called.</summary>
    /// <param name="work">What to do.</param>
    /// <param name="slide">0 for any window, else how many columns apart the 3×3 windows are: 1 or 2, requantizing only.</param>
    public void Run(QDepthwiseRun* work, int slide)
    {
        nint function = _functions![slide];
        if (IsNative) ((delegate* unmanaged[SuppressGCTransition]<QDepthwiseRun*, void>)function)(work);
        else ((delegate*<QDepthwiseRun*, void>)function)(work);
    }

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>Every depthwise kernel.</summary>
internal static unsafe class QDepthwiseKernels
{
    /// <summary>The table; the scalar kernel is last and always usable.</summary>
    public static readonly QDepthwiseKernel[] All =
    [
        //  types-dw channels x taps-isa          requires                                     block group weight  throughput
        new("u8s8s32-dw64x4-avx512vnni", CpuFeatures.Avx512Vnni, 64, 4, 1, 80f, QEpilogueKernel.BesideEmittedCode, QDepthwiseAvx512VnniEmitter.EmitAll),
        new("u8s8s32-dw64x2-avx512", CpuFeatures.Avx512, 64, 2, 2, 50f, QEpilogueKernel.Isa512, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwise512.Run]),
        new("u8s8s32-dw32x4-avxvnni", CpuFeatures.Avx2 | CpuFeatures.AvxVnni, 32, 4, 1, 45f, QEpilogueKernel.Isa256, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwise256<QuadStep256>.RunAtRunTime]) { TakesOffset = true },
        new("u8s8s32-dw32x2-avx2", CpuFeatures.Avx2, 32, 2, 2, 30f, QEpilogueKernel.Isa256, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwise256<PairStep256>.RunPrecompiled]) { TakesOffset = true },
        new("u8s8s32-dw16x2-sse41", CpuFeatures.Vector128 | CpuFeatures.Sse41, 16, 2, 2, 15f, QEpilogueKernel.Isa128, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwise128<SseDot128>.Run]),
        new("u8s8s32-dw16x2-vector128", CpuFeatures.Vector128, 16, 2, 2, 8f, QEpilogueKernel.Isa128, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwise128<PortableDot128>.Run]),
        new("u8s8s32-dw1x1-scalar", CpuFeatures.None, 1, 1, 4, 1f, QEpilogueKernel.Scalar, () => [(nint)(delegate*<QDepthwiseRun*, void>)&QDepthwiseScalar.Run]),
    ];

    /// <summary>The fastest usable kernel, counting the padding of its last block of channels.</summary>
    public static QDepthwiseKernel Select(ConvShape shape, CpuFeatures cpu)
    {
        cpu = EmittedCode.Usable(cpu);
        QDepthwiseKernel? best = null;
        float bestSpeed = 0;
        foreach (QDepthwiseKernel kernel in All)
        {
            if ((kernel.Requires & ~cpu) != 0) continue;
            int channels = Math.Max(1, shape.OutChannels), padded = (channels + kernel.Block - 1) / kernel.Block * kernel.Block;
            float speed = kernel.Throughput * Math.Min(1f, (float)channels * QDepthwiseWeights.FoldOf(kernel, shape) / padded);
            if (speed > bestSpeed) (best, bestSpeed) = (kernel, speed);
        }
        return best!;
    }
}

/// <summary>The definition: one channel at a time.</summary>
internal static unsafe class QDepthwiseScalar
{
    /// <summary>Sums only; int32 weights with their zero point subtracted.</summary>
    public static void Run(QDepthwiseRun* run)
    {
        int* weights = (int*)run->Weights;
        for (nint pixel = 0; pixel < run->Pixels; pixel++)
        {
            int sum = *run->Init;
            for (nint tap = 0; tap < run->Groups; tap++) sum = unchecked(sum + run->Taps[tap][pixel * run->Step] * weights[tap]);
            *(int*)(run->Y + pixel * run->YStride) = sum;
        }
    }
}

/// <summary>Depthwise filters packed for one kernel, and their sums; immutable.</summary>
/// <remarks><code>packed[block][group][position of channel][tap in group]</code> The last block of a layer with at least one whole block ends at the last channel and overlaps the one before.</remarks>
internal sealed unsafe class QDepthwiseWeights
{
    private readonly AlignedBuffer _packed;
    private readonly int[] _sums;

    /// <summary>Packs <c>[O, 1, KD, KH, KW]</c>; falls back to a kernel that can hold the zero points if <paramref name="kernel"/> cannot.</summary>
    public QDepthwiseWeights(QDepthwiseKernel kernel, ConvShape shape, byte* source, byte flip, ReadOnlySpan<int> zeroPoints)
    {
        int channels = shape.OutChannels, taps = shape.Taps;
        var values = new int[channels * taps];
        _sums = new int[channels];
        int lowest = 0, highest = 0;
        for (int o = 0; o < channels; o++)
        {
            int zeroPoint = zeroPoints.Length == 0 ? 0 : zeroPoints[zeroPoints.Length == 1 ? 0 : o];
            if (flip != 0) zeroPoint -= 128;
            for (int tap = 0; tap < taps; tap++)
            {
                int value = unchecked((sbyte)(source[o * taps + tap] ^ flip) - zeroPoint);
                values[o * taps + tap] = value;
                _sums[o] = unchecked(_sums[o] + value);
                lowest = Math.Min(lowest, value);
                highest = Math.Max(highest, value);
            }
        }
        bool Holds(QDepthwiseKernel candidate) =>
            candidate.WeightBytes == 4 || lowest >= -(1 << (8 * candidate.WeightBytes - 1)) && highest < 1 << (8 * candidate.WeightBytes - 1);
        Kernel = Holds(kernel) ? kernel
            : QDepthwiseKernels.All.First(candidate => (candidate.Requires & ~(kernel.Requires | kernel.Epilogue.Requires)) == 0 && Holds(candidate));

        Kernel.Prepare();
        int block = Kernel.Block, group = Kernel.Group;
        SlidingColumns = Kernel.Slides && shape.D.Kernel == 1 && shape.H.Kernel == 3 && shape.W.Kernel == 3;
        SlotTaps = SlidingColumns
            ? [0, 3, 6, Unused, 1, 4, 7, Unused, 2, 5, 8, Unused]
            : TapsInOrder(taps, (taps + group - 1) / group * group);
        Groups = SlotTaps.Length / group;
        Fold = FoldOf(Kernel, shape);
        Starts = new int[(channels + block - 1) / block];
        for (int i = 0; i < Starts.Length; i++) Starts[i] = Math.Max(0, Math.Min(i * block, channels - block));
        BlockBytes = SlotTaps.Length * block * Kernel.WeightBytes;
        _packed = new AlignedBuffer((long)Starts.Length * BlockBytes);
        for (int i = 0; i < Starts.Length; i++)
        {
            for (int c = 0; c < Math.Min(block, (channels - Starts[i]) * Fold); c++)
            {
                for (int slot = 0; slot < SlotTaps.Length; slot++)
                {
                    if (SlotTaps[slot] == Unused) continue;
                    long at = (long)i * BlockBytes + (slot / group * block * group + Kernel.Position(c) * group + slot % group) * Kernel.WeightBytes;
                    int value = values[(Starts[i] + c % channels) * taps + SlotTaps[slot]];
                    if (Kernel.WeightBytes == 1) ((sbyte*)_packed.Pointer)[at] = (sbyte)value;
                    else if (Kernel.WeightBytes == 2) *(short*)(_packed.Pointer + at) = (short)value;
                    else *(int*)(_packed.Pointer + at) = value;
                }
            }
        }
    }

    private static int[] TapsInOrder(int taps, int slots)
    {
        var order = new int[slots];
        for (int slot = 0; slot < slots; slot++) order[slot] = slot < taps ? slot : Unused;
        return order;
    }

    /// <summary>
    /// Neighbouring output pixels that fill one block: where pixels are one column apart and narrower than a block that they divide,
    /// one vector at a tap of the first pixel holds the same tap of the next ones.
    /// </summary>
    public int Fold { get; }

    /// <summary><see cref="Fold"/> for a kernel and shape.</summary>
    public static int FoldOf(QDepthwiseKernel kernel, ConvShape shape) =>
        shape.W.Stride == 1 && shape.OutChannels > 0 && kernel.Block % shape.OutChannels == 0 ? kernel.Block / shape.OutChannels : 1;

    /// <summary>A slot that no tap fills; its weight is 0.</summary>
    public const int Unused = -1;

    /// <summary>Which tap each slot of the groups holds.</summary>
    public int[] SlotTaps { get; }

    /// <summary>Whether slots are ordered by window column for the kernel's 3×3 functions.</summary>
    public bool SlidingColumns { get; }

    /// <summary>The kernel that the layout is for.</summary>
    public QDepthwiseKernel Kernel { get; }

    /// <summary>Groups of taps.</summary>
    public int Groups { get; }

    /// <summary>First channel of every block.</summary>
    public int[] Starts { get; }

    /// <summary>Bytes of one packed block.</summary>
    public int BlockBytes { get; }

    /// <summary>Bytes of packed weights.</summary>
    public long Bytes => _packed.Length;

    /// <summary>Σ over the taps of every filter, zero points subtracted, modulo 2³².</summary>
    public ReadOnlySpan<int> Sums => _sums;

    internal byte* Pointer => _packed.Pointer;
}
