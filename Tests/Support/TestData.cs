namespace Octet.Tests.Support;

/// <summary>Finds the real models and conformance cases, which are not part of the project.</summary>
internal static class TestData
{
    /// <summary>Root of the data: <c>OCTET_TEST_DATA</c>, or the folder <c>shared</c> beside the repository; null where neither exists.</summary>
    public static string? Root { get; } = Find();

    /// <summary>Root of this repository, found upwards from the test assembly.</summary>
    public static string Repository { get; } = FindRepository();

    /// <summary>The path of <paramref name="relative"/> under the data root; the running test is ignored where it is missing.</summary>
    public static string Require(string relative)
    {
        if (Root is null) Assert.Ignore($"no test data: set OCTET_TEST_DATA or put 'shared' beside the repository (wanted '{relative}')");
        string path = Path.Combine(Root!, relative);
        if (!Path.Exists(path)) Assert.Ignore($"test data '{relative}' is missing");
        return path;
    }

    /// <summary>Like <see cref="Require"/>, but null instead of ignoring; for test case sources.</summary>
    public static string? Optional(string relative)
    {
        string? path = Root is null ? null : Path.Combine(Root, relative);
        return Path.Exists(path) ? path : null;
    }

    private static string? Find()
    {
        string? configured = Environment.GetEnvironmentVariable("OCTET_TEST_DATA");
        if (!string.IsNullOrEmpty(configured)) return Directory.Exists(configured) ? Path.GetFullPath(configured) : null;
        for (DirectoryInfo? folder = new(FindRepository()); folder is not null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "shared");
            if (Directory.Exists(Path.Combine(candidate, "models"))) return candidate;
        }
        return null;
    }

    private static string FindRepository()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Runtime.sln"))) return folder.FullName;
        }
        throw new InvalidOperationException("the test assembly is not inside the repository");
    }
}
