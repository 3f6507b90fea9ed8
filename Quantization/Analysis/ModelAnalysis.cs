using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Analysis;

/// <summary>Compares a quantized model with the float model that it was made of, activation by activation, in one pass over the data.</summary>
/// <remarks>
/// Both graphs run node by node as they stand, the quantized one with QuantizeLinear and DequantizeLinear as ONNX defines them, so that every value of the file exists, whatever a session would
/// merge. Times come from sessions, on the first sample.
/// </remarks>
public static class ModelAnalysis
{
    /// <summary>Runs that times are means of.</summary>
    private const int TimedRuns = 10;

    /// <summary>Analyses.</summary>
    /// <param name="prepared">The float model as the quantizer prepared it.</param>
    /// <param name="quantized">The model quantized from it.</param>
    /// <param name="samples">Inputs by name; read once.</param>
    /// <param name="time">Whether operators are timed too.</param>
    /// <param name="progress">Receives progress.</param>
    /// <param name="cancellation">Ends it between two nodes.</param>
    /// <exception cref="DataException">There are no samples, or one does not fit.</exception>
    /// <exception cref="ModelException">A model cannot run.</exception>
    public static AnalysisReport Run(PreparedModel prepared, Model quantized, IEnumerable<IReadOnlyDictionary<string, Tensor>> samples, bool time = true,
        IProgress<QuantizationProgress>? progress = null, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(prepared);
        ArgumentNullException.ThrowIfNull(quantized);
        ArgumentNullException.ThrowIfNull(samples);
        Dictionary<Node, Pair> pairs = Pairs(quantized.Graph);
        var wanted = pairs.Values.GroupBy(pair => pair.Value.Name, StringComparer.Ordinal).ToDictionary(group => group.Key, group => group.First(), StringComparer.Ordinal);
        var references = new Dictionary<string, float[]>(StringComparer.Ordinal);
        PlanOptions plan(Model model) => new(prepared.Options.Session.Cpu, 1, model.Weights);
        void Refer(Pair pair, float[] values)
        {
            references[pair.Value.Name] = values;
            pair.Judge(values);
        }
        var reference = new Interpreter(plan(prepared.Model), cancellation: cancellation)
        {
            Observer = (node, outputs) =>
            {
                for (int i = 0; i < outputs.Length; i++)
                {
                    if (node.Outputs[i] is { } output && wanted.TryGetValue(output.Name, out Pair? pair) && outputs[i] is Tensor tensor) Refer(pair, tensor.ToFloat32Array());
                }
            },
        };
        var subject = new Interpreter(plan(quantized), cancellation: cancellation)
        {
            Observer = (node, outputs) =>
            {
                if (pairs.TryGetValue(node, out Pair? pair) && references.TryGetValue(pair.Value.Name, out float[]? expected) && outputs[0] is Tensor tensor)
                    pair.Through.Add(tensor.ToFloat32Array(), expected);
            },
        };
        Difference[] differences = [.. prepared.Model.Graph.Outputs.Select(_ => new Difference())];
        var session = new InferenceSession(prepared.Model, prepared.Options.Session);
        (Times? floatTimes, Times? intTimes) = (null, null);
        int count = 0;
        foreach (IReadOnlyDictionary<string, Tensor> sample in samples)
        {
            cancellation.ThrowIfCancellationRequested();
            Tensor[] inputs = CalibrationData.Arrange(session, sample, count);
            var named = session.Inputs.Select((input, i) => (input.Name, Tensor: inputs[i])).ToDictionary(pair => pair.Name, pair => (RuntimeValue?)pair.Tensor, StringComparer.Ordinal);
            if (count == 0 && time)
            {
                floatTimes = Times.Of(session, inputs, cancellation);
                intTimes = Times.Of(new InferenceSession(quantized, prepared.Options.Session), inputs, cancellation);
            }
            references.Clear();
            foreach ((string name, RuntimeValue? value) in named)
            {
                if (wanted.TryGetValue(name, out Pair? pair) && value is Tensor tensor) Refer(pair, tensor.ToFloat32Array());
            }
            RuntimeValue?[] expected = reference.Run(prepared.Model.Graph, named), actual = subject.Run(quantized.Graph, named);
            for (int o = 0; o < expected.Length; o++)
            {
                if (expected[o] is Tensor { Type: not DataType.String } e && actual[o] is Tensor a && a.Length == e.Length) differences[o].Add(a.ToFloat32Array(), e.ToFloat32Array());
            }
            count++;
            progress?.Report(new QuantizationProgress("analyse", count, null));
        }
        if (count == 0) throw new DataException("there are no samples; rule: analysis needs at least one");
        return new AnalysisReport(count,
            [.. pairs.Values.Where(pair => pair.Through.Count > 0).Select(pair => pair.Report(floatTimes, intTimes))],
            [.. prepared.Model.Graph.OutputNames.Zip(differences, (name, difference) => new OutputReport(name, difference.SqnrDb, difference.Cosine, difference.MaxAbs))],
            floatTimes?.Total, intTimes?.Total);
    }

    /// <summary>The activations between a QuantizeLinear and the DequantizeLinear behind it, by the latter.</summary>
    private static Dictionary<Node, Pair> Pairs(Graph graph)
    {
        var pairs = new Dictionary<Node, Pair>();
        foreach (Node node in graph.Nodes)
        {
            if (node.Is("DequantizeLinear") && node.Inputs[0]?.Producer is { } quantizer && quantizer.Is("QuantizeLinear") && quantizer.Inputs[0] is { IsConstant: false } value
                && quantizer.Inputs[1]?.Constant is { Length: 1 } scale)
                pairs.Add(node, new Pair(value, scale.Span<float>()[0], quantizer.Input(2)?.Constant));
        }
        return pairs;
    }

    /// <summary>One quantized activation while samples pass.</summary>
    private sealed class Pair(Value value, float scale, Tensor? zeroPoint)
    {
        private readonly int _zeroPoint = zeroPoint is null ? 0 : zeroPoint.Type == DataType.Int8 ? zeroPoint.Span<sbyte>()[0] : zeroPoint.Span<byte>()[0];
        private readonly (int Low, int High) _limits = zeroPoint?.Type == DataType.Int8 ? (-128, 127) : (0, 255);
        private readonly Difference _own = new();
        private long _clipped;

        public Value Value => value;

        public Difference Through { get; } = new();

        /// <summary>Rounds and clamps the float activation by itself.</summary>
        public void Judge(float[] values)
        {
            var back = new float[values.Length];
            for (int i = 0; i < values.Length; i++)
            {
                double q = Math.Round(values[i] / (double)scale) + _zeroPoint, kept = Math.Clamp(q, _limits.Low, _limits.High);
                if (q != kept) _clipped++;
                back[i] = (float)((kept - _zeroPoint) * scale);
            }
            _own.Add(back, values);
        }

        public LayerReport Report(Times? floatTimes, Times? intTimes) => new(value.Name, value.Producer?.Name ?? "", value.Producer?.QualifiedType ?? "input",
            Through.SqnrDb, _own.SqnrDb, Through.Cosine, Through.MaxAbs, (double)_clipped / Math.Max(1, _own.Count), floatTimes?.Of(value.Producer), intTimes?.Of(value.Producer));
    }

    /// <summary>Times of a session's operators.</summary>
    internal sealed class Times
    {
        private readonly SessionProfile _profile;

        private Times(SessionProfile profile) => _profile = profile;

        public double Total => _profile.MeanMilliseconds;

        public static Times Of(InferenceSession session, Tensor[] inputs, CancellationToken cancellation) => new(session.Profile(inputs, TimedRuns, cancellation));

        /// <summary>Time of the operators that <paramref name="node"/> is part of; null where there are none.</summary>
        public double? Of(Node? node)
        {
            if (node is null) return null;
            OpProfile[] operators = [.. _profile.Operators.Where(op => op.Node == node.Name || op.Origins.Contains(node.Name, StringComparer.Ordinal) || op.Origins.Intersect(node.Origins, StringComparer.Ordinal).Any())];
            return operators.Length == 0 ? null : operators.Sum(op => op.MeanMilliseconds);
        }
    }
}
