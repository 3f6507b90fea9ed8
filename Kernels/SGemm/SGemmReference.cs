namespace Octet.Kernels.SGemm;

/// <summary>The definition that every kernel is measured against, in double.</summary>
internal static class SGemmReference
{
    /// <summary><c>C[m,n] = Σₖ A[m,k] · B[k,n]</c>; A is <c>[m, k]</c>, B <c>[k, n]</c>, C <c>[m, n]</c>, all dense.</summary>
    public static double[] Multiply(ReadOnlySpan<float> a, ReadOnlySpan<float> b, int m, int n, int k)
    {
        var c = new double[m * n];
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0;
                for (int t = 0; t < k; t++) sum += (double)a[i * k + t] * b[t * n + j];
                c[i * n + j] = sum;
            }
        }
        return c;
    }
}
