namespace Octet.Cli.Conform;

/// <summary>A folder with <c>model.onnx</c> and one or more <c>test_data_set_N</c>.</summary>
/// <param name="Name">Path below the folder that was searched, with <c>/</c>.</param>
/// <param name="Folder">The folder.</param>
internal sealed record ConformanceCase(string Name, string Folder)
{
    /// <summary>The model.</summary>
    public string Model => Path.Combine(Folder, "model.onnx");

    /// <summary>The data sets, in order.</summary>
    public IEnumerable<string> DataSets => Directory.GetDirectories(Folder, "test_data_set_*").Order(StringComparer.Ordinal);

    /// <summary>Whether a folder is a case.</summary>
    public static bool Is(string folder) => File.Exists(Path.Combine(folder, "model.onnx")) && Directory.EnumerateDirectories(folder, "test_data_set_*").Any();

    /// <summary>All cases in and below the given folders, by name.</summary>
    /// <exception cref="DirectoryNotFoundException">A folder does not exist.</exception>
    public static List<ConformanceCase> Find(IEnumerable<string> folders)
    {
        var cases = new List<ConformanceCase>();
        foreach (string root in folders)
        {
            string full = Path.GetFullPath(root);
            if (!Directory.Exists(full)) throw new DirectoryNotFoundException($"'{root}' is no folder");
            if (Is(full)) cases.Add(new ConformanceCase(Path.GetFileName(full), full));
            var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint, IgnoreInaccessible = true };
            foreach (string folder in Directory.EnumerateDirectories(full, "*", options))
            {
                if (Is(folder)) cases.Add(new ConformanceCase(Path.GetRelativePath(full, folder).Replace('\\', '/'), folder));
            }
        }
        cases.Sort((a, b) => string.CompareOrdinal(a.Name, b.Name));
        return cases;
    }
}

/// <summary>How a case ended.</summary>
internal enum ConformanceOutcome
{
    /// <summary>Every output of every data set was right.</summary>
    Passed,
    /// <summary>An output was wrong, or the run ended with an error that is not about support.</summary>
    Failed,
    /// <summary>Octet says that it cannot run the model.</summary>
    Unsupported,
}

/// <summary>A case's end.</summary>
/// <param name="Case">The case.</param>
/// <param name="Outcome">How it ended.</param>
/// <param name="Reason">Why, in one line; empty where it passed.</param>
internal sealed record ConformanceResult(ConformanceCase Case, ConformanceOutcome Outcome, string Reason);
