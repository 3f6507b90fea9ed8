using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators.Quantized;

/// <summary>QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear against hand-computed values.</summary>
internal sealed class LinearQuantizationTests
{
    [Test]
    public void RoundsHalfToEvenAndSaturates()
    {
        Tensor x = Tensor.Create([0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1e9f, -1e9f, float.PositiveInfinity, float.NegativeInfinity, float.NaN], 10);
        Tensor[] y = OneNode.Run("QuantizeLinear", [x, Tensor.Scalar(1f), Tensor.Scalar((byte)10)]);
        Assert.That(y[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 10, 12, 12, 10, 8, 255, 0, 255, 0, 10 }));
    }

    [Test]
    public void DividesInsteadOfMultiplyingByTheReciprocal()
    {
        // 1.35 / 0.1 rounds to 13.5 in float32 and then to 14; 1.35 · (1 / 0.1) would be 13.5 as well, but 0.15 / 0.1 tells them apart over many values.
        float[] values = [.. Enumerable.Range(0, 256).Select(i => i * 0.05f)];
        Tensor[] y = OneNode.Run("QuantizeLinear", [Tensor.Create(values, 256), Tensor.Scalar(0.1f), Tensor.Scalar((byte)0)]);
        byte[] expected = [.. values.Select(value => (byte)Math.Clamp(MathF.Round(value / 0.1f, MidpointRounding.ToEven), 0, 255))];
        Assert.That(y[0].Span<byte>().ToArray(), Is.EqualTo(expected));
    }

    [TestCase(DataType.UInt8, 0, 255)]
    [TestCase(DataType.Int8, -128, 127)]
    [TestCase(DataType.UInt16, 0, 65535)]
    [TestCase(DataType.Int16, -32768, 32767)]
    [TestCase(DataType.UInt4, 0, 15)]
    [TestCase(DataType.Int4, -8, 7)]
    [TestCase(DataType.UInt2, 0, 3)]
    [TestCase(DataType.Int2, -2, 1)]
    public void EveryTypeSaturatesAtItsLimitsAndComesBack(DataType type, int low, int high)
    {
        Tensor x = Tensor.Create([-1e6f, 0f, 1f, 1e6f], 4);
        Tensor q = OneNode.Run("QuantizeLinear", [x, Tensor.Scalar(1f)], new AttributeMap { ["output_dtype"] = (long)type }, opset: 25)[0];
        Assert.That(q.Type, Is.EqualTo(type));
        Assert.That(q.ToInt64Array(), Is.EqualTo(new long[] { low, 0, 1, high }));
        Tensor back = OneNode.Run("DequantizeLinear", [q, Tensor.Scalar(0.5f)], opset: 25)[0];
        Assert.That(back.ToFloat32Array(), Is.EqualTo(new[] { low * 0.5f, 0f, 0.5f, high * 0.5f }));
    }

    [Test]
    public void PerAxisUsesTheScaleOfItsPosition()
    {
        Tensor x = Tensor.Create([1f, 2f, 3f, 4f, 5f, 6f], 1, 3, 2);
        Tensor scale = Tensor.Create([1f, 0.5f, 2f], 3), zero = Tensor.Create(new sbyte[] { 0, 1, -1 }, 3);
        Tensor q = OneNode.Run("QuantizeLinear", [x, scale, zero], new AttributeMap { ["axis"] = 1L })[0];
        Assert.That(q.Span<sbyte>().ToArray(), Is.EqualTo(new sbyte[] { 1, 2, 7, 9, 1, 2 }));   // 2.5 and 3 round to 2 and 3
        Tensor back = OneNode.Run("DequantizeLinear", [q, scale, zero], new AttributeMap { ["axis"] = -2L })[0];
        Assert.That(back.ToFloat32Array(), Is.EqualTo(new[] { 1f, 2f, 3f, 4f, 4f, 6f }));
    }

    [Test]
    public void BlockedScalesCoverAnIncompleteLastBlock()
    {
        // Axis 1 has 3 elements in blocks of 2: scales [2, 2] of shape [rows, ⌈3/2⌉].
        Tensor q = Tensor.Create(new byte[] { 1, 2, 3, 4, 5, 6 }, 2, 3);
        Tensor scale = Tensor.Create([1f, 10f, 100f, 1000f], 2, 2), zero = Tensor.Create(new byte[] { 0, 1, 2, 3 }, 2, 2);
        Tensor y = OneNode.Run("DequantizeLinear", [q, scale, zero], new AttributeMap { ["axis"] = 1L, ["block_size"] = 2L })[0];
        Assert.That(y.ToFloat32Array(), Is.EqualTo(new[] { 1f, 2f, 20f, 200f, 300f, 3000f }));
        Tensor again = OneNode.Run("QuantizeLinear", [y, scale, zero], new AttributeMap { ["axis"] = 1L, ["block_size"] = 2L })[0];
        Assert.That(again.Span<byte>().ToArray(), Is.EqualTo(q.Span<byte>().ToArray()));
    }

    [Test]
    public void Int32DataDequantizesWithItsDifferenceModulo2To32()
    {
        Tensor q = Tensor.Create([int.MaxValue, -3, 16777217], 3);
        Tensor y = OneNode.Run("DequantizeLinear", [q, Tensor.Scalar(0.5f)])[0];
        Assert.That(y.ToFloat32Array(), Is.EqualTo(new[] { 1073741824f, -1.5f, 8388608f }));
    }

    [Test]
    public void ScalesThatDoNotFitNameTheRule()
    {
        Tensor x = Tensor.Create(new float[6], 2, 3), scale = Tensor.Create(new float[4], 4);
        var error = Assert.Throws<ModelException>(() => OneNode.Run("QuantizeLinear", [x, scale], new AttributeMap { ["axis"] = 1L }));
        Assert.That(error!.Message, Does.Contain("4 scales for extent 3").And.Contain("rule:"));
    }

    [Test]
    public void EmptyDataHasAnEmptyResult()
    {
        Tensor q = OneNode.Run("QuantizeLinear", [Tensor.Create(Array.Empty<float>(), 0, 3), Tensor.Scalar(1f)])[0];
        Assert.That(q.Length, Is.Zero);
    }

    [Test]
    public void DynamicQuantizationFollowsTheRangeOfTheData()
    {
        Tensor[] y = OneNode.Run("DynamicQuantizeLinear", [Tensor.Create([0f, 2f, -3f, -2.5f, 1.34f, 0.5f], 6)], outputs: 3);
        Assert.That(y[1].Span<float>()[0], Is.EqualTo(5f / 255));
        Assert.That(y[2].Span<byte>()[0], Is.EqualTo(153));
        Assert.That(y[0].Span<byte>().ToArray(), Is.EqualTo(new byte[] { 153, 255, 0, 26, 221, 179 }));   // ONNX's own example
    }

    [Test]
    public void DynamicQuantizationOfZerosHasScaleOne()
    {
        Tensor[] y = OneNode.Run("DynamicQuantizeLinear", [Tensor.Create(new float[4], 4)], outputs: 3);
        Assert.That((y[1].Span<float>()[0], y[2].Span<byte>()[0]), Is.EqualTo((1f, (byte)0)));
        Assert.That(y[0].Span<byte>().ToArray(), Is.All.Zero);
    }
}
