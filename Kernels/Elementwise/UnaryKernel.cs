using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise.Unary;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Elementwise;

/// <summary>One <see cref="UnaryOperation"/> on one vector width: <c>y[i] = f(x[i]; α, β)</c>.</summary>
internal sealed unsafe class UnaryKernel
{
    /// <summary>Elements of one piece of parallel work: 64 KiB, so that a piece stays in L2 and outweighs handing it out.</summary>
    private const int PieceLength = 16384;

    private readonly delegate*<float*, float*, nint, float, float, void> _run;

    private UnaryKernel(UnaryOperation operation, VectorWidth width, delegate*<float*, float*, nint, float, float, void> run)
    {
        Operation = operation;
        Width = width;
        _run = run;
    }

    /// <summary>What is computed.</summary>
    public UnaryOperation Operation { get; }

    /// <summary>Register width.</summary>
    public VectorWidth Width { get; }

    /// <summary>The kernel for a CPU.</summary>
    public static UnaryKernel Select(UnaryOperation operation, CpuFeatures cpu) => Create(operation, VectorWidths.Select(cpu));

    /// <summary>The kernel of a given width.</summary>
    public static UnaryKernel Create(UnaryOperation operation, VectorWidth width) => new(operation, width, operation switch
    {
        UnaryOperation.Identity => ForWidth<IdentityOp>(width),
        UnaryOperation.Relu => ForWidth<ReluOp>(width),
        UnaryOperation.Clip => ForWidth<ClipOp>(width),
        UnaryOperation.LeakyRelu => ForWidth<LeakyReluOp>(width),
        UnaryOperation.ThresholdedRelu => ForWidth<ThresholdedReluOp>(width),
        UnaryOperation.Sigmoid => ForWidth<SigmoidOp>(width),
        UnaryOperation.Tanh => ForWidth<TanhOp>(width),
        UnaryOperation.HardSigmoid => ForWidth<HardSigmoidOp>(width),
        UnaryOperation.HardSwish => ForWidth<HardSwishOp>(width),
        UnaryOperation.GeluErf => ForWidth<GeluErfOp>(width),
        UnaryOperation.GeluTanh => ForWidth<GeluTanhOp>(width),
        UnaryOperation.Swish => ForWidth<SwishOp>(width),
        UnaryOperation.Elu => ForWidth<EluOp>(width),
        UnaryOperation.Selu => ForWidth<SeluOp>(width),
        UnaryOperation.Celu => ForWidth<CeluOp>(width),
        UnaryOperation.Softplus => ForWidth<SoftplusOp>(width),
        UnaryOperation.LogSigmoid => ForWidth<LogSigmoidOp>(width),
        UnaryOperation.Softsign => ForWidth<SoftsignOp>(width),
        UnaryOperation.Mish => ForWidth<MishOp>(width),
        UnaryOperation.Abs => ForWidth<AbsOp>(width),
        UnaryOperation.Negate => ForWidth<NegateOp>(width),
        UnaryOperation.Square => ForWidth<SquareOp>(width),
        UnaryOperation.Sqrt => ForWidth<SqrtOp>(width),
        UnaryOperation.Reciprocal => ForWidth<ReciprocalOp>(width),
        UnaryOperation.Exp => ForWidth<ExpOp>(width),
        UnaryOperation.Log => ForWidth<LogOp>(width),
        UnaryOperation.Erf => ForWidth<ErfOp>(width),
        UnaryOperation.Floor => ForWidth<FloorOp>(width),
        UnaryOperation.Ceiling => ForWidth<CeilingOp>(width),
        UnaryOperation.Round => ForWidth<RoundOp>(width),
        UnaryOperation.Sign => ForWidth<SignOp>(width),
        UnaryOperation.Affine => ForWidth<AffineOp>(width),
        _ => throw new ArgumentOutOfRangeException(nameof(operation), operation, "not a unary operation"),
    });

    /// <summary><c>y[i] = f(x[i]; α, β)</c> for every element of <paramref name="x"/>.</summary>
    /// <param name="x">Arguments.</param>
    /// <param name="y">Receives as many values; may be <paramref name="x"/> itself, must not overlap it otherwise.</param>
    /// <param name="alpha">First constant.</param>
    /// <param name="beta">Second constant.</param>
    /// <exception cref="ArgumentException"><paramref name="y"/> is shorter than <paramref name="x"/>.</exception>
    public void Run(ReadOnlySpan<float> x, Span<float> y, float alpha = 0f, float beta = 0f)
    {
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        fixed (float* xp = x, yp = y) _run(xp, yp, x.Length, alpha, beta);
    }

    /// <summary>Like <see cref="Run(ReadOnlySpan{float}, Span{float}, float, float)"/>, on several threads.</summary>
    public void Run(ReadOnlySpan<float> x, Span<float> y, float alpha, float beta, Parallelism parallelism)
    {
        if (y.Length < x.Length) throw new ArgumentException($"y has {y.Length} elements but x has {x.Length}", nameof(y));
        fixed (float* xp = x, yp = y)
        {
            var work = new Pieces { Kernel = _run, X = xp, Y = yp, Length = x.Length, Alpha = alpha, Beta = beta };
            parallelism.For(ref work, (x.Length + PieceLength - 1) / PieceLength);
        }
    }

    /// <summary>The same on pointers, for drivers that finish a tile.</summary>
    internal void Run(float* x, float* y, nint length, float alpha, float beta) => _run(x, y, length, alpha, beta);

    private static delegate*<float*, float*, nint, float, float, void> ForWidth<TOp>(VectorWidth width) where TOp : struct, IUnaryOp => width switch
    {
        VectorWidth.V512 => &UnaryLoop<TOp, Lanes512, Vector512<float>>.Run,
        VectorWidth.V256 => &UnaryLoop<TOp, Lanes256, Vector256<float>>.Run,
        VectorWidth.V128 => &UnaryLoop<TOp, Lanes128, Vector128<float>>.Run,
        _ => &UnaryLoop<TOp, ScalarLanes, float>.Run,
    };

    private struct Pieces : IPieces
    {
        public delegate*<float*, float*, nint, float, float, void> Kernel;
        public float* X, Y;
        public int Length;
        public float Alpha, Beta;

        public readonly void Run(int piece, int worker)
        {
            int start = piece * PieceLength;
            Kernel(X + start, Y + start, Math.Min(PieceLength, Length - start), Alpha, Beta);
        }
    }
}

/// <summary>The traversal of every unary operation. The tail goes through the same instructions with a partial load and store.</summary>
internal static unsafe class UnaryLoop<TOp, TLanes, V>
    where TOp : struct, IUnaryOp where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(float* x, float* y, nint length, float alpha, float beta)
    {
        V a = TLanes.Create(alpha), b = TLanes.Create(beta);
        nint i = 0;
        for (; i <= length - TLanes.Count; i += TLanes.Count) TLanes.Store(TOp.Invoke<TLanes, V>(TLanes.Load(x + i), a, b), y + i);
        int rest = (int)(length - i);
        if (rest > 0) TLanes.StorePartial(TOp.Invoke<TLanes, V>(TLanes.LoadPartial(x + i, rest), a, b), y + i, rest);
    }
}
