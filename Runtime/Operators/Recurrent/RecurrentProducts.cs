using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The matrix products of one direction of a recurrent layer.</summary>
internal sealed class RecurrentProducts
{
    private readonly RecurrentShape _shape;

    private RecurrentProducts(RecurrentShape shape) => _shape = shape;

    /// <summary>Prepares the products of direction <paramref name="direction"/>.</summary>
    public static RecurrentProducts Create(PlanContext c, RecurrentShape shape, int direction, int gates) => new(shape);

    /// <summary>Scratch bytes of one product.</summary>
    public int ScratchBytes => 0;

    /// <summary><c>projected[S·B, G·H] = X · Wᵀ + bias</c>.</summary>
    public void Inputs(StepContext c, int direction, ReadOnlySpan<float> bias, Span<float> projected, Span<byte> scratch)
    {
        int columns = _shape.Columns;
        for (int row = 0; row < _shape.Steps * _shape.Batch; row++) bias.CopyTo(projected[(row * columns)..]);
        ReadOnlySpan<float> w = c.Input<float>(1).Slice(direction * columns * _shape.Inputs, columns * _shape.Inputs);
        Add(c.Input<float>(0), _shape.Steps * _shape.Batch, _shape.Inputs, w, columns, projected, columns);
    }

    /// <summary><c>y[B, n] += h[B, H] · R[first … first + n)ᵀ</c> with rows of R counted from the first gate's.</summary>
    public void Recurrent(StepContext c, int direction, ReadOnlySpan<float> h, int first, int n, Span<float> y, int ldy, Span<byte> scratch)
    {
        int hidden = _shape.Hidden;
        ReadOnlySpan<float> r = c.Input<float>(2).Slice((direction * _shape.Columns + first) * hidden, n * hidden);
        Add(h, _shape.Batch, hidden, r, n, y, ldy);
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
