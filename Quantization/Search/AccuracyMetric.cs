using Octet.Quantization.Analysis;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Search;

/// <summary>Says how much worse a session is than the float model. Derive from it, or use <see cref="Score"/>, to judge by a measure of your own.</summary>
public abstract class AccuracyMetric
{
    /// <summary>Name in reports.</summary>
    public abstract string Name { get; }

    /// <summary>Sees the float model, once and first.</summary>
    /// <param name="reference">A session of it.</param>
    /// <param name="cancellation">Ends it between two operators.</param>
    public abstract void SetReference(InferenceSession reference, CancellationToken cancellation);

    /// <summary>The loss of a session: 0 for the float model itself, greater is worse.</summary>
    /// <param name="session">What is judged.</param>
    /// <param name="cancellation">Ends it between two operators.</param>
    public abstract double Loss(InferenceSession session, CancellationToken cancellation);

    /// <summary>Top-1 accuracy: the loss is the float model's share of right classes less the session's; 0.01 is one point.</summary>
    /// <param name="samples">Inputs with their class; read once per judgement.</param>
    /// <param name="output">The output with the class scores; null for the first.</param>
    public static AccuracyMetric Top1(IEnumerable<(IReadOnlyDictionary<string, Tensor> Inputs, int Label)> samples, string? output = null)
    {
        ArgumentNullException.ThrowIfNull(samples);
        return new ScoreMetric("top1", (session, cancellation) =>
        {
            var feeder = new SampleFeeder(session);
            int at = output is null ? 0 : session.Outputs.Select(info => info.Name).ToList().IndexOf(output);
            if (at < 0) throw new DataException($"the model has no output '{output}'; rule: one of {string.Join(", ", session.Outputs.Select(info => $"'{info.Name}'"))}");
            int right = 0;
            foreach ((IReadOnlyDictionary<string, Tensor> inputs, int label) in samples)
            {
                cancellation.ThrowIfCancellationRequested();
                if (Best(feeder.Run(inputs, cancellation)[at].ToFloat32Array()) == label) right++;
            }
            return feeder.Count == 0 ? throw NoSamples() : (double)right / feeder.Count;
        });
    }

    /// <summary>Cosine between the outputs and the float model's: the loss is <c>1 − cosine</c>, the mean over all outputs.</summary>
    /// <param name="samples">Inputs; read once per judgement.</param>
    public static AccuracyMetric Cosine(IEnumerable<IReadOnlyDictionary<string, Tensor>> samples) => new OutputMetric("cosine", samples, difference => 1 - difference.Cosine);

    /// <summary>Mean squared error of the outputs against the float model's, the mean over all outputs.</summary>
    /// <param name="samples">Inputs; read once per judgement.</param>
    public static AccuracyMetric MeanSquaredError(IEnumerable<IReadOnlyDictionary<string, Tensor>> samples) => new OutputMetric("mse", samples, difference => difference.MeanSquaredError);

    /// <summary>A score of the caller's, greater is better: the loss is the float model's score less the session's.</summary>
    /// <param name="name">Name in reports.</param>
    /// <param name="score">Scores a session.</param>
    public static AccuracyMetric Score(string name, Func<InferenceSession, CancellationToken, double> score)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(score);
        return new ScoreMetric(name, score);
    }

    private static DataException NoSamples() => new("there are no samples to judge with; rule: at least one");

    /// <summary>The class with the greatest score; NaN is behind everything.</summary>
    private static int Best(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            if (scores[i] > scores[best] || (float.IsNaN(scores[best]) && !float.IsNaN(scores[i]))) best = i;
        }
        return best;
    }

    private sealed class ScoreMetric(string name, Func<InferenceSession, CancellationToken, double> score) : AccuracyMetric
    {
        private double _reference;

        public override string Name => name;

        public override void SetReference(InferenceSession reference, CancellationToken cancellation) => _reference = score(reference, cancellation);

        public override double Loss(InferenceSession session, CancellationToken cancellation) => _reference - score(session, cancellation);
    }

    private sealed class OutputMetric(string name, IEnumerable<IReadOnlyDictionary<string, Tensor>> samples, Func<Difference, double> loss) : AccuracyMetric
    {
        private readonly List<float[][]> _references = [];

        public override string Name => name;

        public override void SetReference(InferenceSession reference, CancellationToken cancellation)
        {
            _references.Clear();
            var feeder = new SampleFeeder(reference);
            foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
            {
                cancellation.ThrowIfCancellationRequested();
                _references.Add([.. feeder.Run(sample, cancellation).Select(output => output.ToFloat32Array())]);
            }
            if (_references.Count == 0) throw NoSamples();
        }

        public override double Loss(InferenceSession session, CancellationToken cancellation)
        {
            Difference[] differences = [.. _references[0].Select(_ => new Difference())];
            var feeder = new SampleFeeder(session);
            foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
            {
                cancellation.ThrowIfCancellationRequested();
                float[][] expected = _references[feeder.Count];
                IReadOnlyList<Tensor> outputs = feeder.Run(sample, cancellation);
                for (int o = 0; o < expected.Length; o++)
                {
                    if (outputs[o].Length == expected[o].Length) differences[o].Add(outputs[o].ToFloat32Array(), expected[o]);
                }
            }
            return differences.Average(loss);
        }
    }
}
