namespace Octet.Kernels.QGemm;

/// <summary>The definition of the integer matrix product.</summary>
internal static class QGemmReference
{
    /// <summary><c>c[m,n] = Σₖ (a[m,k] − za)·(b[k,n] − zb[n])</c>, modulo 2³².</summary>
    /// <param name="a"><c>[m, k]</c>.</param>
    /// <param name="za">Zero point of A.</param>
    /// <param name="b"><c>[k, n]</c>.</param>
    /// <param name="zb">Empty (0), 1 or n zero points of B.</param>
    /// <param name="m">M.</param>
    /// <param name="n">N.</param>
    /// <param name="k">K.</param>
    public static int[] Multiply(ReadOnlySpan<int> a, int za, ReadOnlySpan<int> b, ReadOnlySpan<int> zb, int m, int n, int k)
    {
        var c = new int[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                int zeroPoint = zb.Length == 0 ? 0 : zb[zb.Length == 1 ? 0 : j];
                for (int l = 0; l < k; l++) c[i * n + j] = unchecked(c[i * n + j] + (a[i * k + l] - za) * (b[l * n + j] - zeroPoint));
            }
        }
        return c;
    }
}
