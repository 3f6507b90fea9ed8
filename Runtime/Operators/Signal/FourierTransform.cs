namespace Octet.Runtime.Operators;

/// <summary>The discrete Fourier transform of one length: <c>X[k] = Σₙ x[n] · e^(∓2πikn/N)</c>, in double precision.</summary>
/// <remarks>
/// A power of two is transformed by radix-2 butterflies; any other length as a convolution of such a length (Bluestein 1970). The inverse is not scaled.
/// Immutable; a run needs <see cref="ScratchLength"/> doubles.
/// </remarks>
internal sealed class FourierTransform
{
    private readonly int _length;
    private readonly int _size;          // power of two
    private readonly double[] _cos, _sin;   // twiddles of _size
    private readonly double[]? _chirpRe, _chirpIm, _filterRe, _filterIm;
    private readonly bool _inverse;

    /// <summary>Prepares length <paramref name="length"/>, at least 1.</summary>
    public FourierTransform(int length, bool inverse)
    {
        (_length, _inverse) = (length, inverse);
        bool power = (length & (length - 1)) == 0;
        long size = 1;
        while (size < (power ? length : 2L * length - 1)) size *= 2;
        _size = checked((int)size);
        _cos = new double[Math.Max(1, _size / 2)];
        _sin = new double[_cos.Length];
        for (int i = 0; i < _cos.Length; i++) (_sin[i], _cos[i]) = Math.SinCos(-2 * Math.PI * i / _size);
        if (power) return;

        _chirpRe = new double[length];
        _chirpIm = new double[length];
        _filterRe = new double[_size];
        _filterIm = new double[_size];
        for (int i = 0; i < length; i++)
        {
            // i² mod 2N keeps the angle exact for long transforms.
            double angle = Math.PI * ((long)i * i % (2L * length)) / length;
            (double sin, double cos) = Math.SinCos(angle);
            (_chirpRe[i], _chirpIm[i]) = (cos, -sin);
            (_filterRe[i], _filterIm[i]) = (cos, sin);
            if (i > 0) (_filterRe[_size - i], _filterIm[_size - i]) = (cos, sin);
        }
        Butterflies(_filterRe, _filterIm);
    }

    /// <summary>Whether it is the inverse, apart from its scale.</summary>
    public bool Inverse => _inverse;

    /// <summary>N.</summary>
    public int Length => _length;

    /// <summary>Doubles of scratch that <see cref="Run"/> needs.</summary>
    public int ScratchLength => 2 * _size;

    /// <summary>Transforms in place.</summary>
    public void Run(Span<double> re, Span<double> im, Span<double> scratch)
    {
        // The inverse is the forward transform with real and imaginary parts exchanged.
        if (_inverse) Forward(im, re, scratch);
        else Forward(re, im, scratch);
    }

    private void Forward(Span<double> re, Span<double> im, Span<double> scratch)
    {
        if (_chirpRe is null)
        {
            Butterflies(re[.._length], im[.._length]);
            return;
        }
        Span<double> a = scratch[.._size], b = scratch.Slice(_size, _size);
        a.Clear();
        b.Clear();
        for (int i = 0; i < _length; i++)
        {
            a[i] = re[i] * _chirpRe[i] - im[i] * _chirpIm![i];
            b[i] = re[i] * _chirpIm![i] + im[i] * _chirpRe[i];
        }
        Butterflies(a, b);
        for (int i = 0; i < _size; i++) (a[i], b[i]) = (a[i] * _filterRe![i] - b[i] * _filterIm![i], a[i] * _filterIm![i] + b[i] * _filterRe![i]);
        Butterflies(b, a);   // inverse
        for (int i = 0; i < _length; i++)
        {
            (double x, double y) = (a[i] / _size, b[i] / _size);
            re[i] = x * _chirpRe[i] - y * _chirpIm![i];
            im[i] = x * _chirpIm![i] + y * _chirpRe[i];
        }
    }

    private void Butterflies(Span<double> re, Span<double> im)
    {
        int n = _size;
        for (int i = 1, j = 0; i < n; i++)
        {
            int bit = n >> 1;
            for (; (j & bit) != 0; bit >>= 1) j ^= bit;
            j ^= bit;
            if (i < j) (re[i], re[j], im[i], im[j]) = (re[j], re[i], im[j], im[i]);
        }
        for (int half = 1; half < n; half *= 2)
        {
            int step = n / (2 * half);
            for (int start = 0; start < n; start += 2 * half)
            {
                for (int i = 0; i < half; i++)
                {
                    (double c, double s) = (_cos[i * step], _sin[i * step]);
                    int p = start + i, q = p + half;
                    double x = re[q] * c - im[q] * s, y = re[q] * s + im[q] * c;
                    (re[q], im[q]) = (re[p] - x, im[p] - y);
                    (re[p], im[p]) = (re[p] + x, im[p] + y);
                }
            }
        }
    }
}
