namespace Octet.Cli.CommandLine;

/// <summary>The command line is at fault in a way that only its verb can tell.</summary>
internal sealed class UsageException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Runs the validation of options, whose <see cref="ArgumentException"/> is the user's, not a defect.</summary>
    public static T Check<T>(Func<T> validate)
    {
        try
        {
            return validate();
        }
        catch (ArgumentException e)
        {
            throw new UsageException(e.Message, e);
        }
    }
}
