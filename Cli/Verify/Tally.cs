namespace Octet.Cli.Verify;

/// <summary>Comparisons of one kernel with its definition.</summary>
internal sealed class Tally
{
    /// <summary>Comparisons made.</summary>
    public int Cases { get; private set; }

    /// <summary>Those that differed.</summary>
    public int Mismatches { get; private set; }

    /// <summary>The first of them in words, or null.</summary>
    public string? First { get; private set; }

    /// <summary>Counts one comparison.</summary>
    public void Add(bool right, string what)
    {
        Cases++;
        if (right) return;
        Mismatches++;
        First ??= what;
    }
}
