using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Networks;

/// <summary>The networks that speed is quoted for, by name.</summary>
internal static class NetworkZoo
{
    /// <summary>Names and makers; every maker is deterministic.</summary>
    public static IReadOnlyDictionary<string, Func<Model>> All { get; } = new Dictionary<string, Func<Model>>(StringComparer.Ordinal)
    {
        ["resnet18"] = ResNet18,
        ["resnet50"] = () => ResNet50(strideInThree: false),
        ["resnet50v1.5"] = () => ResNet50(strideInThree: true),
        ["mobilenetv2"] = MobileNetV2,
        ["squeezenet1.1"] = SqueezeNet,
        ["lstm-256"] = () => Recurrent("LSTM", gates: 4, steps: 64, batch: 1, hidden: 256),
        ["gru-256"] = () => Recurrent("GRU", gates: 3, steps: 64, batch: 8, hidden: 256),
        ["bert-base-128"] = () => Bert(layers: 12, hidden: 768, heads: 12, inner: 3072, length: 128),
    };

    /// <summary>Two bidirectional layers.</summary>
    private static Model Recurrent(string type, int gates, int steps, int batch, int hidden)
    {
        var b = new NetworkBuilder(type.ToLowerInvariant(), 31);
        Value x = b.Input("sequence", steps, batch, hidden);
        int inputs = hidden;
        for (int layer = 0; layer < 2; layer++)
        {
            string name = b.Next(type.ToLowerInvariant());
            float deviation = 1 / MathF.Sqrt(hidden);
            Value y = b.Editor.Add(type, [x, b.Normal(name + ".w", deviation, 2, gates * hidden, inputs), b.Normal(name + ".r", deviation, 2, gates * hidden, hidden), b.Normal(name + ".b", 0.05f, 2, 2 * gates * hidden)],
                new AttributeMap { { "hidden_size", (long)hidden }, { "direction", "bidirectional" } }, name: name);
            x = b.Editor.Add("Reshape", [b.Editor.Add("Transpose", [y], new AttributeMap { { "perm", new long[] { 0, 2, 1, 3 } } }, name: b.Next("transpose")), b.Ints(name + ".shape", steps, batch, 2 * hidden)], name: b.Next("reshape"));
            inputs = 2 * hidden;
        }
        return b.Finish(x, "features");
    }

    private static Model ResNet18()
    {
        var b = new NetworkBuilder("resnet18", 18);
        Value x = b.MaxPool(b.Relu(b.Conv(b.Input("data", 1, 3, 224, 224), 3, 64, 7, 2)), 3, 2, 1);
        int channels = 64;
        foreach (int width in (int[])[64, 128, 256, 512])
        {
            for (int block = 0; block < 2; block++)
            {
                int stride = block == 0 && width != 64 ? 2 : 1;
                Value shortcut = stride == 2 ? b.Conv(x, channels, width, 1, 2, gain: 1) : x;
                Value y = b.Conv(b.Relu(b.Conv(x, channels, width, 3, stride)), width, width, 3, gain: 0.5f);
                x = b.Relu(b.Add(y, shortcut));
                channels = width;
            }
        }
        return b.Finish(b.Linear(b.Flatten(b.GlobalAveragePool(x)), 512, 1000), "logits");
    }

    private static Model ResNet50(bool strideInThree)
    {
        var b = new NetworkBuilder(strideInThree ? "resnet50v1.5" : "resnet50", 50);
        Value x = b.MaxPool(b.Relu(b.Conv(b.Input("data", 1, 3, 224, 224), 3, 64, 7, 2)), 3, 2, 1);
        int channels = 64;
        (int Width, int Blocks)[] stages = [(64, 3), (128, 4), (256, 6), (512, 3)];
        foreach ((int width, int blocks) in stages)
        {
            for (int block = 0; block < blocks; block++)
            {
                int stride = block == 0 && width != 64 ? 2 : 1;
                Value shortcut = block == 0 ? b.Conv(x, channels, 4 * width, 1, stride, gain: 1) : x;
                Value y = b.Relu(b.Conv(x, channels, width, 1, strideInThree ? 1 : stride));
                y = b.Relu(b.Conv(y, width, width, 3, strideInThree ? stride : 1));
                x = b.Relu(b.Add(b.Conv(y, width, 4 * width, 1, gain: 0.5f), shortcut));
                channels = 4 * width;
            }
        }
        return b.Finish(b.Linear(b.Flatten(b.GlobalAveragePool(x)), 2048, 1000), "logits");
    }

    private static Model MobileNetV2()
    {
        var b = new NetworkBuilder("mobilenetv2", 2);
        Value x = b.Relu6(b.Conv(b.Input("data", 1, 3, 224, 224), 3, 32, 3, 2));
        int channels = 32;
        (int Expand, int Width, int Blocks, int Stride)[] stages = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)];
        foreach ((int expand, int width, int blocks, int first) in stages)
        {
            for (int block = 0; block < blocks; block++)
            {
                int stride = block == 0 ? first : 1, inner = channels * expand;
                Value y = expand == 1 ? x : b.Relu6(b.Conv(x, channels, inner, 1));
                y = b.Relu6(b.Conv(y, inner, inner, 3, stride, groups: inner));
                y = b.Conv(y, inner, width, 1, gain: 1);
                x = stride == 1 && channels == width ? b.Add(y, x) : y;
                channels = width;
            }
        }
        x = b.Relu6(b.Conv(x, 320, 1280, 1));
        return b.Finish(b.Linear(b.Flatten(b.GlobalAveragePool(x)), 1280, 1000), "logits");
    }

    private static Model SqueezeNet()
    {
        var b = new NetworkBuilder("squeezenet1.1", 11);
        Value Fire(Value x, int channels, int squeeze, int expand)
        {
            Value s = b.Relu(b.Conv(x, channels, squeeze, 1));
            return b.Concat(b.Relu(b.Conv(s, squeeze, expand, 1)), b.Relu(b.Conv(s, squeeze, expand, 3)));
        }
        Value x = b.MaxPool(b.Relu(b.Conv(b.Input("data", 1, 3, 224, 224), 3, 64, 3, 2, pad: 0)), 3, 2, 0);
        x = b.MaxPool(Fire(Fire(x, 64, 16, 64), 128, 16, 64), 3, 2, 0);
        x = b.MaxPool(Fire(Fire(x, 128, 32, 128), 256, 32, 128), 3, 2, 0);
        x = Fire(Fire(Fire(Fire(x, 256, 48, 192), 384, 48, 192), 384, 64, 256), 512, 64, 256);
        return b.Finish(b.Flatten(b.GlobalAveragePool(b.Relu(b.Conv(x, 512, 1000, 1)))), "logits");
    }

    /// <summary>A BERT encoder on one sequence: <c>[length, hidden]</c> in and out, projections as Gemm with bias.</summary>
    private static Model Bert(int layers, int hidden, int heads, int inner, int length)
    {
        var b = new NetworkBuilder($"bert-{layers}-{hidden}-{length}", 12);
        int depth = hidden / heads;
        Value split = b.Ints("split", length, heads, depth), merge = b.Ints("merge", length, hidden);
        Value rootDepth = b.Editor.AddConstant("root_depth", Tensor.Scalar(MathF.Sqrt(depth)));
        Value half = b.Editor.AddConstant("half", Tensor.Scalar(0.5f)), one = b.Editor.AddConstant("one", Tensor.Scalar(1f)), rootTwo = b.Editor.AddConstant("root_two", Tensor.Scalar(MathF.Sqrt(2)));
        Value Op(string type, AttributeMap? attributes, params Value?[] inputs) => b.Editor.Add(type, inputs, attributes, name: b.Next(type.ToLowerInvariant()));
        Value Norm(Value v) => Op("LayerNormalization", new AttributeMap { { "axis", -1L }, { "epsilon", 1e-12f } }, v, b.Ones(b.Next("gamma"), hidden), b.Normal(b.Next("beta"), 0.02f, hidden));

        Value x = b.Input("hidden", length, hidden);
        for (int layer = 0; layer < layers; layer++)
        {
            Value Heads(Value v, params long[] order) => Op("Transpose", new AttributeMap { { "perm", order } }, Op("Reshape", null, v, split));
            Value q = Heads(b.Linear(x, hidden, hidden), 1, 0, 2), k = Heads(b.Linear(x, hidden, hidden), 1, 2, 0), v = Heads(b.Linear(x, hidden, hidden), 1, 0, 2);
            Value scores = Op("Softmax", new AttributeMap { { "axis", -1L } }, Op("Div", null, Op("MatMul", null, q, k), rootDepth));
            Value context = Op("Reshape", null, Op("Transpose", new AttributeMap { { "perm", new long[] { 1, 0, 2 } } }, Op("MatMul", null, scores, v)), merge);
            x = Norm(b.Add(b.Linear(context, hidden, hidden), x));
            Value wide = b.Linear(x, hidden, inner);
            Value gelu = Op("Mul", null, Op("Mul", null, wide, Op("Add", null, Op("Erf", null, Op("Div", null, wide, rootTwo)), one)), half);
            x = Norm(b.Add(b.Linear(gelu, inner, hidden), x));
        }
        return b.Finish(x, "encoded");
    }
}
