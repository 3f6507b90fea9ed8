using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Versions, element types and attributes of operators that ONNX's cases at hand leave out, against ONNX Runtime, with operands as inputs and as constants.</summary>
internal sealed class VersionMatrixOracleTests
{
    /// <summary>One node.</summary>
    /// <param name="Type">Operator.</param>
    /// <param name="Opset">Version of the operator set.</param>
    /// <param name="Inputs">Inputs; null for one left out.</param>
    /// <param name="Attributes">Attributes.</param>
    /// <param name="Outputs">How many outputs it lists.</param>
    private sealed record Row(string Type, int Opset, Tensor?[] Inputs, AttributeMap Attributes, int Outputs = 1);

    private static IEnumerable<TestCaseData> Cases() => Rows().SelectMany(row => new[] { false, true }.Select(constant => new TestCaseData(row, constant).SetArgDisplayNames(
        $"{row.Type}-{row.Opset}", string.Join(", ", row.Inputs.Select(input => input?.ToString() ?? "none")), string.Join(" ", row.Attributes.Select(attribute => $"{attribute.Key}={GraphPrinter.Text(attribute.Value)}")), constant ? "constants" : "inputs")));

    private static IEnumerable<Row> Rows()
    {
        foreach (string type in (string[])["Softmax", "LogSoftmax", "Hardmax"])
        {
            foreach (int opset in (int[])[7, 11, 13])
            {
                yield return One(type, opset, [F(3, 4, 5)]);
                foreach (long axis in opset == 7 ? (long[])[0, 1, 2] : [0, 1, 2, -1, -3]) yield return One(type, opset, [F(3, 4, 5)], new() { ["axis"] = axis });
            }
        }
        foreach (int opset in (int[])[7, 9, 14, 15])
        {
            foreach (int[] shape in (int[][])[[5, 3], [2, 3, 4], [2, 3, 4, 5], [2, 3, 2, 3, 2]])
                yield return One("BatchNormalization", opset, [F(shape), F(3), F(3), F(3), Positive(3)], new() { ["epsilon"] = 0.01f });
        }
        yield return One("BatchNormalization", 7, [F(2, 3, 2, 2), F(3), F(3), F(3), Positive(3)], new() { ["spatial"] = 1L, ["momentum"] = 0.5f });
        foreach (int opset in (int[])[14, 15]) yield return One("BatchNormalization", opset, [F(2, 3, 4, 5), F(3), F(3), F(3), Positive(3)], new() { ["training_mode"] = 1L, ["momentum"] = 0.7f }, 3);
        foreach (int opset in (int[])[7, 10]) yield return One("Dropout", opset, [F(3, 4)], new() { ["ratio"] = 0.3f }, opset == 10 ? 2 : 1);
        foreach (int opset in (int[])[12, 13, 22])
        {
            yield return One("Dropout", opset, [F(3, 4)], [], 2);
            yield return One("Dropout", opset, [F(3, 4), Scalar(0.5f), Tensor.Scalar(false)], [], 2);
            yield return One("Dropout", opset, [F(3, 4), Scalar(0f), Tensor.Scalar(true)], [], 2);
        }

        foreach (int opset in (int[])[7, 10])
        {
            yield return One("Clip", opset, [F(3, 4)], new() { ["min"] = -0.25f });
            yield return One("Clip", opset, [F(3, 4)], new() { ["min"] = -0.25f, ["max"] = 0.5f });
            foreach (string mode in (string[])["constant", "edge", "reflect"])
            {
                yield return One("Pad", opset, [F(2, 3, 4)], new() { ["mode"] = mode, ["pads"] = new[] { 0L, 1, 2, 1, 0, 1 } });
            }
            yield return One("Pad", opset, [F(2, 3, 4)], new() { ["value"] = 2f, ["pads"] = new[] { 0L, -1, 2, 1, 0, -1 } });
            yield return One("TopK", opset, opset == 7 ? [F(3, 6)] : [F(3, 6), L(4)], opset == 7 ? new() { ["k"] = 4L, ["axis"] = 1L } : new() { ["axis"] = 1L }, 2);
            yield return One("Unsqueeze", opset, [F(3, 4)], new() { ["axes"] = new[] { 0L, 2, 4 } });
            yield return One("Squeeze", opset, [F(1, 3, 1, 4)], new() { ["axes"] = new[] { 0L, 2 } });
            yield return One("Split", opset, [F(4, 6)], new() { ["axis"] = 1L }, 3);
            yield return One("Split", opset, [F(7, 2)], new() { ["split"] = new[] { 1L, 4, 2 } }, 3);
            yield return One("Gemm", opset, [F(3, 4), F(5, 4), F(1, 5)], new() { ["transB"] = 1L, ["alpha"] = 0.5f, ["beta"] = 2f });
            yield return One("Gemm", opset, [F(4, 3), F(4, 5), F(3, 1)], new() { ["transA"] = 1L });
            yield return One("Gemm", opset, [F(3, 4), F(4, 5), F(1)]);
        }
        foreach (DataType type in (DataType[])[DataType.Int8, DataType.UInt8, DataType.Int32, DataType.Int64, DataType.UInt32, DataType.UInt64, DataType.Float64, DataType.Float16])
        {
            yield return One("Clip", 12, [Of(type, 3, 4), Numbers(type, 2).Reshape(), Numbers(type, 5).Reshape()]);
            yield return One("Clip", 12, [Of(type, 3, 4), null, Numbers(type, 5).Reshape()]);
            yield return One("Max", 12, [Of(type, 3, 4), Of(type, 4), Of(type, 3, 1)]);
            yield return One("Min", 12, [Of(type, 3, 4)]);
            bool plain = type is not (DataType.UInt32 or DataType.UInt64);   // ONNX Runtime has less for those
            if (plain) yield return One("ReduceMax", 12, [Of(type, 3, 4)], new() { ["axes"] = new[] { 1L } });
            if (type != DataType.UInt64) yield return One("Where", 9, [Flags(3, 1), Of(type, 3, 4), Of(type, 4)]);
            yield return One("Less", 13, [Of(type, 3, 4), Of(type, 4)]);
            yield return One("Equal", 13, [Of(type, 3, 4), Of(type, 4)]);
            if (plain) yield return One("ArgMax", 13, [Of(type, 3, 4)], new() { ["select_last_index"] = 1L });
            if (plain) yield return One("TopK", 11, [Of(type, 3, 9), L(4)], new() { ["largest"] = 0L }, 2);
            yield return One("Expand", 8, [Of(type, 3, 1), L(2, 1, 4)]);
            yield return One("Tile", 6, [Of(type, 2, 3), L(2, 2)]);
            yield return One("Pad", 13, [Of(type, 2, 3), L(1, 0, 0, 2), Numbers(type, 3).Reshape()]);
            yield return One("Transpose", 7, [Of(type, 2, 3, 4)], new() { ["perm"] = new[] { 2L, 0, 1 } });
            yield return One("Concat", 7, [Of(type, 2, 3), Of(type, 2, 1)], new() { ["axis"] = 1L });
            yield return One("Cast", 13, [Of(type, 2, 3)], new() { ["to"] = (long)DataType.Float32 });
            yield return One("Cast", 13, [Of(type, 2, 3)], new() { ["to"] = (long)DataType.Bool });
            yield return One("Cast", 13, [Of(type, 2, 3)], new() { ["to"] = (long)DataType.Int64 });
            if (!type.IsFloat()) yield return One("Cast", 13, [Of(type, 2, 3)], new() { ["to"] = (long)DataType.UInt8 });   // beyond its range ONNX says nothing of floats
            if (type == DataType.Int64) yield return One("OneHot", 11, [L(1, 0, -1), L(3), Numbers(type, 2, 5)]);
            yield return One("ScatterElements", 16, [Of(type, 3, 4), L(1, 1, 3).Reshape(1, 3), Of(type, 1, 3)], new() { ["axis"] = 1L });
            yield return One("GatherElements", 11, [Of(type, 3, 4), L(1, -1, 3).Reshape(1, 3)], new() { ["axis"] = 1L });
            if (type is DataType.Int8 or DataType.Float16) continue;   // ONNX Runtime has none of the rest in these
            if (type is DataType.UInt8 or DataType.Int32 or DataType.Int64) yield return One("NonZero", 13, [Of(type, 3, 4)]);
            yield return One("Sign", 13, [Of(type, 3, 4)]);
            if (type is DataType.UInt8) continue;
            foreach (string pair in plain ? (string[])["Add", "Sub", "Mul", "Div"] : ["Add", "Mul", "Div"]) yield return One(pair, 14, [Of(type, 3, 4), Numbers(type, 1, 2, 3, 4)]);
            yield return One("Mod", 13, [Of(type, 3, 4), Numbers(type, 1, 2, 3, 4)], new() { ["fmod"] = 1L });
            yield return One("MatMul", 13, [Of(type, 2, 3, 4), Of(type, 4, 5)]);
            if (plain) yield return One("Range", 11, [Numbers(type, 1).Reshape(), Numbers(type, 8).Reshape(), Numbers(type, 3).Reshape()]);
        }
        foreach (DataType type in (DataType[])[DataType.Int32, DataType.Int64, DataType.Float64])
        {
            foreach (string reduction in (string[])["ReduceSum", "ReduceProd", "ReduceMin", "ReduceSumSquare", "ReduceMean"])
            {
                if (reduction is "ReduceSumSquare" or "ReduceMean" && type == DataType.Int64) continue;
                yield return One(reduction, 11, [Of(type, 2, 3, 4)], new() { ["axes"] = new[] { 0L, -1 }, ["keepdims"] = 0L });
            }
            yield return One("CumSum", 14, [Of(type, 3, 4), Tensor.Scalar(-1)], new() { ["exclusive"] = 1L, ["reverse"] = 1L });
            yield return One("Abs", 13, [Of(type, 3, 4)]);
            yield return One("Neg", 13, [Of(type, 3, 4)]);
            yield return One("Pow", 13, [Of(type, 3, 4), Numbers(DataType.Float32, 2, 1, 3, 0)]);
            if (type == DataType.Float64) yield return One("Gemm", 13, [Of(type, 3, 4), Of(type, 4, 5), Of(type, 5)]);
        }

        foreach (string type in (string[])["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"])
        {
            foreach (int opset in (int[])[7, 11, 12])
            {
                yield return One(type, opset, [Positive(2, 3, 4)]);
                yield return One(type, opset, [Positive(2, 3, 4)], new() { ["axes"] = new[] { 1L }, ["keepdims"] = 0L });
                yield return One(type, opset, [Positive(2, 3, 4)], new() { ["axes"] = new[] { 0L, 2 } });
            }
            yield return One(type, 18, [Positive(2, 3, 4), L(-2)], new() { ["keepdims"] = 0L });
            yield return One(type, 18, [Positive(2, 3, 4), Tensor.Create(Array.Empty<long>(), 0)], new() { ["noop_with_empty_axes"] = 1L });
            yield return One(type, 18, [Positive(2, 3, 4)]);
        }
        foreach (int opset in (int[])[7, 11, 12])
        {
            foreach (string type in (string[])["ArgMax", "ArgMin"])
            {
                yield return One(type, opset, [F(3, 4)]);
                yield return One(type, opset, [F(3, 4)], new() { ["axis"] = 1L, ["keepdims"] = 0L });
            }
        }

        yield return One("Slice", 9, [F(4, 5, 6)], new() { ["starts"] = new[] { 1L, -4 }, ["ends"] = new[] { 100L, -1 }, ["axes"] = new[] { 0L, 2 } });
        foreach (int opset in (int[])[10, 11, 13])
        {
            yield return One("Slice", opset, [F(4, 5, 6), L(3, -1), L(0, -100), L(0, 2), L(-1, -2)]);
            yield return One("Slice", opset, [F(4, 5, 6), L(1), L(3)]);
            yield return One("Slice", opset, [F(4, 5, 6), I(1), I(1000), I(1), I(3)]);
        }
        foreach (int opset in (int[])[11, 18, 19])
        {
            foreach (string mode in opset == 19 ? (string[])["constant", "edge", "reflect", "wrap"] : ["constant", "edge", "reflect"])
                yield return One("Pad", opset, [F(2, 3, 4), L(0, 1, 2, 1, 0, 1)], new() { ["mode"] = mode });
            if (opset > 11) yield return One("Pad", opset, [F(2, 3, 4), L(1, 2), Scalar(7f), L(-1)]);
        }
        yield return One("Split", 11, [F(4, 6)], new() { ["axis"] = -1L, ["split"] = new[] { 2L, 4 } }, 2);
        yield return One("Split", 13, [F(4, 6), L(2, 4)], new() { ["axis"] = -1L }, 2);
        yield return One("Split", 18, [F(7, 2)], new() { ["num_outputs"] = 3L }, 3);
        yield return One("Squeeze", 13, [F(1, 3, 1, 4), L(-2)]);
        yield return One("Unsqueeze", 13, [F(3, 4), L(-1, 0)]);
        foreach (int opset in (int[])[9]) yield return One("Scatter", opset, [F(3, 3), L(1, 0, 2, 0, 2, 1).Reshape(2, 3), F(2, 3)], new() { ["axis"] = 1L });
        foreach (string reduction in (string[])["none", "add", "mul", "min", "max"])
        {
            yield return One("ScatterElements", 18, [F(4, 5), L(1, 1, -1, 0).Reshape(1, 4), F(1, 4)], new() { ["axis"] = 1L, ["reduction"] = reduction });
            yield return One("ScatterND", 18, [F(4, 5), L(1, 1, 2, 0, 3, 4).Reshape(3, 2), F(3)], new() { ["reduction"] = reduction });
        }
        yield return One("ScatterND", 11, [F(4, 5), L(1, 3).Reshape(2, 1), F(2, 5)]);
        yield return One("GatherND", 11, [F(4, 5, 2), L(1, 3, 0, 2).Reshape(2, 2)]);
        yield return One("GatherND", 12, [F(2, 5, 2), L(1, 3).Reshape(2, 1)], new() { ["batch_dims"] = 1L });
        yield return One("Gather", 7, [F(4, 5), L(1, 3, 0, 2).Reshape(2, 2)], new() { ["axis"] = 1L });
        yield return One("Gather", 11, [F(4, 5), I(-1, 3)], new() { ["axis"] = -2L });

        foreach (int opset in (int[])[7, 10, 11, 12, 22])
        {
            yield return One("AveragePool", opset, [F(1, 2, 7)], new() { ["kernel_shape"] = new[] { 3L }, ["strides"] = new[] { 2L }, ["pads"] = new[] { 1L, 1 } });
            yield return One("AveragePool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["auto_pad"] = "SAME_LOWER", ["strides"] = new[] { 2L, 2 }, ["count_include_pad"] = 1L });
            yield return One("AveragePool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["auto_pad"] = "SAME_UPPER" });
            yield return One("AveragePool", opset, [F(1, 2, 4, 5, 6)], new() { ["kernel_shape"] = new[] { 2L, 3, 2 }, ["pads"] = new[] { 0L, 1, 1, 1, 1, 0 } });
            yield return One("MaxPool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["pads"] = new[] { 1L, 0, 1, 1 }, ["strides"] = new[] { 2L, 1 } });
            yield return One("MaxPool", opset, [F(1, 2, 5, 4, 6)], new() { ["kernel_shape"] = new[] { 2L, 2, 2 }, ["auto_pad"] = "SAME_UPPER" });
            yield return One("LpPool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["pads"] = new[] { 1L, 0, 1, 1 }, ["strides"] = new[] { 2L, 1 }, ["p"] = 3L });
            if (opset < 10) continue;
            yield return One("AveragePool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 3 }, ["strides"] = new[] { 2L, 2 }, ["ceil_mode"] = 1L });
            yield return One("AveragePool", opset, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 3 }, ["strides"] = new[] { 2L, 2 }, ["ceil_mode"] = 1L, ["pads"] = new[] { 1L, 1, 1, 1 }, ["count_include_pad"] = 1L });
            yield return One("MaxPool", opset, [F(1, 2, 8, 8)], new() { ["kernel_shape"] = new[] { 3L, 3 }, ["strides"] = new[] { 2L, 2 }, ["ceil_mode"] = 1L, ["dilations"] = new[] { 1L, 2 } }, 2);
        }
        yield return One("MaxPool", 8, [F(2, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["strides"] = new[] { 2L, 1 }, ["pads"] = new[] { 1L, 0, 1, 1 } }, 2);
        yield return One("MaxPool", 8, [F(2, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["storage_order"] = 1L }, 2);
        yield return One("MaxPool", 8, [F(2, 2, 7)], new() { ["kernel_shape"] = new[] { 3L } }, 2);
        yield return One("MaxPool", 12, [Of(DataType.UInt8, 1, 2, 5, 5)], new() { ["kernel_shape"] = new[] { 2L, 2 } });
        yield return One("MaxPool", 12, [Of(DataType.Int8, 1, 2, 5, 5)], new() { ["kernel_shape"] = new[] { 2L, 2 } });
        yield return One("LpPool", 18, [F(1, 2, 7, 8)], new() { ["kernel_shape"] = new[] { 3L, 2 }, ["dilations"] = new[] { 2L, 1 }, ["ceil_mode"] = 1L, ["strides"] = new[] { 2L, 2 } });
        foreach (string type in (string[])["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
        {
            yield return One(type, 7, [F(2, 3, 5)]);
            yield return One(type, 7, [F(2, 3, 5, 4, 2)], type == "GlobalLpPool" ? new() { ["p"] = 3L } : []);
        }
        yield return One("MaxUnpool", 11, [F(1, 2, 3), L(0, 3, 5, 7, 9, 10).Reshape(1, 2, 3)], new() { ["kernel_shape"] = new[] { 2L }, ["strides"] = new[] { 2L } });

        foreach (int opset in (int[])[7, 11])
        {
            foreach (string pad in (string[])["SAME_UPPER", "SAME_LOWER", "VALID"])
            {
                yield return One("Conv", opset, [F(1, 2, 7, 8), F(3, 2, 3, 2), F(3)], new() { ["auto_pad"] = pad, ["strides"] = new[] { 2L, 2 } });
                yield return One("ConvTranspose", opset, [F(1, 2, 4, 5), F(2, 3, 3, 2)], new() { ["auto_pad"] = pad, ["strides"] = new[] { 2L, 1 } });
            }
            yield return One("Conv", opset, [F(1, 4, 9), F(6, 2, 3)], new() { ["group"] = 2L, ["dilations"] = new[] { 2L }, ["pads"] = new[] { 1L, 2 } });
            yield return One("Conv", opset, [F(1, 2, 5, 6, 4), F(3, 2, 2, 3, 2)], new() { ["pads"] = new[] { 0L, 1, 1, 1, 0, 0 } });
            yield return One("ConvTranspose", opset, [F(1, 4, 5), F(4, 3, 3), F(6)], new() { ["group"] = 2L, ["strides"] = new[] { 2L }, ["pads"] = new[] { 1L, 0 }, ["output_padding"] = new[] { 1L } });
            yield return One("ConvTranspose", opset, [F(1, 1, 3, 3), F(1, 2, 3, 3)], new() { ["strides"] = new[] { 3L, 2 }, ["output_shape"] = new[] { 10L, 8 }, ["output_padding"] = new[] { 1L, 1 }, ["kernel_shape"] = new[] { 3L, 3 } });
            yield return One("ConvTranspose", opset, [F(1, 1, 3, 3), F(1, 2, 3, 3)], new() { ["strides"] = new[] { 3L, 2 }, ["output_shape"] = new[] { 9L, 7 }, ["auto_pad"] = "SAME_UPPER" });
            yield return One("ConvTranspose", opset, [F(1, 1, 3, 3, 2), F(1, 2, 3, 2, 2)], new() { ["strides"] = new[] { 2L, 1, 2 }, ["dilations"] = new[] { 1L, 2, 1 } });
        }

        foreach (string mode in (string[])["nearest", "linear"])
        {
            yield return One("Upsample", 7, [F(1, 2, 3, 4)], new() { ["mode"] = mode, ["scales"] = new[] { 1f, 1, 2, 1.5f } });
            yield return One("Upsample", 9, [F(1, 2, 3, 4), Floats(1, 1, 1.5f, 3)], new() { ["mode"] = mode });
            foreach (float[] scales in (float[][])[[1, 1, 2, 3], [1, 1, 0.6f, 0.5f], [1, 1, 1.3f, 0.8f]])
            {
                yield return One("Resize", 10, [F(1, 2, 6, 5), Floats(scales)], new() { ["mode"] = mode });
                // With align_corners ONNX counts scale · extent before rounding down, ONNX Runtime after; tf_half_pixel_for_nn is for the nearest neighbour.
                foreach (string coordinates in (string[])["half_pixel", "pytorch_half_pixel", "asymmetric", mode == "nearest" ? "tf_half_pixel_for_nn" : "half_pixel"])
                    yield return One("Resize", 11, [F(1, 2, 6, 5), Floats(), Floats(scales)], new() { ["mode"] = mode, ["coordinate_transformation_mode"] = coordinates });
                yield return One("Resize", 13, [F(1, 2, 6, 5), null, Floats(scales)], new() { ["mode"] = mode, ["nearest_mode"] = "ceil" });
                yield return One("Resize", 19, [F(1, 2, 6, 5), null, Floats(scales)], new() { ["mode"] = mode, ["coordinate_transformation_mode"] = "half_pixel_symmetric" });
            }
            yield return One("Resize", 11, [F(1, 2, 6, 5), Floats(), Floats(), L(1, 2, 9, 3)], new() { ["mode"] = mode });
            yield return One("Resize", 11, [F(1, 2, 6, 5), Floats(), Floats(), L(1, 2, 3, 9)], new() { ["mode"] = mode, ["coordinate_transformation_mode"] = "align_corners" });
            yield return One("Resize", 11, [F(1, 1, 6, 5), Floats(0, 0, 0.2f, 0.3f, 1, 1, 0.8f, 1.2f), Floats(), L(1, 1, 4, 4)],
                new() { ["mode"] = mode, ["coordinate_transformation_mode"] = "tf_crop_and_resize", ["extrapolation_value"] = 3f });
            yield return One("Resize", 18, [F(1, 2, 6, 5), null, null, L(4, 9)], new() { ["mode"] = mode, ["axes"] = new[] { 2L, 3 } });
            yield return One("Resize", 18, [F(1, 2, 6, 5), null, null, L(12, 20)], new() { ["mode"] = mode, ["axes"] = new[] { 2L, 3 }, ["keep_aspect_ratio_policy"] = "not_larger" });
        }
        foreach (string nearest in (string[])["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
            yield return One("Resize", 11, [F(1, 1, 5, 7), Floats(), Floats(), L(1, 1, 8, 4)], new() { ["nearest_mode"] = nearest, ["coordinate_transformation_mode"] = "align_corners" });
        yield return One("Resize", 11, [F(1, 1, 6, 5), Floats(), Floats(), L(1, 1, 3, 3)], new() { ["coordinate_transformation_mode"] = "tf_half_pixel_for_nn" });
        foreach (long outside in (long[])[0, 1])
        {
            yield return One("Resize", 11, [F(1, 1, 5, 7), Floats(), Floats(1, 1, 1.7f, 0.6f)], new() { ["mode"] = "cubic", ["exclude_outside"] = outside, ["cubic_coeff_a"] = -0.5f });
            yield return One("Resize", 18, [F(1, 1, 8, 8), null, Floats(1, 1, 0.6f, 0.7f)], new() { ["mode"] = "linear", ["antialias"] = 1L, ["exclude_outside"] = outside });
            yield return One("Resize", 18, [F(1, 1, 8, 8), null, Floats(1, 1, 0.6f, 0.7f)], new() { ["mode"] = "cubic", ["antialias"] = 1L, ["exclude_outside"] = outside });
        }

        Tensor rois = Floats(0, 0, 9, 9, 2.5f, 1, 6, 8, 4, 4, 4.5f, 5).Reshape(3, 4), batches = L(0, 1, 0);
        foreach (int opset in (int[])[10, 16, 21])
        {
            foreach (string mode in (string[])["avg", "max"])
            {
                yield return One("RoiAlign", opset, [F(2, 2, 10, 10), rois, batches], new() { ["mode"] = mode, ["output_height"] = 3L, ["output_width"] = 2L, ["sampling_ratio"] = 2L, ["spatial_scale"] = 0.9f });
                yield return One("RoiAlign", opset, [F(2, 2, 10, 10), rois, batches], new() { ["mode"] = mode, ["output_height"] = 2L, ["output_width"] = 2L });
            }
        }
        yield return One("RoiAlign", 16, [F(2, 2, 10, 10), rois, batches], new() { ["coordinate_transformation_mode"] = "output_half_pixel", ["output_height"] = 2L, ["output_width"] = 2L });
        foreach (int opset in (int[])[10, 11])
            yield return One("NonMaxSuppression", opset, [Positive(1, 30, 4), F(1, 2, 30), L(5), Floats(0.4f), Floats(-0.5f)]);
        yield return One("NonMaxSuppression", 11, [Positive(1, 30, 4), F(1, 2, 30), L(5)]);
        yield return One("NonMaxSuppression", 11, [Positive(1, 30, 4), F(1, 2, 30)]);

        foreach (int opset in (int[])[7, 9, 13, 16]) yield return One("PRelu", opset, [F(2, 3, 4, 5), F(3, 1, 1)]);
        yield return One("PRelu", 9, [F(2, 3), F(1)]);
        foreach (int opset in (int[])[7, 12, 15])
        {
            yield return One("Pow", opset, [Positive(3, 4), Floats(2)]);
            yield return One("Pow", opset, [F(3, 4), Floats(3, 2, 1, 0)]);
        }
        yield return One("Pow", 12, [F(3, 4), I(3, 2, -1, 0)]);
        yield return One("Pow", 12, [I(3, -2, 5, 0), Floats(2)]);
        foreach (int opset in (int[])[8, 13])
        {
            foreach (string type in (string[])["Sum", "Mean", "Max", "Min"])
            {
                yield return One(type, opset, [F(3, 1, 4), F(2, 4), F(1)]);
                yield return One(type, opset, [F(3, 4)]);
            }
        }
        foreach (int opset in (int[])[7, 9, 13]) yield return One("Greater", opset, [F(3, 4), F(4)]);
        foreach (int opset in (int[])[7, 11]) yield return One("Equal", opset, [I(1, 2, 3), I(1, 5, 3)]);
        yield return One("Equal", 7, [Flags(3, 4), Flags(4)]);
        yield return One("Equal", 11, [Floats(1, 2, 3), Floats(1, 5, 3)]);
        foreach (string type in (string[])["And", "Or", "Xor"]) yield return One(type, 7, [Flags(3, 4), Flags(3, 1)]);
        yield return One("Not", 7, [Flags(3, 4)]);

        foreach (long size in (long[])[1, 3, 5]) yield return One("LRN", 7, [F(2, 6, 3, 3)], new() { ["size"] = size, ["alpha"] = 0.5f, ["beta"] = 0.7f, ["bias"] = 2f });
        yield return One("LRN", 13, [F(2, 6, 3, 3)], new() { ["size"] = 3L });
        yield return One("InstanceNormalization", 7, [F(2, 3, 4, 5), F(3), F(3)], new() { ["epsilon"] = 0.1f });
        yield return One("InstanceNormalization", 22, [F(2, 3, 7), F(3), F(3)]);
        yield return One("MeanVarianceNormalization", 9, [F(2, 3, 4, 5)]);
        yield return One("MeanVarianceNormalization", 13, [F(2, 3, 4, 5)], new() { ["axes"] = new[] { 1L, 2 } });
        foreach (long p in (long[])[1, 2]) yield return One("LpNormalization", 7, [F(3, 4, 5)], new() { ["p"] = p, ["axis"] = 1L });
        yield return One("GroupNormalization", 21, [F(2, 6, 4, 5), F(6), F(6)], new() { ["num_groups"] = 3L });
        yield return One("LayerNormalization", 17, [F(2, 6, 4), F(6, 4), F(6, 4)], new() { ["axis"] = 1L }, 3);
        yield return One("RMSNormalization", 23, [F(2, 6, 4), F(4)]);

        foreach (int opset in (int[])[7, 11, 13])
        {
            yield return One("DepthToSpace", opset, [F(1, 8, 2, 3)], new() { ["blocksize"] = 2L });
            yield return One("SpaceToDepth", opset, [F(1, 2, 4, 6)], new() { ["blocksize"] = 2L });
            yield return One("Flatten", opset, [F(2, 3, 4)], new() { ["axis"] = 2L });
        }
        yield return One("DepthToSpace", 11, [F(2, 8, 3, 3)], new() { ["blocksize"] = 2L, ["mode"] = "CRD" });
        yield return One("Flatten", 11, [F(2, 3, 4)], new() { ["axis"] = -1L });
        yield return One("Flatten", 9, [Of(DataType.Int32, 2, 3, 4)], new() { ["axis"] = 0L });
        foreach (long time in (long[])[0, 1])
            yield return One("ReverseSequence", 10, [F(4, 4, 2), L(1, 4, 3, 2)], new() { ["time_axis"] = time, ["batch_axis"] = 1 - time });
        yield return One("ConstantOfShape", 9, [L(2, 0, 3)], new() { ["value"] = I(5) });
        yield return One("ConstantOfShape", 9, [Tensor.Create(Array.Empty<long>(), 0)]);
        yield return One("Shape", 7, [F(2, 3, 4)]);
        yield return One("Shape", 15, [F(2, 3, 4)], new() { ["start"] = -2L, ["end"] = 10L });
        yield return One("Size", 7, [F(2, 3, 4)]);
        foreach (int opset in (int[])[9, 22])
        {
            yield return One("EyeLike", opset, [F(3, 4)], new() { ["k"] = 1L });
            yield return One("EyeLike", opset, [F(3, 4)], new() { ["k"] = -1L, ["dtype"] = (long)DataType.Int32 });
        }
        foreach (int opset in (int[])[9, 11])
        {
            yield return One("Compress", opset, [F(3, 4), Bools(false, true, true)], new() { ["axis"] = 0L });
            yield return One("Compress", opset, [F(3, 4), Bools(false, true, true)]);
            yield return One("OneHot", opset, [L(1, 2, -1, 7).Reshape(2, 2), Scalar(4f), Floats(-1, 3)], new() { ["axis"] = 1L });
        }
        yield return One("Shrink", 9, [F(3, 4)], new() { ["lambd"] = 0.3f, ["bias"] = 0.1f });
        yield return One("ThresholdedRelu", 10, [F(3, 4)], new() { ["alpha"] = 0.3f });
        yield return One("IsNaN", 9, [Floats(1, float.NaN, float.PositiveInfinity)]);
        yield return One("IsInf", 10, [Floats(1, float.NaN, float.PositiveInfinity, float.NegativeInfinity)], new() { ["detect_negative"] = 0L });
        yield return One("IsInf", 20, [Floats(1, float.NaN, float.PositiveInfinity, float.NegativeInfinity)], new() { ["detect_positive"] = 0L });
        foreach (string type in (string[])["Erf", "Sinh", "Cosh", "Asinh", "Atanh"]) yield return One(type, 9, [F(3, 4)]);
        yield return One("Acosh", 9, [Floats(1, 2, 30)]);
        yield return One("Round", 11, [Floats(0.5f, 1.5f, -0.5f, -1.5f, 2.4f, -2.6f)]);
        foreach (long fmod in (long[])[0, 1]) yield return One("Mod", 10, [I(7, -7, 7, -7), I(3, 3, -3, -3)], new() { ["fmod"] = fmod });
        yield return One("Mod", 10, [Floats(7.5f, -7.5f, 7.5f, -7.5f), Floats(3, 3, -3, -3)], new() { ["fmod"] = 1L });
        yield return One("BitShift", 11, [Numbers(DataType.UInt8, 1, 5, 200), Numbers(DataType.UInt8, 1, 2, 3)], new() { ["direction"] = "LEFT" });
        yield return One("BitShift", 11, [Numbers(DataType.UInt32, 1, 5, 200), Numbers(DataType.UInt32, 1, 2, 3)], new() { ["direction"] = "RIGHT" });
        foreach (string type in (string[])["BitwiseAnd", "BitwiseOr", "BitwiseXor"]) yield return One(type, 18, [Of(DataType.Int16, 3, 4), Of(DataType.Int16, 4)]);
        yield return One("BitwiseNot", 18, [Of(DataType.Int32, 3, 4)]);
        foreach (long sorted in (long[])[0, 1])
        {
            yield return One("Unique", 11, [Floats(2, 1, 1, 3, 4, 3)], new() { ["sorted"] = sorted }, 4);
            yield return One("Unique", 11, [Floats(1, 0, 0, 1, 0, 0, 2, 3, 4).Reshape(3, 3)], new() { ["sorted"] = sorted, ["axis"] = 0L }, 4);
        }
        // One element where a scalar is expected, as old exporters write it.
        yield return One("CumSum", 11, [F(3, 4), I(1)]);
        yield return One("CumSum", 11, [F(3, 4), L(-2)]);
        yield return One("Pad", 11, [F(2, 3), L(1, 0, 0, 2), Floats(2)]);
        yield return One("QuantizeLinear", 10, [Wide(3, 4), Floats(0.02f), Numbers(DataType.UInt8, 3)]);
        yield return One("DequantizeLinear", 10, [Of(DataType.UInt8, 3, 4), Floats(0.02f), Numbers(DataType.UInt8, 3)]);
        yield return One("ConvInteger", 10, [Of(DataType.UInt8, 1, 1, 3, 3), Of(DataType.UInt8, 1, 1, 2, 2), Numbers(DataType.UInt8, 1)]);
        yield return One("MatMulInteger", 10, [Of(DataType.UInt8, 3, 4), Of(DataType.UInt8, 4, 2), Numbers(DataType.UInt8, 3), Numbers(DataType.UInt8, 2)]);
        foreach (long upper in (long[])[0, 1]) yield return One("Trilu", 14, [F(2, 4, 5), Tensor.Scalar(1L)], new() { ["upper"] = upper });
        yield return One("Celu", 12, [F(3, 4)], new() { ["alpha"] = 2f });
        yield return One("HardSwish", 14, [F(3, 4)]);
        yield return One("Mish", 18, [F(3, 4)]);
        foreach (string approximate in (string[])["none", "tanh"]) yield return One("Gelu", 20, [F(3, 4)], new() { ["approximate"] = approximate });
        yield return One("Col2Im", 18, [F(1, 10, 12), L(5, 5), L(2, 5)], new() { ["pads"] = new[] { 0L, 1, 0, 1 }, ["dilations"] = new[] { 1L, 1 } });
        yield return One("CenterCropPad", 18, [F(10, 7, 3), L(8, 9, 3)]);
        yield return One("CenterCropPad", 18, [F(10, 7, 3), L(9, 4)], new() { ["axes"] = new[] { 1L, 2 } });
        yield return One("CastLike", 15, [F(3, 4), Numbers(DataType.Int32, 1)]);
        foreach (int opset in (int[])[16, 20])
        {
            foreach (string padding in (string[])["zeros", "border", "reflection"])
            {
                foreach (string mode in opset == 16 ? (string[])["bilinear", "nearest", "bicubic"] : ["linear", "nearest", "cubic"])
                    yield return One("GridSample", opset, [F(2, 2, 5, 6), Wide(2, 3, 4, 2)], new() { ["mode"] = mode, ["padding_mode"] = padding, ["align_corners"] = opset == 16 ? 1L : 0L });
            }
        }
        yield return One("GridSample", 20, [F(1, 2, 3, 4, 5), Wide(1, 2, 3, 2, 3)], new() { ["mode"] = "linear" });
        yield return One("Einsum", 12, [F(3, 4, 4)], new() { ["equation"] = "bii->bi" });

        foreach (int opset in (int[])[10, 13, 19, 21])
        {
            yield return One("QuantizeLinear", opset, [Wide(2, 3, 4), Scalar(0.02f), Tensor.Scalar((byte)130)]);
            yield return One("QuantizeLinear", opset, [Wide(2, 3, 4), Scalar(0.02f)]);
            yield return One("DequantizeLinear", opset, [Of(DataType.Int8, 2, 3, 4), Scalar(0.02f), Tensor.Scalar((sbyte)-3)]);
            if (opset < 13) continue;
            yield return One("QuantizeLinear", opset, [Wide(2, 3, 4), Floats(0.02f, 0.03f, 0.04f), Numbers(DataType.Int8, 1, 2, -3)], new() { ["axis"] = -2L });
            yield return One("DequantizeLinear", opset, [Of(DataType.UInt8, 2, 3, 4), Floats(0.02f, 0.03f, 0.04f), Numbers(DataType.UInt8, 1, 2, 3)]);
            yield return One("DequantizeLinear", opset, [Of(DataType.Int32, 2, 3), Scalar(0.02f)]);
        }
        yield return One("DequantizeLinear", 21, [Of(DataType.Int8, 6, 4), Positive(3, 4)], new() { ["axis"] = 0L, ["block_size"] = 2L });
        yield return One("QuantizeLinear", 21, [Wide(6, 4), Positive(3, 4), Of(DataType.UInt8, 3, 4)], new() { ["axis"] = 0L, ["block_size"] = 2L });
        yield return One("QuantizeLinear", 21, [Wide(6, 4), Scalar(0.01f), Numbers(DataType.Int16, 5).Reshape()]);
        yield return One("DynamicQuantizeLinear", 11, [Wide(6, 4)], [], 3);
        yield return One("MatMulInteger", 10, [Of(DataType.UInt8, 2, 3, 4), Of(DataType.Int8, 4, 5), Tensor.Scalar((byte)2)]);
        yield return One("ConvInteger", 10, [Of(DataType.UInt8, 1, 2, 5, 5), Of(DataType.UInt8, 3, 2, 3, 3), Tensor.Scalar((byte)2), Tensor.Scalar((byte)1)], new() { ["pads"] = new[] { 1L, 1, 1, 1 } });
        yield return One("QLinearMatMul", 10, [Of(DataType.UInt8, 3, 4), Scalar(0.02f), Tensor.Scalar((byte)3), Of(DataType.UInt8, 4, 5), Scalar(0.03f), Tensor.Scalar((byte)2), Scalar(0.011f), Tensor.Scalar((byte)4)]);
        yield return One("QLinearConv", 10, [Of(DataType.UInt8, 1, 2, 5, 5), Scalar(0.02f), Tensor.Scalar((byte)3), Of(DataType.Int8, 3, 2, 3, 3), Floats(0.03f, 0.01f, 0.02f), Numbers(DataType.Int8, 0, 0, 0), Scalar(0.011f), Tensor.Scalar((byte)4), I(100, -200, 0)]);

        foreach (string type in (string[])["RNN", "GRU", "LSTM"])
        {
            int gates = type == "RNN" ? 1 : type == "GRU" ? 3 : 4;
            foreach (int opset in (int[])[7, 14])
            {
                yield return One(type, opset, [F(4, 2, 3), F(1, 5 * gates, 3), F(1, 5 * gates, 5)], new() { ["hidden_size"] = 5L }, 2);
                yield return One(type, opset, [F(4, 2, 3), F(2, 5 * gates, 3), F(2, 5 * gates, 5), F(2, 10 * gates), I(3, 4), F(2, 2, 5)], new() { ["hidden_size"] = 5L, ["direction"] = "bidirectional" }, 2);
            }
        }

        Tensor texts = Texts("3.5", "-2", "1e3", "0");
        yield return One("Cast", 9, [texts], new() { ["to"] = (long)DataType.Float32 });
        yield return One("Cast", 13, [Texts("3", "-2", "100")], new() { ["to"] = (long)DataType.Int32 });
        yield return One("Cast", 9, [Texts("NaN", "INF", "+INF", "-INF")], new() { ["to"] = (long)DataType.Float32 });
        yield return One("Cast", 9, [Floats(0.5f, -2.25f, 1.25e-7f, 0.1f)], new() { ["to"] = (long)DataType.String });
        yield return One("Cast", 9, [I(3, -7)], new() { ["to"] = (long)DataType.String });
        yield return One("Cast", 9, [Bools(true, false)], new() { ["to"] = (long)DataType.Float32 });
        foreach (string mode in (string[])["TF", "IDF", "TFIDF"])
        {
            yield return One("TfIdfVectorizer", 9, [I(1, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8).Reshape(2, 6)], new()
            {
                ["mode"] = mode,
                ["min_gram_length"] = 1L,
                ["max_gram_length"] = 2L,
                ["max_skip_count"] = 3L,
                ["ngram_counts"] = new[] { 0L, 4 },
                ["ngram_indexes"] = new[] { 0L, 1, 2, 3, 4, 5, 6 },
                ["pool_int64s"] = new[] { 2L, 3, 5, 4, 5, 6, 7, 8, 6, 7 },
                ["weights"] = new[] { 1f, 2, 3, 4, 5, 6, 7 },
            });
        }
        yield return One("TfIdfVectorizer", 9, [Texts("a", "b", "a", "c")], new()
        {
            ["mode"] = "TF",
            ["min_gram_length"] = 2L,
            ["max_gram_length"] = 2L,
            ["max_skip_count"] = 0L,
            ["ngram_counts"] = new[] { 0L, 2 },
            ["ngram_indexes"] = new[] { 0L, 1, 2, 3 },
            ["pool_strings"] = new[] { "a", "b", "a", "b", "b", "a" },
        });
        yield return One("StringConcat", 20, [Texts("a", "b"), Texts("x")]);
        yield return One("StringSplit", 20, [Texts("a,b", "", "c,d,,e")], new() { ["delimiter"] = ",", ["maxsplit"] = 2L }, 2);
        yield return One("RegexFullMatch", 20, [Texts("www.google.com", "gmail.com")], new() { ["pattern"] = @"www\.[\w.-]+\.\bcom\b" });
        yield return One("Equal", 19, [Texts("a", "b", "a"), Texts("a")]);
        yield return One("Gather", 13, [Texts("a", "b", "c"), L(2, 0)]);
        yield return One("Concat", 13, [Texts("a", "b"), Texts("c")], new() { ["axis"] = 0L });
        yield return One("Where", 9, [Bools(true, false), Texts("a", "b"), Texts("c", "d")]);
        yield return One("Unique", 11, [Texts("b", "a", "b")], [], 4);

        foreach (string loss in (string[])["none", "mean", "sum"])
        {
            yield return One("SoftmaxCrossEntropyLoss", 12, [F(3, 5), L(1, 4, 0), Positive(5)], new() { ["reduction"] = loss }, 2);
            yield return One("NegativeLogLikelihoodLoss", 13, [F(3, 5, 2), L(1, 4, 0, 0, 2, 3).Reshape(3, 2), Positive(5)], new() { ["reduction"] = loss, ["ignore_index"] = 0L });
        }
        yield return One("DFT", 17, [F(2, 9, 1)], new() { ["axis"] = 1L, ["onesided"] = 1L });
        yield return One("DFT", 17, [F(2, 9, 2), Tensor.Scalar(12L)], new() { ["axis"] = 1L, ["inverse"] = 1L });
        yield return One("STFT", 17, [F(1, 64, 1), Tensor.Scalar(8L), null, Tensor.Scalar(16L)]);
        yield return One("HannWindow", 17, [Tensor.Scalar(9L)], new() { ["output_datatype"] = (long)DataType.Float64 });
        yield return One("DeformConv", 19, [F(1, 2, 5, 5), F(3, 2, 2, 2), F(1, 8, 4, 4), F(3), Positive(1, 4, 4, 4)], new() { ["kernel_shape"] = new[] { 2L, 2 } });
        yield return One("Attention", 23, [F(2, 4, 24), F(2, 6, 24), F(2, 6, 24)], new() { ["q_num_heads"] = 3L, ["kv_num_heads"] = 3L, ["is_causal"] = 1L });
        yield return One("RotaryEmbedding", 23, [F(2, 3, 4, 8), F(9, 4), F(9, 4), L(0, 1, 2, 3, 4, 5, 6, 7).Reshape(2, 4)], new() { ["interleaved"] = 1L });
    }

    [TestCaseSource(nameof(Cases))]
    public void IsWhatOnnxRuntimeSays(object row, bool constant)
    {
        var (type, opset, tensors, attributes, outputs) = (Row)row;
        var graph = new TestGraph(opset);
        var given = new Dictionary<string, Tensor>();
        Value?[] inputs = new Value?[tensors.Length];
        for (int i = 0; i < inputs.Length; i++)
        {
            if (tensors[i] is not { } tensor) continue;
            if (constant && i > 0)
            {
                inputs[i] = graph.Editor.AddConstant($"x{i}", tensor);
                continue;
            }
            inputs[i] = graph.Input($"x{i}", new TensorType(tensor.Type, tensor.Shape));
            given.Add($"x{i}", tensor);
        }
        Value[] results = [.. Enumerable.Range(0, outputs).Select(i => graph.Editor.AddValue($"y{i}"))];
        graph.Editor.AddNode(type, inputs, results, attributes);
        foreach (Value result in results) graph.Output(result);
        Oracle.Compare(graph.Graph, given, 1e-4f);
    }

    private static Row One(string type, int opset, Tensor?[] inputs, AttributeMap? attributes = null, int outputs = 1) => new(type, opset, inputs, attributes ?? [], outputs);

    /// <summary>Floats in [−1, 1).</summary>
    private static Tensor F(params int[] shape) => TestGraph.RandomTensor(shape.Aggregate(17, (seed, extent) => seed * 31 + extent), shape);

    /// <summary>Floats in [−1.5, 1.5).</summary>
    private static Tensor Wide(params int[] shape) => Tensor.Create(Array.ConvertAll(F(shape).ToFloat32Array(), value => 1.5f * value), shape);

    /// <summary>Floats in [0.01, 1.01).</summary>
    private static Tensor Positive(params int[] shape) => Tensor.Create(Array.ConvertAll(F(shape).ToFloat32Array(), value => (value + 1) / 2 + 0.01f), shape);

    private static Tensor Floats(params float[] values) => Tensor.Create(values, values.Length);

    private static Tensor Scalar(float value) => Tensor.Scalar(value);

    private static Tensor L(params long[] values) => Tensor.Create(values, values.Length);

    private static Tensor I(params int[] values) => Tensor.Create(values, values.Length);

    private static Tensor Bools(params bool[] values) => Tensor.Create(values, values.Length);

    private static Tensor Flags(params int[] shape) => Tensor.Create(Array.ConvertAll(F(shape).ToFloat32Array(), value => value > 0), shape);

    private static Tensor Texts(params string[] texts) => new(texts, [texts.Length]);

    /// <summary>Numbers of a type, given.</summary>
    private static Tensor Numbers(DataType type, params long[] values) => OneNode.Run("Cast", [L(values)], new() { ["to"] = (long)type })[0];

    /// <summary>Whole numbers of a type, 0 to 9, or −5 to 4 where it has a sign.</summary>
    private static Tensor Of(DataType type, params int[] shape)
    {
        long lowest = type is DataType.UInt8 or DataType.UInt32 or DataType.UInt64 ? 0 : -5;
        var random = new Random(shape.Aggregate((int)type, (seed, extent) => seed * 31 + extent));
        return Numbers(type, [.. Enumerable.Range(0, Tensor.CountElements(shape)).Select(_ => lowest + random.Next(10))]).Reshape(shape);
    }
}
