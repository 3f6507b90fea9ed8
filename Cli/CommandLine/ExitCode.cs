namespace Octet.Cli.CommandLine;

/// <summary>What the process returns; part of the command's contract with scripts.</summary>
internal static class ExitCode
{
    /// <summary>Everything was done.</summary>
    public const int Fine = 0;

    /// <summary>The model or the data is at fault, a given file included.</summary>
    public const int Input = 1;

    /// <summary>The command line is at fault.</summary>
    public const int Usage = 2;

    /// <summary>Octet is at fault.</summary>
    public const int Internal = 3;

    /// <summary>The user stopped the command: 128 + SIGINT, as shells expect.</summary>
    public const int Cancelled = 130;
}
