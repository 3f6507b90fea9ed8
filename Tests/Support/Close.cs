namespace Octet.Tests.Support;

/// <summary>Compares float results with double references, element by element and in the mean.</summary>
internal static class Close
{
    /// <summary>Every difference is at most <paramref name="bound"/> and their mean at most <paramref name="meanBound"/>.</summary>
    public static void Assert(ReadOnlySpan<float> actual, ReadOnlySpan<double> expected, double bound, double meanBound, string what)
    {
        NUnit.Framework.Assert.That(actual.Length, Is.EqualTo(expected.Length), what);
        double total = 0;
        for (int i = 0; i < actual.Length; i++)
        {
            double difference = Math.Abs(actual[i] - expected[i]);
            if (!(difference <= bound)) NUnit.Framework.Assert.Fail($"{what}: element {i} is {actual[i]}, expected {expected[i]}, differs by {difference:g4} > {bound:g4}");
            total += difference;
        }
        if (actual.Length > 0) NUnit.Framework.Assert.That(total / actual.Length, Is.LessThanOrEqualTo(meanBound), what + ": mean difference");
    }
}
