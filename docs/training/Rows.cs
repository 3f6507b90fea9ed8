using System.Runtime.Intrinsics;

namespace Octet.Training;

/// <summary>
/// Element-wise loops, 16 lanes at a time; every length is a multiple of 16. Where a long operand meets a short one, the long one
/// holds rows of channels and the short one a value per channel.
/// </summary>
internal static class Rows
{
    /// <summary><c>y += x</c>.</summary>
    public static void Add(ReadOnlySpan<float> x, Span<float> y)
    {
        Require(x.Length, y.Length);
        for (int i = 0; i < x.Length; i += Gemm.Lanes) (Load(x, i) + Load(y, i)).CopyTo(y[i..]);
    }

    /// <summary><c>y += x·w</c>.</summary>
    public static void MultiplyAdd(ReadOnlySpan<float> x, ReadOnlySpan<float> w, Span<float> y)
    {
        Require(x.Length, y.Length);
        for (int i = 0; i < x.Length; i += Gemm.Lanes) Vector512.FusedMultiplyAdd(Load(x, i), Load(w, i), Load(y, i)).CopyTo(y[i..]);
    }

    /// <summary><c>y = min(max(x, 0), ceiling)</c>.</summary>
    public static void Clamp(ReadOnlySpan<float> x, float ceiling, Span<float> y)
    {
        Require(x.Length, y.Length);
        Vector512<float> top = Vector512.Create(ceiling);
        for (int i = 0; i < x.Length; i += Gemm.Lanes) Vector512.Min(Vector512.Max(Load(x, i), Vector512<float>.Zero), top).CopyTo(y[i..]);
    }

    /// <summary><c>dx += dy</c> where <c>0 &lt; x &lt; ceiling</c>.</summary>
    public static void ClampGradient(ReadOnlySpan<float> dy, ReadOnlySpan<float> x, float ceiling, Span<float> dx)
    {
        Require(dy.Length, dx.Length);
        Vector512<float> top = Vector512.Create(ceiling);
        for (int i = 0; i < dy.Length; i += Gemm.Lanes)
        {
            Vector512<float> inside = Vector512.GreaterThan(Load(x, i), Vector512<float>.Zero) & Vector512.LessThan(Load(x, i), top);
            (Load(dx, i) + (Load(dy, i) & inside)).CopyTo(dx[i..]);
        }
    }

    /// <summary><c>sum[c] += Σ x[·, c]</c>.</summary>
    public static void Total(ReadOnlySpan<float> x, Span<float> sum)
    {
        for (int c = 0; c < sum.Length; c += Gemm.Lanes)
        {
            Vector512<float> s = Load(sum, c);
            for (int i = c; i < x.Length; i += sum.Length) s += Load(x, i);
            s.CopyTo(sum[c..]);
        }
    }

    /// <summary><c>sum[c] += Σ (x[·, c] − mean[c])²</c>.</summary>
    public static void TotalSquares(ReadOnlySpan<float> x, ReadOnlySpan<float> mean, Span<float> sum)
    {
        for (int c = 0; c < sum.Length; c += Gemm.Lanes)
        {
            Vector512<float> s = Load(sum, c), m = Load(mean, c);
            for (int i = c; i < x.Length; i += sum.Length)
            {
                Vector512<float> d = Load(x, i) - m;
                s = Vector512.FusedMultiplyAdd(d, d, s);
            }

            s.CopyTo(sum[c..]);
        }
    }

    /// <summary><c>sum[c] += Σ dy[·, c]·(x[·, c] − mean[c])</c>.</summary>
    public static void TotalProducts(ReadOnlySpan<float> dy, ReadOnlySpan<float> x, ReadOnlySpan<float> mean, Span<float> sum)
    {
        for (int c = 0; c < sum.Length; c += Gemm.Lanes)
        {
            Vector512<float> s = Load(sum, c), m = Load(mean, c);
            for (int i = c; i < x.Length; i += sum.Length) s = Vector512.FusedMultiplyAdd(Load(dy, i), Load(x, i) - m, s);
            s.CopyTo(sum[c..]);
        }
    }

    /// <summary><c>y[·, c] = x[·, c]·factor[c] + offset[c]</c>.</summary>
    public static void Affine(ReadOnlySpan<float> x, ReadOnlySpan<float> factor, ReadOnlySpan<float> offset, Span<float> y)
    {
        for (int c = 0; c < factor.Length; c += Gemm.Lanes)
        {
            Vector512<float> f = Load(factor, c), o = Load(offset, c);
            for (int i = c; i < x.Length; i += factor.Length) Vector512.FusedMultiplyAdd(Load(x, i), f, o).CopyTo(y[i..]);
        }
    }

    /// <summary><c>dx[·, c] += dy[·, c]·dyFactor[c] + x[·, c]·xFactor[c] + offset[c]</c>.</summary>
    public static void AffineGradient(ReadOnlySpan<float> dy, ReadOnlySpan<float> x, ReadOnlySpan<float> dyFactor, ReadOnlySpan<float> xFactor, ReadOnlySpan<float> offset, Span<float> dx)
    {
        for (int c = 0; c < offset.Length; c += Gemm.Lanes)
        {
            Vector512<float> f = Load(dyFactor, c), g = Load(xFactor, c), o = Load(offset, c);
            for (int i = c; i < x.Length; i += offset.Length)
                Vector512.FusedMultiplyAdd(Load(dy, i), f, Vector512.FusedMultiplyAdd(Load(x, i), g, Load(dx, i) + o)).CopyTo(dx[i..]);
        }
    }

    private static Vector512<float> Load(ReadOnlySpan<float> values, int at) => Vector512.Create(values.Slice(at, Gemm.Lanes));

    private static void Require(int x, int y)
    {
        if (x != y || x % Gemm.Lanes != 0) throw new ArgumentException($"Lengths {x} and {y} must be equal and a multiple of {Gemm.Lanes}.");
    }
}
