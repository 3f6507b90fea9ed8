using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Layout;
using Octet.Kernels.SGemm;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Extents of a batch of matrix products <c>Y[M,N] = A[M,K] · B[K,N]</c>.</summary>
/// <param name="M">Rows of A and Y.</param>
/// <param name="N">Columns of B and Y.</param>
/// <param name="K">Depth.</param>
/// <param name="TransA">Whether A lies as <c>[K, M]</c>.</param>
/// <param name="TransB">Whether B lies as <c>[N, K]</c>.</param>
/// <param name="A">Which matrix of A each product reads.</param>
/// <param name="B">Which matrix of B each product reads.</param>
internal sealed record ProductShape(int M, int N, int K, bool TransA, bool TransB, int[] A, int[] B)
{
    /// <summary>Number of products.</summary>
    public int Count => A.Length;

    /// <summary>Multiply-accumulates of all of them.</summary>
    public long MultiplyAccumulates => (long)Count * M * N * K;
}

/// <summary>What a product adds to its accumulator.</summary>
/// <param name="Alpha">Factor of the product.</param>
/// <param name="Beta">Factor of the addend.</param>
/// <param name="AddendInput">Input that is added, broadcast to the output; −1 for none.</param>
/// <param name="SumInput">Input of the output's shape that is added as well; −1 for none.</param>
/// <param name="Activation">Applied last, or before the sum where <paramref name="ActivationFirst"/>.</param>
/// <param name="ActivationFirst">Whether the sum is added after the activation.</param>
internal readonly record struct ProductEpilogue(float Alpha, float Beta, int AddendInput, int SumInput, Activation Activation, bool ActivationFirst)
{
    /// <summary>The product alone.</summary>
    public static ProductEpilogue None => new(1f, 0f, -1, -1, Activation.None, false);
}

/// <summary>Plans of matrix products.</summary>
internal static class ProductPlan
{
    /// <summary>Rows of A from which packing a computed B pays: below, each element of B is used too rarely.</summary>
    private const int PackedRows = 4;

    /// <summary>Plans <c>y = act(alpha · A·B + beta · addend + sum)</c>; input 0 is A, input 1 is B.</summary>
    public static Step Create(PlanContext c, ProductShape shape, ProductEpilogue e)
    {
        int[]? addend = e.AddendInput >= 0 && c.Has(e.AddendInput) && e.Beta != 0f ? c.InputShape(e.AddendInput) : null;
        if (addend is not null) CheckBroadcast(c, addend, c.OutputShape(0));
        bool hasSum = e.SumInput >= 0 && c.Has(e.SumInput);
        if (hasSum && !c.InputShape(e.SumInput).AsSpan().SequenceEqual(c.OutputShape(0)))
            throw c.Error($"the sum operand has shape {Tensor.Format(c.InputShape(e.SumInput))}, the output {Tensor.Format(c.OutputShape(0))}", "sum.shape = y.shape");

        if (c.Element(0) == DataType.Float32)
        {
            // A computed addend is read again in every run, unless a sum or an activation before it leaves no place for that.
            bool needsBias = hasSum || e.ActivationFirst;
            float[]? bias = addend is null ? [] : (needsBias ? c.Known(e.AddendInput) : c.Constant(e.AddendInput)) is { } known ? Bias(known, addend, shape.N, e.Beta) : null;
            bool addsMatrix = bias is null;
            bool matrixAndMore = addsMatrix && needsBias;
            if (c.Constant(1) is { } b && !matrixAndMore) return Packed(c, shape, e, b, bias ?? [], addsMatrix ? addend : null, hasSum);
            if (!matrixAndMore && (shape.M >= PackedRows || hasSum || e.Activation != Activation.None))
            {
                SGemmKernel kernel = SGemmKernels.Select(shape.M, shape.N, shape.K, c.Cpu);
                return new PackedStep(shape, null, kernel, e.Activation.Epilogue(shape.N, bias ?? [], e.ActivationFirst, c.Cpu), e, addsMatrix ? addend : null, c.OutputShape(0), hasSum, c);
            }
        }
        if (hasSum || e.Activation != Activation.None)
            throw c.Unsupported("a fused activation or sum with a B that is computed at run time", "a constant B");
        return c.Element(0) switch
        {
            DataType.Float32 => new DefinitionStep<float>(shape, e, addend, c.OutputShape(0), e.Alpha, e.Beta),
            DataType.Float64 => new DefinitionStep<double>(shape, e, addend, c.OutputShape(0), e.Alpha, e.Beta),
            DataType.Int32 => Integer<int>(c, shape, e, addend),
            DataType.UInt32 => Integer<uint>(c, shape, e, addend),
            DataType.Int64 => Integer<long>(c, shape, e, addend),
            DataType.UInt64 => Integer<ulong>(c, shape, e, addend),
            DataType other => throw c.Unsupported($"a product of {other.Name()}", "float32, float64, int32, uint32, int64, uint64"),
        };
    }

    private static Step Integer<T>(PlanContext c, ProductShape shape, ProductEpilogue e, int[]? addend) where T : unmanaged, IBinaryInteger<T>
    {
        if (e.Alpha != MathF.Floor(e.Alpha) || e.Beta != MathF.Floor(e.Beta)) throw c.Unsupported($"factors {e.Alpha} and {e.Beta} with integer matrices", "whole factors");
        return new DefinitionStep<T>(shape, e, addend, c.OutputShape(0), T.CreateSaturating(e.Alpha), T.CreateSaturating(e.Beta));
    }

    private static Step Packed(PlanContext c, ProductShape shape, ProductEpilogue e, Tensor b, float[] bias, int[]? addend, bool hasSum)
    {
        bool oneB = shape.B.All(matrix => matrix == 0);
        bool rowsFollow = oneB && !shape.TransA && shape.A.AsSpan().SequenceEqual(Enumerable.Range(0, shape.Count).ToArray());
        ProductShape run = rowsFollow ? shape with { M = checked(shape.M * shape.Count), A = [0], B = [0] } : shape;
        SGemmKernel kernel = SGemmKernels.Select(run.M, run.N, run.K, c.Cpu);
        string key = string.Create(CultureInfo.InvariantCulture, $"sgemm {kernel.Name} {run.K}x{run.N} t{(run.TransB ? 1 : 0)} {BitConverter.SingleToInt32Bits(e.Alpha):x}");
        int matrices = run.B.Length == 0 ? 0 : run.B.Max() + 1;
        SGemmWeights[] weights = c.Share(b, key, () => Pack(b, run, matrices, e.Alpha, kernel));
        return new PackedStep(run, weights, kernel, e.Activation.Epilogue(run.N, bias, e.ActivationFirst, c.Cpu), e, addend, c.OutputShape(0), hasSum, c);
    }

    private static SGemmWeights[] Pack(Tensor b, ProductShape shape, int count, float alpha, SGemmKernel kernel)
    {
        var packed = new SGemmWeights[count];
        int size = shape.K * shape.N;
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<float> matrix = b.Span<float>().Slice(i * size, size);
            if (alpha != 1f)
            {
                var scaled = new float[size];
                for (int j = 0; j < size; j++) scaled[j] = alpha * matrix[j];
                matrix = scaled;
            }
            packed[i] = SGemmWeights.Pack(matrix, shape.K, shape.N, shape.TransB, kernel);
        }
        return packed;
    }

    /// <summary>The addend as one value per column, or null where it differs between rows.</summary>
    private static float[]? Bias(Tensor addend, int[] shape, int columns, float beta)
    {
        if (addend.Length != 1 && (addend.Length != columns || shape[^1] != columns)) return null;
        var bias = new float[columns];
        for (int i = 0; i < columns; i++) bias[i] = beta * addend.Span<float>()[addend.Length == 1 ? 0 : i];
        return bias;
    }

    private static void CheckBroadcast(PlanContext c, int[] addend, int[] output)
    {
        bool fits = addend.Length <= output.Length;
        for (int i = 1; fits && i <= addend.Length; i++) fits = addend[^i] == 1 || addend[^i] == output[^i];
        if (!fits) throw c.Error($"the addend {Tensor.Format(addend)} does not broadcast to {Tensor.Format(output)}", "each extent of the addend is 1 or that of the output");
    }

    /// <summary>Fills y with <c>beta · addend</c>, broadcast.</summary>
    private static void Spread<T>(ReadOnlySpan<T> addend, int[] shape, Span<T> y, int[] output, T beta) where T : unmanaged, INumber<T>
    {
        int columns = output.Length == 0 ? 1 : output[^1], last = shape.Length == 0 ? 1 : shape[^1];
        if (columns == 0) return;
        for (int row = 0; row < y.Length / columns; row++)
        {
            int at = 0, rest = row, stride = last;
            for (int axis = 2; axis <= output.Length; axis++)
            {
                int index = rest % output[^axis];
                rest /= output[^axis];
                if (axis > shape.Length) continue;
                if (shape[^axis] != 1) at += index * stride;
                stride *= shape[^axis];
            }
            Span<T> target = y.Slice(row * columns, columns);
            for (int j = 0; j < columns; j++) target[j] = beta * addend[at + (last == 1 ? 0 : j)];
        }
    }

    /// <summary>Products on the tiles: with a B packed once, or packed into scratch space in every run.</summary>
    private sealed class PackedStep : Step
    {
        private readonly ProductShape _shape;
        private readonly SGemmWeights[]? _weights;
        private readonly SGemmKernel _kernel;
        private readonly TransposePlan? _transpose;
        private readonly SEpilogue _epilogue;
        private readonly ProductEpilogue _e;
        private readonly int[]? _addend;
        private readonly int[] _output;
        private readonly bool _hasSum;
        private readonly int _transposedBytes;

        public PackedStep(ProductShape shape, SGemmWeights[]? weights, SGemmKernel tile, SEpilogue epilogue, ProductEpilogue e, int[]? addend, int[] output, bool hasSum, PlanContext c)
        {
            (_shape, _weights, _kernel, _epilogue, _e, _addend, _output, _hasSum) = (shape, weights, tile, epilogue, e, addend, output, hasSum);
            long transposed = shape.TransA ? ((long)shape.M * shape.K * sizeof(float) + 63) / 64 * 64 : 0;
            if (shape.TransA) _transpose = TransposePlan.Create([shape.K, shape.M], [1, 0], sizeof(float));
            long kernel = weights is null ? SGemmDynamic.ScratchBytes(shape.K, shape.N, tile) : weights.Length == 0 ? 0 : SGemmDriver.ScratchBytes(shape.M, weights[0], c.Workers);
            if (transposed + kernel > int.MaxValue) throw c.Unsupported($"{transposed + kernel} bytes of scratch space", $"at most {int.MaxValue}");
            _transposedBytes = (int)transposed;
            ScratchBytes = (int)(transposed + kernel);
        }

        public override string Kernel => _kernel.Name;

        public override string Reason => _weights is null ? "B is computed at run time and packed in every run" : "B is constant and packed once";

        public override long MultiplyAccumulates => _shape.MultiplyAccumulates;

        public override int ScratchBytes { get; }

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> a = c.Input<float>(0);
            Span<float> y = c.Output<float>(0);
            if (_addend is not null) Spread(c.Input<float>(_e.AddendInput), _addend, y, _output, _e.Beta);
            ReadOnlySpan<float> sum = _hasSum ? c.Input<float>(_e.SumInput) : _addend is not null ? y : default;
            int sizeA = _shape.M * _shape.K, sizeY = _shape.M * _shape.N;
            Span<byte> transposed = c.Scratch[.._transposedBytes], scratch = c.Scratch[_transposedBytes..];
            ReadOnlySpan<float> b = c.Input<float>(1);
            int sizeB = _shape.K * _shape.N;
            for (int i = 0; i < _shape.Count; i++)
            {
                ReadOnlySpan<float> matrix = a.Slice(_shape.A[i] * sizeA, sizeA);
                if (_transpose is not null)
                {
                    _transpose.Run(MemoryMarshal.AsBytes(matrix), transposed, c.Parallel);
                    matrix = MemoryMarshal.Cast<byte, float>(transposed)[..sizeA];
                }
                ReadOnlySpan<float> added = sum.IsEmpty ? default : sum.Slice(i * sizeY, sizeY);
                Span<float> result = y.Slice(i * sizeY, sizeY);
                if (_weights is not null) SGemmDriver.Run(matrix, _shape.K, _shape.M, _weights[_shape.B[i]], _epilogue, added, result, _shape.N, scratch, c.Parallel);
                else SGemmDynamic.Run(matrix, _shape.M, b.Slice(_shape.B[i] * sizeB, sizeB), _shape.K, _shape.N, _shape.TransB, _e.Alpha, _kernel, _epilogue, added, result, scratch, c.Parallel);
            }
        }
    }

    /// <summary>Products of matrices that are both computed at run time, row by row.</summary>
    private sealed class DefinitionStep<T>(ProductShape shape, ProductEpilogue e, int[]? addend, int[] output, T alpha, T beta) : Step where T : unmanaged, INumber<T>
    {
        public override string Kernel => $"rows {typeof(T).Name.ToLowerInvariant()}";

        public override string Reason => "B is computed at run time, or the element type has no kernel";

        public override long MultiplyAccumulates => shape.MultiplyAccumulates;

        public override void Run(StepContext c)
        {
            ReadOnlySpan<T> a = c.Input<T>(0), b = c.Input<T>(1);
            Span<T> y = c.Output<T>(0);
            if (addend is not null) Spread(c.Input<T>(e.AddendInput), addend, y, output, beta);
            else y.Clear();
            (int m, int n, int k) = (shape.M, shape.N, shape.K);
            for (int i = 0; i < shape.Count; i++)
            {
                ReadOnlySpan<T> left = a.Slice(shape.A[i] * m * k, m * k), right = b.Slice(shape.B[i] * k * n, k * n);
                Span<T> result = y.Slice(i * m * n, m * n);
                for (int row = 0; row < m; row++)
                {
                    Span<T> target = result.Slice(row * n, n);
                    if (shape.TransB && !shape.TransA)
                    {
                        for (int j = 0; j < n; j++) target[j] += alpha * Dot(left.Slice(row * k, k), right.Slice(j * k, k));
                        continue;
                    }
                    for (int t = 0; t < k; t++)
                    {
                        T factor = alpha * (shape.TransA ? left[t * m + row] : left[row * k + t]);
                        if (shape.TransB)
                        {
                            for (int j = 0; j < n; j++) target[j] += factor * right[j * k + t];
                        }
                        else
                        {
                            AddScaled(factor, right.Slice(t * n, n), target);
                        }
                    }
                }
            }
        }

        private static T Dot(ReadOnlySpan<T> x, ReadOnlySpan<T> y)
        {
            int i = 0;
            T sum = T.Zero;
            if (Vector<T>.IsSupported)
            {
                Vector<T> sums = Vector<T>.Zero;
                for (; i <= x.Length - Vector<T>.Count; i += Vector<T>.Count) sums += new Vector<T>(x[i..]) * new Vector<T>(y[i..]);
                sum = Vector.Sum(sums);
            }
            for (; i < x.Length; i++) sum += x[i] * y[i];
            return sum;
        }

        private static void AddScaled(T factor, ReadOnlySpan<T> x, Span<T> y)
        {
            int i = 0;
            if (Vector<T>.IsSupported)
            {
                var scale = new Vector<T>(factor);
                for (; i <= x.Length - Vector<T>.Count; i += Vector<T>.Count)
                    (new Vector<T>(y[i..]) + scale * new Vector<T>(x[i..])).CopyTo(y[i..]);
            }
            for (; i < x.Length; i++) y[i] += factor * x[i];
        }
    }
}
