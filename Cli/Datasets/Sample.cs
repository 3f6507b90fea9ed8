using Octet.Runtime.Tensors;

namespace Octet.Cli.Datasets;

/// <summary>One sample, ready for a model.</summary>
/// <param name="Source">Where it comes from, for messages.</param>
/// <param name="Inputs">A tensor for every input of the model, by name.</param>
/// <param name="Label">The class, or null where there is none.</param>
/// <param name="Expected">Expected outputs by name; empty where there are none.</param>
internal sealed record Sample(string Source, IReadOnlyDictionary<string, Tensor> Inputs, int? Label, IReadOnlyDictionary<string, Tensor> Expected)
{
    /// <summary>No expected outputs.</summary>
    public static IReadOnlyDictionary<string, Tensor> NothingExpected { get; } = new Dictionary<string, Tensor>();
}
