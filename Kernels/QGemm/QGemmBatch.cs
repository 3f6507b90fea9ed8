using Octet.Kernels.Cpu;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QGemm;

/// <summary>A batch of integer products whose operands are both known only at run time: <c>y[i] = epilogue(Σₖ (a[i][m,k] − za)·(b[i][k,n] − zb[n]))</c>.</summary>
/// <remarks>
/// Every B is packed for the tiles of <see cref="QGemmDriver"/> right before its product. The room for that is kept between runs, one per thread that
/// was ever busy, so that running allocates nothing once each has been needed. Many small products are shared between threads, few large ones are cut.
/// </remarks>
internal sealed unsafe class QGemmBatch
{
    private readonly int _m, _n, _k;
    private readonly int[] _a, _b;
    private readonly bool _transposed;
    private readonly QEpilogue _epilogue;
    private readonly QGemmKernel _kernel;
    private readonly QGemmWeights _measure;
    private readonly QGemmWeights?[] _free = new QGemmWeights?[64];

    private QGemmBatch(int m, int n, int k, int[] a, int[] b, bool transposed, QEpilogue epilogue, QGemmKernel kernel)
    {
        (_m, _n, _k, _a, _b, _transposed, _epilogue, _kernel) = (m, n, k, a, b, transposed, epilogue, kernel);
        _measure = QGemmWeights.Create(k, n, kernel);
        _free[0] = QGemmWeights.Create(k, n, kernel);
    }

    /// <summary>Prepares a batch.</summary>
    /// <param name="m">Rows of every A.</param>
    /// <param name="n">Columns of every B.</param>
    /// <param name="k">Depth.</param>
    /// <param name="aOffsets">First element of A of each product.</param>
    /// <param name="bOffsets">First element of B of each product; equal ones are allowed.</param>
    /// <param name="transposed">Memory holds B as <c>[N, K]</c>.</param>
    /// <param name="epilogue">For N channels.</param>
    /// <param name="kernel">The tile; null chooses one for <paramref name="cpu"/>.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">The offsets differ in number, one is negative, or the epilogue has other channels.</exception>
    public static QGemmBatch Create(int m, int n, int k, int[] aOffsets, int[] bOffsets, bool transposed, QEpilogue epilogue, CpuFeatures cpu, QGemmKernel? kernel = null)
    {
        if (aOffsets.Length != bOffsets.Length) throw new ArgumentException($"{aOffsets.Length} and {bOffsets.Length} offsets; rule: one of each per product");
        if (aOffsets.Concat(bOffsets).Any(offset => offset < 0)) throw new ArgumentException("an offset is negative");
        if (epilogue.Channels != n) throw new ArgumentException($"the epilogue has {epilogue.Channels} channels for {n} columns", nameof(epilogue));
        return new QGemmBatch(m, n, k, [.. aOffsets], [.. bOffsets], transposed, epilogue, kernel ?? QGemmKernels.Select(m, n, k, cpu));
    }

    /// <summary>The tile in use.</summary>
    public QGemmKernel Kernel => _kernel;

    /// <summary>Products of one run.</summary>
    public int Count => _a.Length;

    /// <summary>What happens to the sums.</summary>
    public QEpilogue Epilogue => _epilogue;

    /// <summary>Scratch bytes that <see cref="Run"/> needs.</summary>
    /// <param name="workers">Threads that may take part: <see cref="Parallelism.MaxWorkers"/>.</param>
    /// <param name="signedA">A is signed.</param>
    public int ScratchBytes(int workers, bool signedA = false) =>
        checked((int)Math.Max((long)Alone(signedA) * Math.Max(1, workers), QGemmDriver.ScratchBytes(_m, _measure, Math.Max(1, workers), signedA)));

    /// <summary>Scratch bytes of one product on one thread, a multiple of the alignment.</summary>
    private int Alone(bool signedA) => (QGemmDriver.ScratchBytes(_m, _measure, 1, signedA) + 63) & ~63;

    /// <summary>Computes every product.</summary>
    /// <param name="a">A of all products.</param>
    /// <param name="signedA">A is signed.</param>
    /// <param name="aZeroPoint">za.</param>
    /// <param name="b">B of all products.</param>
    /// <param name="signedB">B is signed.</param>
    /// <param name="bZeroPoints">zb: none for 0, 1 or N, the same for every product.</param>
    /// <param name="sum">The sum operand, shaped like y, if the epilogue has one; else ignored.</param>
    /// <param name="y">Receives <c>[Count, M, N]</c> in the epilogue's element type.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="p">Threads.</param>
    /// <exception cref="ArgumentException">A length does not fit.</exception>
    public void Run(ReadOnlySpan<byte> a, bool signedA, int aZeroPoint, ReadOnlySpan<byte> b, bool signedB, ReadOnlySpan<int> bZeroPoints,
        ReadOnlySpan<byte> sum, Span<byte> y, Span<byte> scratch, Parallelism p)
    {
        if (Count == 0 || _m == 0 || _n == 0) return;
        int workers = p.MaxWorkers;
        if (scratch.Length < ScratchBytes(workers, signedA)) throw new ArgumentException($"scratch has {scratch.Length} bytes, {ScratchBytes(workers, signedA)} are needed");
        for (int i = 0; i < _a.Length; i++)
        {
            if (_a[i] + (long)_m * _k > a.Length) throw new ArgumentException($"A has {a.Length} elements, product {i} needs {_a[i] + (long)_m * _k}", nameof(a));
            if (_b[i] + (long)_n * _k > b.Length) throw new ArgumentException($"B has {b.Length} elements, product {i} needs {_b[i] + (long)_n * _k}", nameof(b));
        }
        long results = (long)Count * _m * _n;
        if (y.Length < results * _epilogue.ElementBytes) throw new ArgumentException($"y has {y.Length} bytes, needs {results * _epilogue.ElementBytes}", nameof(y));
        if (_epilogue.Sum is not null && sum.Length < results * _epilogue.SumElementBytes) throw new ArgumentException($"the sum operand has {sum.Length} bytes, needs {results * _epilogue.SumElementBytes}", nameof(sum));

        fixed (byte* aPointer = a, bPointer = b, sumPointer = sum, yPointer = y, scratchPointer = scratch)
        fixed (int* zeros = bZeroPoints)
        {
            var products = new Products
            {
                Owner = this,
                A = aPointer,
                B = bPointer,
                Sum = sumPointer,
                Y = yPointer,
                BZeros = zeros,
                BZeroCount = bZeroPoints.Length,
                AZero = aZeroPoint,
                SignedA = signedA,
                SignedB = signedB,
                Scratch = scratchPointer,
                ScratchBytes = scratch.Length,
            };
            if (Count >= workers)
            {
                products.ScratchBytes = Alone(signedA);
                p.For(ref products, Count);
                return;
            }
            products.Inner = p;
            for (int i = 0; i < Count; i++) products.Run(i, 0);
        }
    }

    private QGemmWeights Rent()
    {
        for (int i = 0; i < _free.Length; i++)
        {
            if (Volatile.Read(ref _free[i]) is not null && Interlocked.Exchange(ref _free[i], null) is { } room) return room;
        }
        return QGemmWeights.Create(_k, _n, _kernel);
    }

    private void Return(QGemmWeights room)
    {
        for (int i = 0; i < _free.Length; i++)
        {
            if (Interlocked.CompareExchange(ref _free[i], room, null) is null) return;
        }
    }

    private struct Products : IPieces
    {
        public QGemmBatch Owner;
        public byte* A, B, Sum, Y;
        public int* BZeros;
        public int BZeroCount, AZero;
        public bool SignedA, SignedB;
        public byte* Scratch;
        public int ScratchBytes;
        public Parallelism Inner;

        public readonly void Run(int piece, int worker)
        {
            QGemmBatch o = Owner;
            QGemmWeights packed = o.Rent();
            packed.Fill(new ReadOnlySpan<byte>(B + o._b[piece], o._n * o._k), o._transposed, SignedB, new ReadOnlySpan<int>(BZeros, BZeroCount));
            var left = new ReadOnlySpan<byte>(A + o._a[piece], o._m * o._k);
            nint at = (nint)piece * o._m * o._n;
            int length = o._m * o._n, sumBytes = o._epilogue.Sum is null ? 0 : length * o._epilogue.SumElementBytes;
            var addend = new ReadOnlySpan<byte>(Sum + (sumBytes == 0 ? 0 : at * o._epilogue.SumElementBytes), sumBytes);
            var result = new Span<byte>(Y + at * o._epilogue.ElementBytes, length * o._epilogue.ElementBytes);
            var work = new Span<byte>(Scratch + (nint)worker * ScratchBytes, ScratchBytes);
            if (SignedA) QGemmDriver.Run(System.Runtime.InteropServices.MemoryMarshal.Cast<byte, sbyte>(left), o._k, o._m, packed, AZero, o._epilogue, addend, result, o._n, work, Inner);
            else QGemmDriver.Run(left, o._k, o._m, packed, AZero, o._epilogue, addend, result, o._n, work, Inner);
            o.Return(packed);
        }
    }
}
