using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Batched integer matrix product of operands that may both be computed at run time: <c>acc = Σₖ (a[m,k] − za[m])·(b[k,n] − zb[n])</c>, modulo 2³².</summary>
internal sealed class IntegerProduct
{
    private readonly int _a, _b, _aZero, _bZero, _aZeroCount, _bZeroCount;
    private readonly bool _aSigned, _bSigned, _bTransposed;
    private QGemmWeights? _packed;
    private QGemmBatch? _batch;
    private QEpilogue? _epilogue;
    private int _rows, _packedScratch;

    private IntegerProduct(BatchedProduct shape, int a, int b, int aZero, int bZero, int aZeroCount, int bZeroCount, bool aSigned, bool bSigned, bool bTransposed)
    {
        Shape = shape;
        (_a, _b, _aZero, _bZero, _aZeroCount, _bZeroCount) = (a, b, aZero, bZero, aZeroCount, bZeroCount);
        (_aSigned, _bSigned, _bTransposed) = (aSigned, bSigned, bTransposed);
    }

    /// <summary>Extents.</summary>
    public BatchedProduct Shape { get; }

    /// <summary>Accumulators of one run.</summary>
    public int Length => checked(Shape.Count * Shape.M * Shape.N);

    /// <summary>Scratch bytes of one run.</summary>
    public int ScratchBytes => ZeroPointBytes + _packedScratch;

    /// <summary>The kernel that runs it.</summary>
    public string Kernel => _packed?.Kernel.Name ?? _batch?.Kernel.Name ?? "integer product, scalar";

    /// <summary>Room for the zero points as integers, a multiple of the alignment.</summary>
    private int ZeroPointBytes => ((Math.Max(1, _aZeroCount) + Math.Max(1, _bZeroCount)) * sizeof(int) + 63) & ~63;

    /// <summary>Plans the product of two 8-bit inputs.</summary>
    /// <param name="c">The node.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="a">Which input is A; where it is float32, the caller supplies unsigned bytes.</param>
    /// <param name="b">Which input is B.</param>
    /// <param name="aZero">A's zero point: one, or one per row.</param>
    /// <param name="bZero">B's zero point: one, or one per column.</param>
    /// <param name="bTransposed">B's memory is <c>[N, K]</c>.</param>
    public static IntegerProduct Create(PlanContext c, BatchedProduct shape, int a, int b, int aZero, int bZero, bool bTransposed = false)
    {
        c.Expect(b, DataType.UInt8, DataType.Int8);
        var product = new IntegerProduct(shape, a, b, aZero, bZero,
            OperandParameters.Count(c, aZero, shape.M, "a zero point of A"), OperandParameters.Count(c, bZero, shape.N, "a zero point of B"),
            c.Element(a) == DataType.Int8, c.Element(b) == DataType.Int8, bTransposed);
        bool bZeroKnown = bZero < 0 || !c.Has(bZero) || c.Constant(bZero) is not null;
        // One constant matrix for all products: their rows, which lie behind one another, are the rows of a single product.
        if (c.Constant(b) is not { } w || !bZeroKnown || product._aZeroCount > 1 || product.Length == 0 || w.Length != shape.K * shape.N || !shape.A.Select((start, i) => start == i * shape.M * shape.K).All(fits => fits))
        {
            // One zero point for all of A: B is packed for the tiles in every run. One per row has no tile.
            if (product._aZeroCount <= 1 && product.Length > 0)
            {
                product._batch = QGemmBatch.Create(shape.M, shape.N, shape.K, shape.A, shape.B, bTransposed, QEpilogue.ToInt32(shape.N), c.Cpu);
                product._packedScratch = product._batch.ScratchBytes(c.Workers, product._aSigned);
            }
            return product;
        }
        int[] zeros = bZero < 0 || c.Constant(bZero) is not { } zeroPoints ? [] : Array.ConvertAll(zeroPoints.ToInt64Array(), zero => (int)zero);
        if (zeros.All(zero => zero == 0)) zeros = [];
        product._rows = shape.Count * shape.M;
        int rows = product._rows;
        product._packed = c.Share(w, $"QGemm {QGemmKernels.Candidates(rows, shape.N, shape.K, c.IntegerCpu)} {(bTransposed ? "NK" : "KN")} zero points {string.Join(",", zeros)}", () => w.Type == DataType.Int8
            ? QGemmWeights.PackFastest(w.Span<sbyte>(), rows, shape.K, shape.N, bTransposed, zeros, c.IntegerCpu)
            : QGemmWeights.PackFastest(w.Span<byte>(), rows, shape.K, shape.N, bTransposed, zeros, c.IntegerCpu));
        product._epilogue = QEpilogue.ToInt32(shape.N);
        product._packedScratch = QGemmDriver.ScratchBytes(product._rows, product._packed, c.Workers, product._aSigned);
        return product;
    }

    /// <summary>Computes the accumulators.</summary>
    /// <param name="c">The run.</param>
    /// <param name="acc">Receives <c>[Count, M, N]</c>.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    public void Run(StepContext c, Span<int> acc, Span<byte> scratch)
    {
        int count = Math.Max(1, _aZeroCount);
        ReadOnlySpan<int> aZero = OperandParameters.Read(c, _aZero, MemoryMarshal.Cast<byte, int>(scratch)[..count]);
        Run(c, c.Input<byte>(_a), aZero, acc, scratch, count * sizeof(int));
    }

    /// <summary>Computes the accumulators for an A that is no input of the node.</summary>
    /// <param name="c">The run.</param>
    /// <param name="a">A's bytes, signed if the planned input is.</param>
    /// <param name="aZero">One zero point, or one per row.</param>
    /// <param name="acc">Receives <c>[Count, M, N]</c>.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    /// <param name="used">Bytes of <paramref name="scratch"/> that hold <paramref name="aZero"/>.</param>
    public void Run(StepContext c, ReadOnlySpan<byte> a, ReadOnlySpan<int> aZero, Span<int> acc, Span<byte> scratch, int used = 0)
    {
        ReadOnlySpan<sbyte> signedA = MemoryMarshal.Cast<byte, sbyte>(a);
        if (_packed is not null)
        {
            Span<byte> y = MemoryMarshal.AsBytes(acc), work = scratch[ZeroPointBytes..];
            if (_aSigned) QGemmDriver.Run(signedA, Shape.K, _rows, _packed, aZero[0], _epilogue!, default, y, Shape.N, work, c.Parallel);
            else QGemmDriver.Run(a, Shape.K, _rows, _packed, aZero[0], _epilogue!, default, y, Shape.N, work, c.Parallel);
            return;
        }
        ReadOnlySpan<int> bZero = OperandParameters.Read(c, _bZero, MemoryMarshal.Cast<byte, int>(scratch[used..])[..Math.Max(1, _bZeroCount)]);
        if (_batch is not null)
        {
            _batch.Run(a, _aSigned, aZero[0], c.Input(_b).Bytes.Span, _bSigned, bZero, default, MemoryMarshal.AsBytes(acc), scratch[ZeroPointBytes..], c.Parallel);
            return;
        }
        if (_aSigned && _bSigned) Multiply(signedA, c.Input<sbyte>(_b), aZero, bZero, acc);
        else if (_aSigned) Multiply(signedA, c.Input<byte>(_b), aZero, bZero, acc);
        else if (_bSigned) Multiply(a, c.Input<sbyte>(_b), aZero, bZero, acc);
        else Multiply(a, c.Input<byte>(_b), aZero, bZero, acc);
    }

    private void Multiply<TA, TB>(ReadOnlySpan<TA> a, ReadOnlySpan<TB> b, ReadOnlySpan<int> aZero, ReadOnlySpan<int> bZero, Span<int> acc)
        where TA : unmanaged, IBinaryInteger<TA>
        where TB : unmanaged, IBinaryInteger<TB>
    {
        (int m, int k, int n) = (Shape.M, Shape.K, Shape.N);
        acc.Clear();
        for (int product = 0; product < Shape.Count; product++)
        {
            ReadOnlySpan<TA> left = a.Slice(Shape.A[product], m * k);
            ReadOnlySpan<TB> right = b.Slice(Shape.B[product], k * n);
            for (int i = 0; i < m; i++)
            {
                Span<int> row = acc.Slice((product * m + i) * n, n);
                int zero = aZero[aZero.Length == 1 ? 0 : i];
                for (int p = 0; p < k; p++)
                {
                    int factor = int.CreateTruncating(left[i * k + p]) - zero;
                    if (factor == 0) continue;
                    for (int j = 0; j < n; j++)
                    {
                        int weight = int.CreateTruncating(right[_bTransposed ? j * k + p : p * n + j]) - bZero[bZero.Length == 1 ? 0 : j];
                        row[j] = unchecked(row[j] + factor * weight);
                    }
                }
            }
        }
    }
}
