namespace Octet.Kernels.QGemm;

/// <summary>The tile as plain loops; runs everywhere and defines what every other tile must return.</summary>
internal static unsafe class QGemmTileScalar
{
    private const int Mr = 4, Nr = 8, Kr = 4;

    /// <summary>One function serves every row count.</summary>
    public static nint[] All()
    {
        nint function = (nint)(delegate*<QGemmTile*, void>)&Run;
        return [function, function, function, function];
    }

    private static void Run(QGemmTile* tile)
    {
        for (nint r = 0; r < tile->RowCount; r++)
        {
            for (nint n = 0; n < Nr; n++)
            {
                int sum = tile->Init[n];
                sbyte* b = (sbyte*)tile->B + n * Kr;
                for (nint tap = 0; tap < tile->Taps; tap++)
                {
                    byte* a = tile->Rows[tap * Mr + r];
                    for (nint group = 0; group < tile->Groups; group++, a += Kr, b += Nr * Kr)
                    {
                        for (int k = 0; k < Kr; k++) sum = unchecked(sum + a[k] * b[k]);
                    }
                }
                tile->C[r * Nr + n] = sum;
            }
        }
    }
}
