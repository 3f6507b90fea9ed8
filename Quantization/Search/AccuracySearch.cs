using System.Diagnostics;
using Microsoft.Extensions.Logging;
using Octet.Quantization.Analysis;
using Octet.Quantization.Calibration;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Search;

/// <summary>Finds a small set of operators to leave float so that a model stays within a tolerance.</summary>
/// <remarks>
/// <code>
///   1  quantize everything; within the tolerance: done
///   2  rank operators by the output error that quantizing each alone makes
///   3  bisect for the least k such that leaving the k most sensitive float is within the tolerance
///   4  try to quantize each of the k again, the least sensitive first, and keep what stays within the tolerance
/// </code>
/// The set that remains is minimal: no single operator of it can be quantized too. The model left float as a whole has no loss, so that there always is an answer; it is also what remains when time
/// ends before a smaller set was found.
/// </remarks>
public static class AccuracySearch
{
    private const string Reason = "left float by the accuracy search";

    /// <summary>Searches.</summary>
    /// <param name="model">The float model; not changed.</param>
    /// <param name="calibration">Calibration samples; read once for ranges, and their first few once more for the ranking.</param>
    /// <param name="metric">Judges models.</param>
    /// <param name="options">How models are quantized; null for the defaults.</param>
    /// <param name="search">How the search works; null for the defaults.</param>
    /// <param name="progress">Receives progress; the stages are <c>prepare</c>, <c>calibrate</c>, <c>rank</c>, <c>search</c>.</param>
    /// <param name="cancellation">Ends it without a result.</param>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="DataException">There are no samples, or one does not fit the model.</exception>
    /// <exception cref="ModelException">The model is not legal or cannot run.</exception>
    public static SearchResult Run(Model model, IEnumerable<IReadOnlyDictionary<string, Tensor>> calibration, AccuracyMetric metric, QuantizationOptions? options = null, SearchOptions? search = null,
        IProgress<QuantizationProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(model);
        ArgumentNullException.ThrowIfNull(calibration);
        ArgumentNullException.ThrowIfNull(metric);
        search ??= new SearchOptions();
        search.Validate();
        (PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange>? ranges) = Quantizer.Measure(model, calibration, options, progress, cancellation);
        return new Worker(prepared, ranges, metric, search, progress, cancellation).Run(calibration);
    }

    private sealed class Worker(PreparedModel prepared, IReadOnlyDictionary<string, CalibrationRange>? ranges, AccuracyMetric metric, SearchOptions search,
        IProgress<QuantizationProgress>? progress, CancellationToken cancellation)
    {
        private readonly OperatorGroups _groups = new(prepared, ranges);
        private readonly long _start = Stopwatch.GetTimestamp();
        private readonly List<SearchTrial> _path = [];

        public SearchResult Run(IEnumerable<IReadOnlyDictionary<string, Tensor>> calibration)
        {
            using var budget = new CancellationTokenSource(search.TimeBudget);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(budget.Token, cancellation);
            List<OperatorSensitivity> ranking = [];
            IReadOnlyList<IReadOnlyList<Node>> left = _groups.All;   // everything float is within every tolerance
            bool timedOut = false;
            try
            {
                var reference = new InferenceSession(prepared.Model, prepared.Options.Session);
                metric.SetReference(reference, either.Token);
                if (Judge("all", [], either.Token)) left = [];
                else
                {
                    IReadOnlyList<IReadOnlyList<Node>> ordered = Rank(reference, [.. calibration.Take(search.RankingSamples)], ranking, either.Token);
                    int fails = 0, passes = ordered.Count;
                    while (passes - fails > 1)
                    {
                        int middle = (fails + passes) / 2;
                        if (Judge("bisect", [.. ordered.Take(middle)], either.Token)) left = [.. ordered.Take(passes = middle)];
                        else fails = middle;
                    }
                    for (int i = passes - 1; i >= 0 && left.Count > 0; i--)
                    {
                        IReadOnlyList<Node>[] fewer = [.. left.Where(group => group != ordered[i])];
                        if (fewer.Length > 0 && Judge("return", fewer, either.Token)) left = fewer;
                    }
                }
            }
            catch (OperationCanceledException) when (budget.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                timedOut = true;
            }
            return Finish(left, ranking, timedOut);
        }

        private SearchResult Finish(IReadOnlyList<IReadOnlyList<Node>> left, IReadOnlyList<OperatorSensitivity> ranking, bool timedOut)
        {
            string[] names = Names(left);
            QuantizationResult result = _groups.Without(left, Reason);
            // What was judged is what is returned; the model left float as a whole needs no judge unless it is one.
            SearchTrial? trial = _path.LastOrDefault(trial => trial.FloatOperators.SequenceEqual(names));
            double loss = trial?.Loss ?? 0;
            bool within = trial?.WithinTolerance ?? left.Count == _groups.All.Count;
            var warnings = new List<string>(result.Report.Warnings);
            if (timedOut) warnings.Add($"the accuracy search ended after its {search.TimeBudget.TotalSeconds:F0} s with {left.Count} of {_groups.All.Count} operators float; with more time fewer might be");
            if (!within) warnings.Add(FormattableString.Invariant($"the model loses {loss} by {metric.Name}, more than the tolerance {search.Tolerance}"));
            foreach (string warning in warnings.Except(result.Report.Warnings)) prepared.Options.Logger.LogWarning("{Warning}", warning);
            return new SearchResult(result with { Report = result.Report with { Warnings = warnings } }, metric.Name, loss, within, timedOut, names, ranking, _path);
        }

        private bool Judge(string step, IReadOnlyList<IReadOnlyList<Node>> left, CancellationToken token)
        {
            token.ThrowIfCancellationRequested();
            var session = new InferenceSession(_groups.Without(left, Reason).Model, prepared.Options.Session);
            double loss = metric.Loss(session, token);
            var trial = new SearchTrial(step, Names(left), loss, loss <= search.Tolerance, Stopwatch.GetElapsedTime(_start));
            _path.Add(trial);
            prepared.Options.Logger.LogInformation("search: {Step} with {Float} operators float loses {Loss}", step, left.Count, loss);
            progress?.Report(new QuantizationProgress("search", _path.Count, null));
            return trial.WithinTolerance;
        }

        private IReadOnlyList<IReadOnlyList<Node>> Rank(InferenceSession reference, IReadOnlyDictionary<string, Tensor>[] samples, List<OperatorSensitivity> ranking, CancellationToken token)
        {
            float[][][] expected = Outputs(reference, samples, token);
            var noise = new Dictionary<IReadOnlyList<Node>, double>();
            foreach (IReadOnlyList<Node> group in _groups.All)
            {
                token.ThrowIfCancellationRequested();
                var session = new InferenceSession(_groups.Without(_groups.All.Where(other => other != group), Reason).Model, prepared.Options.Session);
                float[][][] actual = Outputs(session, samples, token);
                var difference = new Difference();
                for (int s = 0; s < expected.Length; s++)
                {
                    for (int o = 0; o < expected[s].Length; o++)
                    {
                        if (actual[s][o].Length == expected[s][o].Length) difference.Add(actual[s][o], expected[s][o]);
                    }
                }
                noise.Add(group, double.IsNaN(difference.RelativeNoise) ? double.PositiveInfinity : difference.RelativeNoise);
                progress?.Report(new QuantizationProgress("rank", noise.Count, _groups.All.Count));
            }
            IReadOnlyList<Node>[] ordered = [.. _groups.All.OrderByDescending(group => noise[group])];
            ranking.AddRange(ordered.Select(group => new OperatorSensitivity(group[0].Name, noise[group])));
            return ordered;
        }

        private static float[][][] Outputs(InferenceSession session, IReadOnlyDictionary<string, Tensor>[] samples, CancellationToken token)
        {
            var feeder = new SampleFeeder(session);
            return [.. samples.Select(sample => feeder.Run(sample, token).Select(output => output.ToFloat32Array()).ToArray())];
        }

        private static string[] Names(IReadOnlyList<IReadOnlyList<Node>> groups) => [.. groups.Select(group => group[0].Name)];
    }
}
