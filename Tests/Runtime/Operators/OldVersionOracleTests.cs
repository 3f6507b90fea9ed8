using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Operators in the versions 1 to 12 of the operator set, against ONNX Runtime, which still runs them.</summary>
internal sealed class OldVersionOracleTests
{
    /// <summary>Shapes of float inputs are written as numbers; <c>i:1,2</c> is an int64 constant, <c>f:1.5</c> a float constant.</summary>
    public static IEnumerable<TestCaseData> Cases()
    {
        foreach (int opset in new[] { 7, 8, 9, 10, 11, 12 })
        {
            foreach (string type in new[] { "Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Floor", "Ceil", "Softsign", "Softplus", "Elu", "LeakyRelu", "Selu", "HardSigmoid", "Identity" }) yield return One(type, opset, [], 1, "2,3,4");
            foreach (string type in new[] { "Add", "Sub", "Mul", "Div", "Max", "Min", "Sum", "Mean" })
            {
                yield return One(type, opset, [], 1, "2,3,4", "2,3,4");
                if (opset >= 8 || type is "Add" or "Sub" or "Mul" or "Div") yield return One(type, opset, [], 1, "2,3,4", "3,1");
            }
            foreach (string type in new[] { "Softmax", "LogSoftmax", "Hardmax" })
            {
                yield return One(type, opset, [], 1, "2,3,4");
                foreach (long axis in new long[] { 0, 2 }) yield return One(type, opset, new() { ["axis"] = axis }, 1, "2,3,4");
            }
            foreach (string type in new[] { "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp" })
            {
                yield return One(type, opset, [], 1, "2,3,4");
                yield return One(type, opset, new() { ["axes"] = new long[] { 0, 2 }, ["keepdims"] = 0L }, 1, "2,3,4");
            }
            foreach (string type in new[] { "ArgMax", "ArgMin" }) yield return One(type, opset, new() { ["axis"] = 1L, ["keepdims"] = 0L }, 1, "2,3,4");
            yield return One("Flatten", opset, new() { ["axis"] = 2L }, 1, "2,3,4");
            yield return One("Squeeze", opset, new() { ["axes"] = new long[] { 0, 2 } }, 1, "1,3,1,4");
            yield return One("Unsqueeze", opset, new() { ["axes"] = new long[] { 0, 3 } }, 1, "2,3");
            yield return One("Split", opset, new() { ["axis"] = 1L, ["split"] = new long[] { 1, 3 } }, 2, "2,4");
            yield return One("Split", opset, new() { ["axis"] = 1L }, 2, "2,4");
            yield return One("Reshape", opset, [], 1, "2,3,4", "i:0,-1");
            yield return One("Transpose", opset, new() { ["perm"] = new long[] { 2, 0, 1 } }, 1, "2,3,4");
            yield return One("Concat", opset, new() { ["axis"] = 1L }, 1, "2,3,4", "2,1,4");
            yield return One("Gather", opset, new() { ["axis"] = 1L }, 1, "2,3,4", "i:2,0");
            yield return One("Tile", opset, [], 1, "2,3", "i:2,1");
            yield return One("Pad", opset, opset < 11 ? new() { ["pads"] = new long[] { 0, 1, 2, 0 }, ["value"] = 1.5f } : [], 1, opset < 11 ? ["2,3"] : ["2,3", "i:0,1,2,0", "f:1.5"]);
            yield return One("Pad", opset, opset < 11 ? new() { ["pads"] = new long[] { 0, 1, 0, 2 }, ["mode"] = "reflect" } : new() { ["mode"] = "reflect" }, 1, opset < 11 ? ["2,3"] : ["2,3", "i:0,1,0,2"]);
            yield return One("Clip", opset, opset < 11 ? new() { ["min"] = -0.5f, ["max"] = 0.25f } : [], 1, opset < 11 ? ["2,3"] : ["2,3", "f:-0.5", "f:0.25"]);
            yield return One("Slice", opset, opset < 10 ? new() { ["starts"] = new long[] { 1, 0 }, ["ends"] = new long[] { 9, -1 }, ["axes"] = new long[] { 1, 2 } } : [], 1, opset < 10 ? ["2,3,4"] : ["2,3,4", "i:1,0", "i:9,-1", "i:1,2"]);
            yield return One("TopK", opset, opset < 10 ? new() { ["k"] = 2L, ["axis"] = 1L } : new() { ["axis"] = 1L }, 2, opset < 10 ? ["2,5"] : ["2,5", "i:2"]);
            yield return One("Dropout", opset, opset < 12 ? new() { ["ratio"] = 0.3f } : [], 1, "2,3");
            yield return One("Gemm", opset, new() { ["alpha"] = 0.5f, ["beta"] = 2f, ["transB"] = 1L }, 1, "2,3", "4,3", "4");
            yield return One("MatMul", opset, [], 1, "2,2,3", "3,4");
            yield return One("Conv", opset, new() { ["auto_pad"] = "SAME_UPPER", ["strides"] = new long[] { 2, 2 } }, 1, "1,2,5,6", "3,2,3,3", "3");
            yield return One("Conv", opset, new() { ["group"] = 2L, ["pads"] = new long[] { 1, 0, 1, 2 }, ["dilations"] = new long[] { 1, 2 } }, 1, "1,4,5,6", "6,2,3,2");
            yield return One("ConvTranspose", opset, new() { ["strides"] = new long[] { 2, 3 }, ["output_padding"] = new long[] { 1, 2 }, ["pads"] = new long[] { 1, 1, 0, 1 } }, 1, "1,2,4,3", "2,3,3,3", "3");
            yield return One("ConvTranspose", opset, new() { ["strides"] = new long[] { 2, 2 }, ["output_shape"] = new long[] { 9, 7 } }, 1, "1,2,4,3", "2,3,3,3");
            yield return One("MaxPool", opset, new() { ["kernel_shape"] = new long[] { 3, 2 }, ["strides"] = new long[] { 2, 1 }, ["pads"] = new long[] { 1, 0, 1, 1 } }, 1, "1,2,6,5");
            yield return One("AveragePool", opset, new() { ["kernel_shape"] = new long[] { 3, 2 }, ["auto_pad"] = "SAME_LOWER", ["strides"] = new long[] { 2, 1 } }, 1, "1,2,6,5");
            yield return One("AveragePool", opset, new() { ["kernel_shape"] = new long[] { 3, 3 }, ["pads"] = new long[] { 1, 1, 1, 1 }, ["count_include_pad"] = 1L }, 1, "1,2,6,5");
            yield return One("LpPool", opset, new() { ["kernel_shape"] = new long[] { 3, 2 }, ["p"] = 3L }, 1, "1,2,6,5");
            foreach (string type in new[] { "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool" }) yield return One(type, opset, [], 1, "2,3,4,5");
            yield return One("BatchNormalization", opset, new() { ["epsilon"] = 1.5f }, 1, "2,3,4,5", "3", "3", "3", "3");
            yield return One("InstanceNormalization", opset, [], 1, "2,3,4,5", "3", "3");
            yield return One("LRN", opset, new() { ["size"] = 3L, ["alpha"] = 0.5f }, 1, "2,5,4,3");
            yield return One("LpNormalization", opset, new() { ["axis"] = 1L, ["p"] = 1L }, 1, "2,3,4");
            yield return One("PRelu", opset, [], 1, "2,3,4", "3,1");
            yield return One("DepthToSpace", opset, new() { ["blocksize"] = 2L }, 1, "1,8,3,2");
            yield return One("SpaceToDepth", opset, new() { ["blocksize"] = 2L }, 1, "1,2,4,6");
            if (opset is 7 or 8) yield return One("Upsample", opset, new() { ["mode"] = "nearest", ["scales"] = new[] { 1f, 1f, 2f, 3f } }, 1, "1,2,3,4");
            if (opset is 7 or 8) yield return One("Upsample", opset, new() { ["mode"] = "linear", ["scales"] = new[] { 1f, 1f, 2f, 3f } }, 1, "1,2,3,4");
            if (opset == 9) yield return One("Upsample", opset, new() { ["mode"] = "linear" }, 1, "1,2,3,4", "f:1,1,2,3");
            if (opset == 10) yield return One("Resize", opset, new() { ["mode"] = "linear" }, 1, "1,2,3,4", "f:1,1,2,1.5");
            if (opset == 10) yield return One("Resize", opset, new() { ["mode"] = "nearest" }, 1, "1,2,3,4", "f:1,1,0.7,1.5");
            if (opset >= 8) yield return One("Expand", opset, [], 1, "3,1", "i:2,1,4");
            if (opset >= 9) yield return One("Shrink", opset, new() { ["lambd"] = 0.3f, ["bias"] = 0.1f }, 1, "2,3,4");
            if (opset >= 9) yield return One("OneHot", opset, new() { ["axis"] = 0L }, 1, "i:1,-1,2", "i:3", "f:2,5");
            if (opset >= 9) yield return One("Scatter", opset > 10 ? 10 : opset, new() { ["axis"] = 1L }, 1, "1,5", "i2:1,3", "1,2");
            if (opset >= 10) yield return One("ThresholdedRelu", opset, new() { ["alpha"] = 0.2f }, 1, "2,3,4");
        }
        yield return One("BatchNormalization", 7, new() { ["spatial"] = 0L }, 1, "2,3,4,5", "3,4,5", "3,4,5", "3,4,5", "3,4,5");
    }

    [TestCaseSource(nameof(Cases))]
    public void AgreesWithOnnxRuntime(string type, int opset, AttributeMap attributes, int outputs, string[] inputs)
    {
        var g = new TestGraph(opset);
        var values = new Dictionary<string, Tensor>();
        var operands = new List<Value?>();
        for (int i = 0; i < inputs.Length; i++)
        {
            string name = $"x{i}";
            if (inputs[i].Split(':') is [var kind, var list])
            {
                string[] numbers = list.Split(',');
                operands.Add(kind switch
                {
                    "i" => g.Ints(name, [.. numbers.Select(long.Parse)]),
                    "i2" => g.Editor.AddConstant(name, Tensor.Create<long>([.. numbers.Select(long.Parse)], 1, numbers.Length)),
                    _ when numbers.Length == 1 && type is "Pad" or "Clip" => g.Scalar(name, float.Parse(list, System.Globalization.CultureInfo.InvariantCulture)),
                    _ => g.Floats(name, [.. numbers.Select(number => float.Parse(number, System.Globalization.CultureInfo.InvariantCulture))]),
                });
                continue;
            }
            int[] shape = [.. inputs[i].Split(',').Select(int.Parse)];
            Tensor tensor = TestGraph.RandomTensor(17 * i + opset, shape);
            // A variance is positive, and a divisor is not near zero.
            if (type == "BatchNormalization" && i == 4 || type == "Div" && i == 1) foreach (ref float value in tensor.Span<float>()) value = MathF.Abs(value) + 0.5f;
            values[name] = tensor;
            operands.Add(g.Input(name, shape));
        }
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => g.Editor.AddValue($"y{i}"))];
        g.Editor.AddNode(type, [.. operands], results, attributes);
        foreach (Value result in results) g.Output(result);
        Oracle.Compare(g.Graph, values);
    }

    private static TestCaseData One(string type, int opset, AttributeMap attributes, int outputs, params string[] inputs) =>
        new TestCaseData(type, opset, attributes, outputs, inputs).SetArgDisplayNames(type, opset.ToString(System.Globalization.CultureInfo.InvariantCulture),
            string.Join(" ", attributes.Select(attribute => $"{attribute.Key}={GraphPrinter.Text(attribute.Value)}")), string.Join(" ", inputs));
}
