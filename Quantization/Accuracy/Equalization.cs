using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Quantization.Accuracy;

/// <summary>
/// Cross-layer equalization: where one layer's output channel is another's input channel, the one's weights are divided and the other's multiplied by the same number, so that all channels of a
/// tensor fill its one scale alike. A stream of residual sums counts as one tensor: all layers that add to it are divided, all that read it multiplied.
/// </summary>
/// <remarks>
/// <code>
///   conv₁ → [Relu | LeakyRelu | MaxPool | AveragePool | GlobalAveragePool | Add]* → conv₂          (convolution, transposed convolution or Gemm on both sides, any number of them)
///   s_c = 2^round(½ · log2(max|W₁[c]| / max|W₂[·,c]|))                                            maxima over all conv₁ and all conv₂
///   W₁[c] /= s_c     b₁[c] /= s_c     W₂[·,c] *= s_c
/// </code>
/// What stands between must commute with positive factors per channel; a Clip does not. Powers of two keep every product and every sum as it was, so the float model gives the same bits; they miss
/// the ideal factor by at most √2. Weights that several nodes share, and values that anything else makes, reads or returns, are left alone.
/// </remarks>
public static class Equalization
{
    /// <summary>Equalizes a model.</summary>
    /// <param name="model">The float model; not changed.</param>
    /// <param name="options">How; null for the defaults.</param>
    /// <returns>An equal float model, prepared as for quantization (batch norms folded).</returns>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="ModelException">The model is not legal.</exception>
    public static Model Apply(Model model, EqualizationOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(model);
        options ??= new EqualizationOptions();
        options.Validate();
        Model portable = Quantizer.ToPortable(model, new SessionOptions());
        Run(portable.Graph, options);
        return portable;
    }

    /// <summary>Equalizes a prepared graph in place.</summary>
    /// <returns>How many streams between layers changed.</returns>
    internal static int Run(Graph graph, EqualizationOptions options)
    {
        Group[] groups = [.. Groups(graph)];
        var changed = new HashSet<Group>();
        for (int round = 0; round < options.Rounds; round++)
        {
            bool any = false;
            foreach (Group group in groups)
            {
                if (!Balance(group)) continue;
                any = true;
                changed.Add(group);
            }
            if (!any) break;
        }
        var editor = new GraphEditor(graph);
        foreach (Layer layer in changed.SelectMany(group => group.Makers.Concat(group.Readers)).Distinct()) layer.Store(editor);
        return changed.Count;
    }

    /// <summary>Layers whose output channels, and layers whose input channels, are the channels of one stream.</summary>
    private sealed record Group(Layer[] Makers, Layer[] Readers);

    private static IEnumerable<Group> Groups(Graph graph)
    {
        var layers = new Dictionary<Node, Layer>();
        foreach (Node node in graph.Nodes)
        {
            if (Layer.Of(node) is { } layer) layers.Add(node, layer);
        }
        var seen = new HashSet<Value>();
        foreach (Node node in layers.Keys)
        {
            if (!seen.Contains(node.Output) && Stream(node.Output, layers, seen) is { } group) yield return group;
        }
    }

    /// <summary>Everything that shares the channels of <paramref name="start"/>; null where a factor could not be taken back somewhere.</summary>
    private static Group? Stream(Value start, Dictionary<Node, Layer> layers, HashSet<Value> seen)
    {
        var (makers, readers) = (new HashSet<Layer>(), new HashSet<Layer>());
        var open = new Stack<Value>([start]);
        bool whole = true;
        seen.Add(start);
        while (open.TryPop(out Value? value))
        {
            whole &= !value.IsGraphOutput;
            if (value.Producer is { } producer && layers.TryGetValue(producer, out Layer? maker)) makers.Add(maker);
            else if (value.Producer is not null && Commutes(value.Producer)) Follow(value.Producer);
            else whole = false;
            foreach (Use use in value.Uses)
            {
                if (use.Index == 0 && layers.TryGetValue(use.Node, out Layer? reader)) readers.Add(reader);
                else if (Commutes(use.Node)) Follow(use.Node);
                else whole = false;
            }
        }
        int channels = makers.FirstOrDefault()?.Outputs ?? 0;
        return whole && readers.Count > 0 && makers.All(layer => layer.Outputs == channels) && readers.All(layer => layer.Inputs == channels) ? new Group([.. makers], [.. readers]) : null;

        void Follow(Node node)
        {
            if (seen.Add(node.Output)) open.Push(node.Output);
            foreach (Value? input in node.Inputs)
            {
                if (input is not null && seen.Add(input)) open.Push(input);
            }
        }
    }

    private static bool Commutes(Node node) => node.Domain.Length == 0 && node.OperatorType switch
    {
        "Relu" or "AveragePool" or "GlobalAveragePool" or "GlobalMaxPool" => true,
        "LeakyRelu" => true,
        "MaxPool" => node.Outputs.Count < 2 || node.Outputs[1] is null,
        "Add" => node.Inputs is [{ IsConstant: false, Type.Shape: { Length: >= 2 } a }, { IsConstant: false, Type.Shape: { Length: >= 2 } b }] && a.Length == b.Length && a[1].IsKnown && a[1].SameAs(b[1]),
        _ => false,
    };

    private static bool Balance(Group group)
    {
        bool any = false;
        float[] above = Greatest(group.Makers.Select(layer => layer.OutputExtents())), below = Greatest(group.Readers.Select(layer => layer.InputExtents()));
        for (int c = 0; c < above.Length; c++)
        {
            if (!float.IsNormal(above[c]) || !float.IsNormal(below[c])) continue;
            int exponent = (int)Math.Round((Math.Log2(above[c]) - Math.Log2(below[c])) / 2);
            // Factors beyond this could push a small weight below the normal numbers, where bits get lost.
            exponent = Math.Clamp(exponent, -20, 20);
            if (exponent == 0) continue;
            any = true;
            foreach (Layer layer in group.Makers) layer.ScaleOutput(c, MathF.ScaleB(1, -exponent));
            foreach (Layer layer in group.Readers) layer.ScaleInput(c, MathF.ScaleB(1, exponent));
        }
        return any;
    }

    private static float[] Greatest(IEnumerable<float[]> extents) => extents.Aggregate((all, next) => [.. all.Zip(next, MathF.Max)]);

    /// <summary>A convolution, transposed convolution or Gemm with a weight of its own.</summary>
    private sealed class Layer
    {
        private readonly Node _node;
        private readonly float[] _weight;
        private readonly float[]? _bias;
        private readonly int _a, _b, _inner, _groups;   // weight [a, b, inner]
        private readonly bool _outputFirst;

        private Layer(Node node, Tensor weight, Tensor? bias)
        {
            (_node, _weight, _bias) = (node, weight.ToFloat32Array(), bias?.ToFloat32Array());
            _groups = node.OperatorType == "Gemm" ? 1 : (int)node.Attributes.Int("group", 1);
            _outputFirst = node.OperatorType == "Conv" || (node.OperatorType == "Gemm" && node.Attributes.Int("transB") != 0);
            (_a, _b) = (weight.Shape[0], weight.Shape[1]);
            _inner = weight.Length / (_a * _b);
        }

        public int Outputs => _outputFirst ? _a : _b * _groups;

        public int Inputs => _outputFirst ? _b * _groups : _a;

        public static Layer? Of(Node node)
        {
            if (node.Domain.Length != 0 || node.OperatorType is not ("Conv" or "ConvTranspose" or "Gemm")) return null;
            if (node.Input(1) is not { Constant: { Type: DataType.Float32, Rank: >= 2, Length: > 0 } weight } value || value.Uses.Count != 1 || value.IsGraphOutput) return null;
            Value? bias = node.Input(2);
            if (bias is not null && (bias.Constant is not { Type: DataType.Float32 } || bias.Uses.Count != 1 || bias.IsGraphOutput)) return null;
            if (node.OperatorType == "Gemm" && (node.Attributes.Int("transA") != 0 || node.Attributes.Float("alpha", 1) != 1 || node.Attributes.Float("beta", 1) != 1)) return null;
            var layer = new Layer(node, weight, bias?.Constant);
            return layer._bias is null || layer._bias.Length == layer.Outputs ? layer : null;
        }

        public float[] OutputExtents()
        {
            var extents = new float[Outputs];
            for (int i = 0; i < _weight.Length; i++) Largest(ref extents[Output(i / _inner)], _weight[i]);
            return extents;
        }

        public float[] InputExtents()
        {
            var extents = new float[Inputs];
            for (int i = 0; i < _weight.Length; i++) Largest(ref extents[Input(i / _inner)], _weight[i]);
            return extents;
        }

        public void ScaleOutput(int channel, float factor)
        {
            for (int i = 0; i < _weight.Length; i++)
            {
                if (Output(i / _inner) == channel) _weight[i] *= factor;
            }
            if (_bias is not null) _bias[channel] *= factor;
        }

        public void ScaleInput(int channel, float factor)
        {
            for (int i = 0; i < _weight.Length; i++)
            {
                if (Input(i / _inner) == channel) _weight[i] *= factor;
            }
        }

        public void Store(GraphEditor editor)
        {
            Value weight = _node.Inputs[1]!;
            editor.SetConstant(weight, Tensor.Create(_weight, weight.Constant!.Shape));
            if (_bias is not null) editor.SetConstant(_node.Inputs[2]!, Tensor.Create(_bias, _node.Inputs[2]!.Constant!.Shape));
        }

        private int Group(int index) => index / _b / (_a / _groups);

        private int Output(int index) => _outputFirst ? index / _b : Group(index) * _b + index % _b;

        private int Input(int index) => _outputFirst ? Group(index) * _b + index % _b : index / _b;

        private static void Largest(ref float extent, float value) => extent = MathF.Max(extent, MathF.Abs(value));
    }
}
