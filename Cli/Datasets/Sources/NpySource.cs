using System.Globalization;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Datasets.Sources;

/// <summary>NumPy arrays, one per input; the first axis counts samples. Labels are an array of integers, or a text file with one number per line.</summary>
internal sealed class NpySource : SampleSource
{
    private readonly Dictionary<string, Tensor> _inputs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _paths;
    private readonly int[]? _labels;

    /// <summary>Loads the arrays.</summary>
    /// <exception cref="DataException">A file is missing or broken, or the counts differ.</exception>
    public NpySource(Dictionary<string, string> inputs, string? labels)
    {
        _paths = inputs;
        foreach ((string name, string path) in inputs)
        {
            Tensor array = NpyFile.Load(path);
            if (array.Rank == 0) throw new DataException($"array file '{path}' is {array}; rule: the first axis counts samples");
            if (array.Type == DataType.String) throw new DataException($"array file '{path}' is {array}; rule: inputs are numbers");
            _inputs.Add(name, array);
        }
        (string Path, int Count) first = (inputs.First().Value, _inputs.First().Value.Shape[0]);
        Count = first.Count;
        foreach ((string name, Tensor array) in _inputs)
        {
            if (array.Shape[0] != Count) throw new DataException($"array file '{inputs[name]}' is {array} but '{first.Path}' has {Count} samples; rule: the first axis counts samples");
        }
        if (labels is null) return;
        _labels = Labels(labels);
        if (_labels.Length != Count) throw new DataException($"labels '{labels}' has {_labels.Length} labels but '{first.Path}' has {Count} samples; rule: one label per sample");
    }

    /// <inheritdoc/>
    public override long Count { get; }

    /// <inheritdoc/>
    public override bool HasLabels => _labels is not null;

    /// <inheritdoc/>
    public override bool HasImages => false;

    /// <inheritdoc/>
    public override IEnumerable<Sample> Read(DatasetBinding binding, long skip)
    {
        foreach (string name in _inputs.Keys)
        {
            if (!binding.Inputs.Any(input => input.Name == name))
                throw new DataException($"'source.inputs' names '{name}' but the model has {string.Join(", ", binding.Inputs.Select(input => $"'{input.Name}' {input.Type}"))}; rule: names are those of the model's inputs");
        }
        foreach (ValueInfo input in binding.Inputs)
        {
            if (!_inputs.ContainsKey(input.Name)) throw new DataException($"'source.inputs' lacks '{input.Name}' {input.Type}; it has {string.Join(", ", _inputs.Keys.Select(name => $"'{name}'"))}; rule: every input of the model has an array");
        }
        for (long i = skip; i < Count; i++)
        {
            var tensors = new Dictionary<string, Tensor>(StringComparer.Ordinal);
            foreach (ValueInfo input in binding.Inputs) tensors.Add(input.Name, DatasetBinding.Fit(input, Slice(_inputs[input.Name], (int)i), $"'{_paths[input.Name]}' sample {i}"));
            yield return new Sample($"sample {i}", tensors, _labels?[i], Sample.NothingExpected);
        }
    }

    /// <summary>Entry <paramref name="index"/> of the first axis, which stays with extent 1; the memory is shared.</summary>
    private static Tensor Slice(Tensor array, int index)
    {
        int bytes = array.Bytes.Length / array.Shape[0];
        int[] shape = [1, .. array.Shape[1..]];
        return new Tensor(array.Type, shape, array.Bytes.Slice(index * bytes, bytes));
    }

    private static int[] Labels(string path)
    {
        if (path.EndsWith(".npy", StringComparison.OrdinalIgnoreCase))
        {
            Tensor array = NpyFile.Load(path);
            if (!array.Type.IsInteger() || array.Type == DataType.UInt64 || array.Length != (array.Rank == 0 ? 0 : array.Shape[0]))
                throw new DataException($"labels '{path}' is {array}; rule: integers of shape [samples]");
            return [.. array.ToInt64Array().Select(label => label is >= 0 and <= int.MaxValue ? (int)label : throw new DataException($"labels '{path}' holds {label}; rule: class indices are not negative"))];
        }
        string[] lines;
        try
        {
            lines = File.ReadAllLines(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"labels '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
        var labels = new List<int>();
        for (int i = 0; i < lines.Length; i++)
        {
            if (lines[i].Trim() is not { Length: > 0 } line) continue;
            labels.Add(int.TryParse(line, NumberStyles.None, CultureInfo.InvariantCulture, out int label) ? label
                : throw new DataException($"labels '{path}' line {i + 1} is '{line}'; rule: one class index per line"));
        }
        return [.. labels];
    }
}
