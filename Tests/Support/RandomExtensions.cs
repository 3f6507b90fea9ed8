namespace Octet.Tests.Support;

/// <summary>Random test data.</summary>
internal static class RandomExtensions
{
    /// <summary>Floats uniform in [−limit, limit).</summary>
    public static float[] Floats(this Random random, long count, float limit = 1f)
    {
        var values = new float[count];
        for (long i = 0; i < count; i++) values[i] = (random.NextSingle() * 2 - 1) * limit;
        return values;
    }

    /// <summary>Bytes over the whole range.</summary>
    public static byte[] Bytes(this Random random, long count)
    {
        var values = new byte[count];
        random.NextBytes(values);
        return values;
    }
}
