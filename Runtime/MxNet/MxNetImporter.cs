using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.MxNet;

/// <summary>MXNet's <c>x-symbol.json</c> with its parameters → <see cref="Model"/> in ONNX's operators.</summary>
/// <remarks>
/// Parameters are looked for beside the symbol: <c>x-NNNN.params</c> with the highest number, else <c>x.params</c>. Variables that are no
/// parameters and that somebody reads become inputs (labels of training losses are not read). Operators that Octet does not translate become nodes of the domain
/// <see cref="ForeignDomain"/> with their parameters as texts: such a model loads, prints and saves.
/// </remarks>
internal static class MxNetImporter
{
    /// <summary>How a symbol file's name ends.</summary>
    internal const string Suffix = "-symbol.json";

    /// <summary>Domain of operators that have no translation.</summary>
    internal const string ForeignDomain = "org.apache.mxnet";

    /// <summary>The ONNX operator set that symbols are translated to.</summary>
    internal const int Opset = 17;

    /// <summary>Reads a symbol and the parameters beside it.</summary>
    /// <exception cref="ModelException">A file is missing or broken, or an operator's parameters have no form in ONNX.</exception>
    public static Model Import(string path, byte[] symbol)
    {
        string source = $"model '{path}'";
        string parameters = FindParameters(path, source);
        try
        {
            return Import(symbol, MxNetParams.Read(File.ReadAllBytes(parameters), $"parameters '{parameters}'"), Path.GetFileName(path)[..^Suffix.Length]);
        }
        catch (UnsupportedModelException e)
        {
            throw new UnsupportedModelException($"{source}: {e.Message}", e);
        }
        catch (ModelException e)
        {
            throw new ModelException($"{source}: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"{source}: '{parameters}' cannot be read: {e.Message}", e);
        }
    }

    /// <summary>Translates a symbol.</summary>
    /// <param name="symbol">The symbol file.</param>
    /// <param name="parameters">Arrays by name, without <c>arg:</c> and <c>aux:</c>.</param>
    /// <param name="name">The model's name.</param>
    /// <exception cref="ModelException">The symbol is broken, or an operator's parameters have no form in ONNX.</exception>
    internal static Model Import(byte[] symbol, Dictionary<string, Tensor> parameters, string name)
    {
        MxNetSymbol read = MxNetSymbol.Read(symbol);
        var graph = new Graph(name, new OpsetImports(Opset));
        new MxNetTranslator(new GraphEditor(graph), read, parameters).Translate();
        GraphVerifier.Verify(graph);
        return new Model(graph) { ProducerName = "MXNet" };
    }

    private static string FindParameters(string path, string source)
    {
        string full = Path.GetFullPath(path);
        string folder = Path.GetDirectoryName(full)!, stem = Path.GetFileName(full)[..^Suffix.Length];
        string? best = null;
        try
        {
            foreach (string file in Directory.EnumerateFiles(folder))
            {
                string name = Path.GetFileName(file);
                if (!name.StartsWith(stem, StringComparison.Ordinal) || !name.EndsWith(".params", StringComparison.Ordinal)) continue;
                string epoch = name[stem.Length..^".params".Length];
                bool numbered = epoch.Length > 1 && epoch[0] == '-' && epoch.AsSpan(1).IndexOfAnyExceptInRange('0', '9') < 0;
                if ((numbered || epoch.Length == 0) && (best is null || (name.Length, name).CompareTo((Path.GetFileName(best).Length, Path.GetFileName(best))) > 0)) best = file;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new ModelException($"{source}: its folder cannot be read: {e.Message}", e);
        }
        return best ?? throw new ModelException($"{source} has no parameters beside it; rule: '{stem}-NNNN.params' or '{stem}.params' lies in the same folder");
    }
}
