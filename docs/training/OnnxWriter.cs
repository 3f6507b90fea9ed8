using System.Text;

namespace Octet.Training;

/// <summary>Writes the few ONNX messages this program needs; field numbers are those of the published onnx.proto.</summary>
internal sealed class OnnxWriter
{
    private const int IrVersion = 8, OpsetVersion = 17, FloatType = 1;
    private const int AttributeFloat = 1, AttributeInt = 2, AttributeInts = 7;

    private readonly Message _graph = new();
    private readonly Message _initializers = new();

    /// <summary>Adds a node; the attributes come from <see cref="Int"/>, <see cref="Ints"/> and <see cref="Float"/>.</summary>
    public void Node(string operation, string name, IReadOnlyList<string> inputs, string output, params ReadOnlySpan<Message> attributes)
    {
        Message node = new();
        foreach (string input in inputs) node.Text(1, input);
        node.Text(2, output).Text(3, name).Text(4, operation);
        foreach (Message attribute in attributes) node.Nested(5, attribute);
        _graph.Nested(1, node);
    }

    /// <summary>Adds a constant float tensor.</summary>
    public void Initializer(string name, ReadOnlySpan<float> values, params ReadOnlySpan<int> shape)
    {
        Message tensor = new();
        foreach (int extent in shape) tensor.Number(1, extent);
        byte[] raw = new byte[values.Length * sizeof(float)];
        for (int i = 0; i < values.Length; i++) System.Buffers.Binary.BinaryPrimitives.WriteSingleLittleEndian(raw.AsSpan(i * sizeof(float)), values[i]);
        tensor.Number(2, FloatType).Text(8, name).Bytes(9, raw);
        _initializers.Nested(5, tensor);
    }

    public static Message Int(string name, long value) => new Message().Text(1, name).Number(3, value).Number(20, AttributeInt);

    public static Message Float(string name, float value) => new Message().Text(1, name).Single(2, value).Number(20, AttributeFloat);

    public static Message Ints(string name, params ReadOnlySpan<int> values)
    {
        Message attribute = new Message().Text(1, name);
        foreach (int value in values) attribute.Number(8, value);
        return attribute.Number(20, AttributeInts);
    }

    /// <summary>The whole model, with one float input and one float output whose first dimension is the symbol N.</summary>
    public byte[] Model(string graphName, string documentation, string input, int[] inputShape, string output, int[] outputShape)
    {
        Message graph = new();
        graph.Append(_graph).Text(2, graphName).Append(_initializers)
            .Nested(11, Value(input, inputShape)).Nested(12, Value(output, outputShape));
        Message opset = new Message().Text(1, "").Number(2, OpsetVersion);
        return new Message().Number(1, IrVersion).Text(2, "octet-training").Text(6, documentation).Nested(7, graph).Nested(8, opset).ToArray();
    }

    private static Message Value(string name, int[] shape)
    {
        Message dimensions = new Message().Nested(1, new Message().Text(2, "N"));
        foreach (int extent in shape) dimensions.Nested(1, new Message().Number(1, extent));
        Message tensor = new Message().Number(1, FloatType).Nested(2, dimensions);
        return new Message().Text(1, name).Nested(2, new Message().Nested(1, tensor));
    }

    /// <summary>A protobuf message under construction: varint, 32-bit and length-delimited fields.</summary>
    internal sealed class Message
    {
        private const int Varint = 0, LengthDelimited = 2, Fixed32 = 5;
        private readonly MemoryStream _bytes = new();

        public Message Number(int field, long value)
        {
            Variable((ulong)(field << 3 | Varint));
            Variable((ulong)value);
            return this;
        }

        public Message Single(int field, float value)
        {
            Variable((ulong)(field << 3 | Fixed32));
            Span<byte> raw = stackalloc byte[sizeof(float)];
            System.Buffers.Binary.BinaryPrimitives.WriteSingleLittleEndian(raw, value);
            _bytes.Write(raw);
            return this;
        }

        public Message Text(int field, string value) => Bytes(field, Encoding.UTF8.GetBytes(value));

        public Message Nested(int field, Message value) => Bytes(field, value.ToArray());

        public Message Bytes(int field, ReadOnlySpan<byte> value)
        {
            Variable((ulong)(field << 3 | LengthDelimited));
            Variable((ulong)value.Length);
            _bytes.Write(value);
            return this;
        }

        public Message Append(Message fields)
        {
            fields._bytes.WriteTo(_bytes);
            return this;
        }

        public byte[] ToArray() => _bytes.ToArray();

        private void Variable(ulong value)
        {
            for (; value >= 0x80; value >>= 7) _bytes.WriteByte((byte)(value | 0x80));
            _bytes.WriteByte((byte)value);
        }
    }
}
