using System.Numerics;
using Octet.Kernels.SGemm;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The matrix products of one direction of a recurrent layer.</summary>
internal abstract class RecurrentProducts(RecurrentShape shape)
{
    /// <summary>Extents.</summary>
    protected RecurrentShape Shape => shape;

    /// <summary>The kernel's name where weights are packed.</summary>
    public abstract string Kernel { get; }

    /// <summary>Bytes of scratch of any of the products.</summary>
    public virtual int ScratchBytes => 0;

    /// <summary><c>projected[S·B, G·H] = X · Wᵀ + bias</c>.</summary>
    /// <param name="c">The run.</param>
    /// <param name="direction">Which direction.</param>
    /// <param name="steps">Leading steps of X that are needed; all where the batch comes first.</param>
    /// <param name="bias">One per column.</param>
    /// <param name="projected">Receives the sums.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    public abstract void Inputs(StepContext c, int direction, int steps, ReadOnlySpan<float> bias, Span<float> projected, Span<byte> scratch);

    /// <summary><c>y[B, n] += h[B, H] · R[block]ᵀ</c>.</summary>
    /// <param name="c">The run.</param>
    /// <param name="direction">Which direction.</param>
    /// <param name="block">Which group of gates.</param>
    /// <param name="h">The hidden states, or what stands for them.</param>
    /// <param name="y">Receives the sums.</param>
    /// <param name="ldy">Row stride of <paramref name="y"/>.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/>.</param>
    public abstract void Recurrent(StepContext c, int direction, int block, ReadOnlySpan<float> h, Span<float> y, int ldy, Span<byte> scratch);
}

/// <summary>Products with float32 weights. Constant weights are packed once; others are read as they are.</summary>
internal sealed class FloatRecurrentProducts : RecurrentProducts
{
    private readonly SGemmWeights? _input;
    private readonly SEpilogue? _inputEpilogue;
    private readonly Block[] _blocks;

    private sealed record Block(int First, int Count, SGemmWeights? Weights, SEpilogue? Epilogue);

    /// <summary>Prepares the products of direction <paramref name="direction"/>.</summary>
    /// <param name="c">The node; inputs 1 and 2 are W and R.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="direction">Which direction.</param>
    /// <param name="gatesPerBlock">How many gates each recurrent product covers, in order.</param>
    public FloatRecurrentProducts(PlanContext c, RecurrentShape shape, int direction, int[] gatesPerBlock) : base(shape)
    {
        _input = Pack(c, 1, direction * shape.Columns, shape.Columns, shape.Inputs, shape.Steps * shape.Batch);
        if (_input is not null) _inputEpilogue = SEpilogue.None(_input.N);
        _blocks = new Block[gatesPerBlock.Length];
        int first = 0;
        for (int i = 0; i < _blocks.Length; i++)
        {
            int count = gatesPerBlock[i] * shape.Hidden;
            SGemmWeights? weights = Pack(c, 2, direction * shape.Columns + first, count, shape.Hidden, shape.Batch);
            _blocks[i] = new Block(first, count, weights, weights is null ? null : SEpilogue.None(count));
            first += count;
        }
    }

    public override string Kernel => _input is null ? "dot" : _input.Kernel.Name;

    public override void Inputs(StepContext c, int direction, int steps, ReadOnlySpan<float> bias, Span<float> projected, Span<byte> scratch)
    {
        int columns = Shape.Columns, rows = steps * Shape.Batch;
        for (int row = 0; row < rows; row++) bias.CopyTo(projected[(row * columns)..]);
        if (_input is not null)
        {
            SGemmDriver.Run(c.Input<float>(0), Shape.Inputs, rows, _input, _inputEpilogue!, projected, projected, columns, default, c.Parallel);
            return;
        }
        ReadOnlySpan<float> w = c.Input<float>(1).Slice(direction * columns * Shape.Inputs, columns * Shape.Inputs);
        Add(c.Input<float>(0), rows, Shape.Inputs, w, columns, projected, columns);
    }

    public override void Recurrent(StepContext c, int direction, int block, ReadOnlySpan<float> h, Span<float> y, int ldy, Span<byte> scratch)
    {
        Block part = _blocks[block];
        int hidden = Shape.Hidden;
        if (part.Weights is not null)
        {
            SGemmDriver.Run(h, hidden, Shape.Batch, part.Weights, part.Epilogue!, y, y, ldy, default, c.Parallel, ldy);
            return;
        }
        ReadOnlySpan<float> r = c.Input<float>(2).Slice((direction * Shape.Columns + part.First) * hidden, part.Count * hidden);
        Add(h, Shape.Batch, hidden, r, part.Count, y, ldy);
    }

    private static SGemmWeights? Pack(PlanContext c, int input, int firstRow, int rows, int depth, int m)
    {
        if (c.Constant(input) is not { } tensor || rows == 0 || depth == 0) return null;
        SGemmKernel kernel = SGemmKernels.Select(m, rows, depth, c.Cpu);
        return c.Share(tensor, $"rows {firstRow}+{rows} {kernel.Name}",
            () => SGemmWeights.Pack(tensor.Span<float>().Slice(firstRow * depth, rows * depth), depth, rows, transposed: true, kernel));
    }

    private static void Add(ReadOnlySpan<float> a, int m, int k, ReadOnlySpan<float> w, int n, Span<float> y, int ldy)
    {
        for (int i = 0; i < m; i++)
        {
            ReadOnlySpan<float> row = a.Slice(i * k, k);
            for (int j = 0; j < n; j++) y[i * ldy + j] += Dot(row, w.Slice(j * k, k));
        }
    }

    private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        Vector<float> sums = default;
        int i = 0;
        for (; i <= a.Length - Vector<float>.Count; i += Vector<float>.Count) sums += new Vector<float>(a[i..]) * new Vector<float>(b[i..]);
        float sum = Vector.Sum(sums);
        for (; i < a.Length; i++) sum += a[i] * b[i];
        return sum;
    }
}
