namespace Octet.Cli;

internal static class Program
{
    private static int Main()
    {
        Console.WriteLine("octet");
        return 0;
    }
}
