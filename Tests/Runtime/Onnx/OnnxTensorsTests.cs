using Google.Protobuf;
using Octet.Runtime;
using Octet.Runtime.Onnx;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>TensorProto in every element type and storage form.</summary>
[TestFixture]
internal sealed class OnnxTensorsTests
{
    private static IEnumerable<DataType> ElementTypes => Enum.GetValues<DataType>().Where(type => type is not (DataType.Undefined or DataType.String));

    private static Tensor Read(TensorProto proto) => new OnnxTensors(null, new ExpansionBudget(1000)).Read(proto, "tensor 't'");

    [Test]
    public void RawFormSurvivesRoundTrip([ValueSource(nameof(ElementTypes))] DataType type, [Values(0, 1, 3, 4, 5)] int count)
    {
        var tensor = new Tensor(type, [count, 1]);
        new Random(1).NextBytes(tensor.Bytes.Span);
        if (type == DataType.Bool) foreach (ref byte element in tensor.Bytes.Span) element &= 1;
        if (OnnxTensors.PackedBits(type) is > 0 and int bits)
        {
            byte[] whole = OnnxTensors.Unpack(OnnxTensors.Pack(tensor.Bytes.Span, bits), count, bits, type is DataType.Int4 or DataType.Int2);
            whole.CopyTo(tensor.Bytes.Span);
        }
        TensorProto proto = OnnxTensors.Write(tensor, "t");
        Assert.That(proto.RawData.Length, Is.EqualTo(OnnxTensors.RawBytes(type, count)));
        Tensor read = Read(TensorProto.Parser.ParseFrom(proto.ToByteArray()));
        Assert.That((read.Type, read.Shape.ToArray()), Is.EqualTo((type, new[] { count, 1 })));
        Assert.That(read.Bytes.ToArray(), Is.EqualTo(tensor.Bytes.ToArray()));
    }

    private static IEnumerable<TestCaseData> TypedForms()
    {
        yield return Case(DataType.Float32, 2, new TensorProto { FloatData = { 1, -2 } }, Bytes(BitConverter.GetBytes(1f), BitConverter.GetBytes(-2f)));
        yield return Case(DataType.Complex64, 1, new TensorProto { FloatData = { 1, -2 } }, Bytes(BitConverter.GetBytes(1f), BitConverter.GetBytes(-2f)));
        yield return Case(DataType.Float64, 1, new TensorProto { DoubleData = { 0.1 } }, BitConverter.GetBytes(0.1));
        yield return Case(DataType.Complex128, 1, new TensorProto { DoubleData = { 0.1, 3 } }, Bytes(BitConverter.GetBytes(0.1), BitConverter.GetBytes(3.0)));
        yield return Case(DataType.Int64, 1, new TensorProto { Int64Data = { long.MinValue } }, BitConverter.GetBytes(long.MinValue));
        yield return Case(DataType.UInt64, 1, new TensorProto { Uint64Data = { ulong.MaxValue } }, BitConverter.GetBytes(ulong.MaxValue));
        yield return Case(DataType.UInt32, 1, new TensorProto { Uint64Data = { uint.MaxValue } }, BitConverter.GetBytes(uint.MaxValue));
        yield return Case(DataType.Int32, 1, new TensorProto { Int32Data = { int.MinValue } }, BitConverter.GetBytes(int.MinValue));
        yield return Case(DataType.Int16, 2, new TensorProto { Int32Data = { short.MinValue, 5 } }, [0, 0x80, 5, 0]);
        yield return Case(DataType.UInt16, 1, new TensorProto { Int32Data = { ushort.MaxValue } }, [0xff, 0xff]);
        yield return Case(DataType.Int8, 2, new TensorProto { Int32Data = { -128, 127 } }, [0x80, 0x7f]);
        yield return Case(DataType.UInt8, 2, new TensorProto { Int32Data = { 0, 255 } }, [0, 255]);
        yield return Case(DataType.Bool, 3, new TensorProto { Int32Data = { 0, 1, 256 } }, [0, 1, 1]);
        yield return Case(DataType.Float16, 2, new TensorProto { Int32Data = { 0x3c00, 0xbc00 } }, [0, 0x3c, 0, 0xbc]);
        yield return Case(DataType.BFloat16, 2, new TensorProto { Int32Data = { 0x3f80, unchecked((short)0xbf80) } }, [0x80, 0x3f, 0x80, 0xbf]);
        yield return Case(DataType.Float8E5M2, 1, new TensorProto { Int32Data = { 0xfe } }, [0xfe]);
        yield return Case(DataType.Int4, 3, new TensorProto { Int32Data = { 0x7f, 0x08 } }, [0xff, 7, 0xf8]);
        yield return Case(DataType.UInt4, 3, new TensorProto { Int32Data = { 0x7f, 0x08 } }, [15, 7, 8]);
        yield return Case(DataType.Int2, 5, new TensorProto { Int32Data = { 0b11_10_01_00, 0b01 } }, [0, 1, 0xfe, 0xff, 1]);
        yield return Case(DataType.UInt2, 5, new TensorProto { Int32Data = { 0b11_10_01_00, 0b01 } }, [0, 1, 2, 3, 1]);
        static TestCaseData Case(DataType type, int count, TensorProto proto, byte[] expected) => new TestCaseData(type, count, proto, expected).SetArgDisplayNames(type.ToString());
        static byte[] Bytes(params byte[][] parts) => [.. parts.SelectMany(part => part)];
    }

    [TestCaseSource(nameof(TypedForms))]
    public void TypedFormIsRead(DataType type, int count, object proto, byte[] expected)
    {
        var tensor = (TensorProto)proto;
        tensor.DataType = (int)type;
        tensor.Dims.Add(count);
        Assert.That(Read(tensor).Bytes.ToArray(), Is.EqualTo(expected));
    }

    [Test]
    public void StringsSurviveRoundTrip()
    {
        var tensor = new Tensor(["", "a", "ü€"], [3, 1]);
        Assert.That(Read(OnnxTensors.Write(tensor, "t")).Strings.ToArray(), Is.EqualTo(tensor.Strings.ToArray()));
    }

    [Test]
    public void RawDataIsUsedWithoutCopy()
    {
        var memory = new byte[16];
        var proto = new TensorProto { DataType = (int)DataType.Float32, Dims = { 4 }, RawData = UnsafeByteOperations.UnsafeWrap(memory) };
        memory[3] = 0x40;
        Tensor tensor = Read(proto);
        memory[7] = 0x40;
        Assert.That(tensor.Span<float>().ToArray(), Is.EqualTo(new[] { 2f, 2f, 0, 0 }));
    }

    private static IEnumerable<TestCaseData> Broken()
    {
        yield return Case("element type", new TensorProto { DataType = 99 }, "element type 99");
        yield return Case("no element type", new TensorProto(), "element type 0");
        yield return Case("negative extent", new TensorProto { DataType = 1, Dims = { 2, -1 } }, "extent -1 on axis 1");
        yield return Case("huge extent", new TensorProto { DataType = 1, Dims = { 1L << 40 } }, "extent 1099511627776 on axis 0");
        yield return Case("overflow", new TensorProto { DataType = 1, Dims = { 1 << 30, 1 << 30, 1 << 30, 16 } }, "at most");
        yield return Case("two gigabytes", new TensorProto { DataType = 1, Dims = { 1 << 30 } }, "at most");
        yield return Case("many axes", new TensorProto { DataType = 1, Dims = { Enumerable.Repeat(1L, 1000) } }, "1000 axes");
        yield return Case("no data", new TensorProto { DataType = 1, Dims = { 1 << 20 } }, "has 0 numbers in float_data");
        yield return Case("short raw", new TensorProto { DataType = 1, Dims = { 2 }, RawData = ByteString.CopyFrom(1, 2, 3) }, "has 3 bytes of raw data");
        yield return Case("raw and typed", new TensorProto { DataType = 1, Dims = { 1 }, RawData = ByteString.CopyFrom(1, 2, 3, 4), FloatData = { 1 } }, "raw data and typed data");
        yield return Case("wrong list", new TensorProto { DataType = 1, Dims = { 1 }, DoubleData = { 1 } }, "has 0 numbers in float_data");
        yield return Case("two lists", new TensorProto { DataType = 1, Dims = { 1 }, FloatData = { 1 }, DoubleData = { 1 } }, "typed numbers in all lists");
        yield return Case("int8 range", new TensorProto { DataType = 3, Dims = { 1 }, Int32Data = { 128 } }, "has 128 at 0");
        yield return Case("uint32 range", new TensorProto { DataType = 12, Dims = { 1 }, Uint64Data = { 1UL << 32 } }, "has 4294967296 at 0");
        yield return Case("text", new TensorProto { DataType = 8, Dims = { 1 }, StringData = { ByteString.CopyFrom(0xff) } }, "not UTF-8");
        yield return Case("string count", new TensorProto { DataType = 8, Dims = { 2 }, StringData = { ByteString.Empty } }, "has 1 strings");
        yield return Case("raw strings", new TensorProto { DataType = 8, Dims = { 1 }, RawData = ByteString.CopyFrom(1) }, "string elements in raw");
        yield return Case("segment", new TensorProto { DataType = 1, Dims = { 1 }, Segment = new TensorProto.Types.Segment(), FloatData = { 1 } }, "segments");
        yield return Case("external", new TensorProto { DataType = 1, Dims = { 1 }, DataLocation = TensorProto.Types.DataLocation.External }, "data in another file");
        static TestCaseData Case(string name, TensorProto proto, string message) => new TestCaseData(proto, message).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Broken))]
    public void BrokenTensorIsRefused(object proto, string message)
    {
        string refusal = Assert.Catch<ModelException>(() => Read((TensorProto)proto))!.Message;
        Assert.That(refusal, Does.Contain("tensor 't'").And.Contain(message).And.Match("rule|what works"));
    }

    [Test]
    public void SparseTensorMayNotExpandOutOfProportion()
    {
        var sparse = new SparseTensorProto
        {
            Values = new TensorProto { DataType = (int)DataType.Float32, Dims = { 0 } },
            Indices = new TensorProto { DataType = (int)DataType.Int64, Dims = { 0 } },
            Dims = { 20000, 20000 },
        };
        long before = GC.GetAllocatedBytesForCurrentThread();
        string refusal = Assert.Catch<ModelException>(() => new OnnxTensors(null, new ExpansionBudget(100)).ReadSparse(sparse, "tensor 't'"))!.Message;
        Assert.That(refusal, Does.Contain("1600000000 bytes more"));
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
    }
}
