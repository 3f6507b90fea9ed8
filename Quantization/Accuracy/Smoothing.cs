using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Accuracy;

/// <summary>SmoothQuant: where single channels of an activation are far larger than the others, they are divided by a number that the weights behind are multiplied with.</summary>
/// <remarks>
/// <code>
///   LayerNormalization | Mul, Add with constants | Gemm  →  x  →  MatMul | Gemm (any number of readers, all of them products)
///   s_k = 2^round(log2(max|x_k|^α / max|W[k,·]|^(1 − α)))
///   what makes x  /= s_k       W[k,·] *= s_k
/// </code>
/// The division goes into the constants of the operator before, so it costs nothing at run time; products whose input comes from anywhere else stay as they are. Powers of two keep the float model
/// the same bit for bit.
/// </remarks>
public static class Smoothing
{
    /// <summary>Smooths a model.</summary>
    /// <param name="model">The float model; not changed.</param>
    /// <param name="samples">Samples on which activations are measured.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <param name="session">How the float model runs.</param>
    /// <param name="cancellation">Ends the work between two operators.</param>
    /// <returns>An equal float model, prepared as for quantization (batch norms folded).</returns>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="DataException">There are no samples, one does not fit the model, or a value is not finite.</exception>
    /// <exception cref="ModelException">The model is not legal.</exception>
    public static Model Apply(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>> samples, SmoothOptions? options = null, SessionOptions? session = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(samples);
        var smoother = new Smoother(model, options ?? new SmoothOptions(), session ?? new SessionOptions());
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
        {
            cancellation.ThrowIfCancellationRequested();
            smoother.Add(sample, cancellation);
        }
        return smoother.Finish();
    }
}
