namespace Octet.Runtime.Operators;

/// <summary>Copies between channels-first <c>[N, C, P]</c> and channels-last <c>[N, P, C]</c>.</summary>
internal static class ChannelOrder
{
    /// <summary>Side of the square that is copied at a time: 16 lines of 64 bytes each way stay in L1.</summary>
    private const int Block = 16;

    /// <summary><c>y[n, p, c] = x[n, c, p]</c>.</summary>
    public static void ToLast<T>(ReadOnlySpan<T> x, Span<T> y, int batch, int channels, int pixels) => Swap(x, y, batch, channels, pixels);

    /// <summary><c>y[n, c, p] = x[n, p, c]</c>.</summary>
    public static void ToFirst<T>(ReadOnlySpan<T> x, Span<T> y, int batch, int channels, int pixels) => Swap(x, y, batch, pixels, channels);

    /// <summary><c>y[n, j, i] = x[n, i, j]</c>.</summary>
    private static void Swap<T>(ReadOnlySpan<T> x, Span<T> y, int batch, int rows, int columns)
    {
        int image = rows * columns;
        if (rows == 1 || columns == 1)
        {
            x[..(batch * image)].CopyTo(y);
            return;
        }
        for (int n = 0; n < batch; n++)
        {
            ReadOnlySpan<T> from = x.Slice(n * image, image);
            Span<T> to = y.Slice(n * image, image);
            for (int i0 = 0; i0 < rows; i0 += Block)
            {
                int i1 = Math.Min(i0 + Block, rows);
                for (int j0 = 0; j0 < columns; j0 += Block)
                {
                    int j1 = Math.Min(j0 + Block, columns);
                    for (int j = j0; j < j1; j++)
                    {
                        for (int i = i0; i < i1; i++) to[j * rows + i] = from[i * columns + j];
                    }
                }
            }
        }
    }
}
