using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Onnx;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Datasets.Sources;

/// <summary>Folders as ONNX keeps test data: <c>input_0.pb</c>, <c>input_1.pb</c>, … in the order of the model's inputs, and <c>output_0.pb</c>, … where outputs are expected.</summary>
internal sealed class OnnxTestDataSource : SampleSource
{
    private readonly string[] _folders;

    /// <summary>Checks that the folders exist.</summary>
    /// <exception cref="DataException">One does not.</exception>
    public OnnxTestDataSource(string[] folders)
    {
        _folders = folders;
        foreach (string folder in folders)
        {
            if (!Directory.Exists(folder)) throw new DataException($"test data folder '{folder}' does not exist; rule: 'paths' names folders");
            if (!File.Exists(Path.Combine(folder, "input_0.pb"))) throw new DataException($"test data folder '{folder}' has no input_0.pb; rule: a sample has one file per input");
        }
    }

    /// <inheritdoc/>
    public override long Count => _folders.Length;

    /// <inheritdoc/>
    public override bool HasLabels => false;

    /// <inheritdoc/>
    public override bool HasImages => false;

    /// <inheritdoc/>
    public override IEnumerable<Sample> Read(DatasetBinding binding, long skip)
    {
        for (int i = (int)Math.Min(skip, _folders.Length); i < _folders.Length; i++)
        {
            string folder = _folders[i];
            var inputs = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            for (int n = 0; n < binding.Inputs.Count; n++)
                inputs.Add(binding.Inputs[n].Name, DatasetBinding.Fit(binding.Inputs[n], Load(folder, "input", n, binding.Inputs[n]), $"'{FileOf(folder, "input", n)}'"));
            if (File.Exists(FileOf(folder, "input", binding.Inputs.Count)))
                throw new DataException($"test data folder '{folder}' has input_{binding.Inputs.Count}.pb but the model has {binding.Inputs.Count} inputs; rule: one file per input");
            var expected = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            for (int n = 0; n < binding.Outputs.Count; n++)
            {
                if (File.Exists(FileOf(folder, "output", n))) expected.Add(binding.Outputs[n].Name, Load(folder, "output", n, binding.Outputs[n]));
            }
            yield return new Sample($"test data '{folder}'", inputs, null, expected);
        }
    }

    private static string FileOf(string folder, string kind, int number) => Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{kind}_{number}.pb"));

    private static Tensor Load(string folder, string kind, int number, ValueInfo value)
    {
        string path = FileOf(folder, kind, number);
        return TensorFile.Load(path, value.Type) as Tensor ?? throw new DataException($"'{path}' for '{value.Name}' {value.Type} holds no tensor; rule: datasets hold plain tensors");
    }
}
