using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes;

/// <summary>Pre-quantized files, QDQ and QOperator: what Octet saves, ONNX Runtime loads, and both give the same integers; saving and loading changes no bit.</summary>
internal sealed class OnnxRuntimeAgreementTests
{
    private static readonly DataType[] ByteTypes = [DataType.UInt8, DataType.Int8];

    /// <summary>Largest share of elements that may lie one step apart.</summary>
    private const double Share = 0.001;

    /// <summary>Sums have the bits of ONNX Runtime's: alone, behind a layer that is either operand, and of a layer's ReLU that is stored from zero on; over whole vectors and rests, with and without broadcasting.</summary>
    [Test]
    public void SumsAreEqualBitForBit([ValueSource(nameof(ByteTypes))] DataType type, [Values("", "Relu")] string act, [Values("1,16,9,9", "1,35,3,3", "1,16,1,1", "1,16,9,1")] string shape, [Values(0, 1, 2)] int layers, [Values(0, 1)] int side)
    {
        var random = new Random(7);
        int[] extents = [.. shape.Split(',').Select(int.Parse)];
        int channels = extents[1], moved = type == DataType.Int8 ? 128 : 0;
        for (int repeat = 0; repeat < 12; repeat++)
        {
            float Scale() => MathF.Exp(random.NextSingle() * 3 - 5);
            (float sa, float sb, int za, int zb) = (Scale(), Scale(), random.Next(256) - moved, random.Next(256) - moved);
            float sy = (sa + sb) * (0.3f + random.NextSingle() * 0.4f);
            int zy = (act == "Relu" ? 0 : random.Next(100, 156)) - moved;
            var graph = new QuantizedGraph(repeat);
            Value b = graph.Fake(graph.Input(sb * 128, extents), sb, zb, type);
            Value a = graph.Fake(graph.Input(sa * 128, layers > 0 || extents[2] == 3 ? extents : [1, channels, 9, 9]), sa, za, type);
            Value Layer(Value x) => graph.Node("Conv", [x, graph.Weight(0, [0.05f / channels], DataType.Int8, 0, channels, channels, 1, 1)]);
            if (layers > 0) a = graph.Fake(Layer(a), sa, za, type);
            if (layers > 1) b = graph.Fake(graph.Node("Relu", [graph.Fake(Layer(b), sb, zb, type)]), sb, zb, type);
            Value y = graph.Node("Add", side == 0 ? [a, b] : [b, a]);
            if (act.Length > 0) y = graph.Node(act, [y]);
            graph.Output(graph.Quantize(y, sy, zy, type));
            var model = new Model(graph.Graph);
            Dictionary<string, Tensor> inputs = graph.Graph.Inputs.ToDictionary(input => input.Name, input => graph.InputTensor(input.Name));
            string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.onnx");
            try
            {
                model.Save(path);
                Tensor own = new InferenceSession(model).Run(inputs)["y0"], peer = OnnxRuntimePeer.Run(path, inputs, exact: true)["y0"];
                Assert.That(own.ToInt64Array(), Is.EqualTo(peer.ToInt64Array()), $"{sa:R} ({za}), {sb:R} ({zb}), {sy:R} ({zy})");
            }
            finally
            {
                File.Delete(path);
            }
        }
    }

    [Test]
    public void IntegersAgreeAndFilesKeepEveryBit([ValueSource(typeof(LoweringCases), nameof(LoweringCases.All))] LoweringCases.Case test, [ValueSource(nameof(ByteTypes))] DataType type)
    {
        QuantizedGraph graph = test.Create(type);
        var model = new Model(graph.Graph);
        Dictionary<string, Tensor> inputs = graph.Graph.Inputs.ToDictionary(input => input.Name, input => graph.InputTensor(input.Name));
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.onnx");
        try
        {
            model.Save(path);
            IReadOnlyDictionary<string, Tensor> own = new InferenceSession(model).Run(inputs), loaded = new InferenceSession(Model.Load(path)).Run(inputs);
            foreach ((string name, Tensor value) in own) Assert.That(loaded[name].Bytes.ToArray(), Is.EqualTo(value.Bytes.ToArray()), $"'{name}' after saving and loading");

            if (test.Name == "layers of other grids") Assert.Ignore("the file keeps every bit; ONNX Runtime drops the inner of two quantizations, which rounds otherwise than the graph says");
            if (test.Name == "qlinear conv" && type == DataType.Int8) Assert.Ignore("the file keeps every bit; ONNX Runtime's exact mode turns signed into unsigned bytes here and then finds no kernel");
            IReadOnlyDictionary<string, Tensor> peer = OnnxRuntimePeer.Run(path, inputs, exact: true);
            foreach ((string name, Tensor value) in own)
            {
                Assert.That(peer[name].Shape.ToArray(), Is.EqualTo(value.Shape.ToArray()));
                if (value.Type.IsFloat())
                {
                    float[] a = value.ToFloat32Array(), b = peer[name].ToFloat32Array();
                    // A recurrent layer is float there, with dequantized weights: half a step of x and h, as in RunTimeRangeTests.
                    float bound = (test.Name == "lstm" ? 0.03f : 1e-5f) * Math.Max(1, a.Max(MathF.Abs));
                    for (int i = 0; i < a.Length; i++) Assert.That(b[i], Is.EqualTo(a[i]).Within(bound), name);
                    continue;
                }
                long[] steps = [.. value.ToInt64Array().Zip(peer[name].ToInt64Array(), (x, y) => Math.Abs(x - y))];
                Assert.That(steps.Max(), Is.LessThanOrEqualTo(1), name);
                Assert.That(steps.Count(step => step != 0), Is.LessThanOrEqualTo(Share * steps.Length), name);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }
}
