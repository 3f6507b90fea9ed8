using Google.Protobuf;
using Microsoft.Win32.SafeHandles;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Onnx;

/// <summary>Reads a ModelProto without the raw data of its large initializers, which stay in the file: most of a file is weights, and weights are read once, to be packed.</summary>
/// <remarks>
/// Protobuf's rule that messages are merged by joining their bytes lets the fields of a message be parsed in parts. Only the way to the initializers is walked here
/// (<c>ModelProto.graph = 7</c>, <c>GraphProto.initializer = 5</c>, <c>TensorProto.raw_data = 9</c>); protobuf's own parser reads everything else.
/// </remarks>
internal sealed class OutlineReader
{
    /// <summary>Raw data of at least as many bytes stay in the file.</summary>
    internal const int LargeBytes = 16 << 10;

    private const int Graph = 7, Initializer = 5, RawData = 9;

    // Wire types; groups are long out of use.
    private const int Varint = 0, Fixed64 = 1, Delimited = 2, Fixed32 = 5;

    private readonly SafeFileHandle _handle;
    private readonly DataFile _file;
    private readonly int _largeBytes;
    private readonly byte[] _window = new byte[8 << 10];
    private long _windowStart;
    private int _windowLength;

    private OutlineReader(SafeFileHandle handle, string name, int largeBytes)
    {
        _handle = handle;
        _file = new DataFile(handle, name);
        _largeBytes = largeBytes;
    }

    /// <summary>Initializers whose raw data lie in the file.</summary>
    public Dictionary<TensorProto, FileBytes> Large { get; } = new(ReferenceEqualityComparer.Instance);

    /// <summary>Reads an outline.</summary>
    /// <param name="handle">An ordinary file, which the tensors keep open.</param>
    /// <param name="name">How messages call it.</param>
    /// <param name="model">Receives the model without <see cref="Large"/>.</param>
    /// <param name="largeBytes">Raw data of at least as many bytes stay in the file.</param>
    /// <returns>Null where the file is not what was expected: reading it whole says what is wrong, if anything.</returns>
    public static OutlineReader? Read(SafeFileHandle handle, string name, out ModelProto model, int largeBytes = LargeBytes)
    {
        var reader = new OutlineReader(handle, name, largeBytes);
        try
        {
            model = reader.ReadModel();
            return reader;
        }
        catch (Exception e) when (e is InvalidProtocolBufferException or FormatException)
        {
            model = new ModelProto();
            return null;
        }
    }

    private ModelProto ReadModel()
    {
        var rest = new MemoryStream();
        GraphProto? graph = null;
        for (long at = 0; at < _file.Length;)
        {
            long start = at;
            bool isGraph = Field(ref at, _file.Length, out long content) == Tag(Graph);
            if (!isGraph) Copy(start, at, rest);
            else if (graph is null) graph = ReadGraph(content, at);
            else throw new FormatException("two graphs");
        }
        ModelProto model = Parse(ModelProto.Parser, rest);
        model.Graph = graph;
        return model;
    }

    private GraphProto ReadGraph(long at, long end)
    {
        var rest = new MemoryStream();
        var initializers = new List<TensorProto>();
        while (at < end)
        {
            long start = at;
            if (Field(ref at, end, out long content) == Tag(Initializer)) initializers.Add(ReadTensor(content, at));
            else Copy(start, at, rest);
        }
        GraphProto graph = Parse(GraphProto.Parser, rest);
        graph.Initializer.AddRange(initializers);
        return graph;
    }

    private TensorProto ReadTensor(long at, long end)
    {
        var rest = new MemoryStream();
        FileBytes? data = null;
        while (at < end)
        {
            long start = at;
            bool isRaw = Field(ref at, end, out long content) == Tag(RawData);
            if (isRaw && data is not null) throw new FormatException("raw data twice");
            if (isRaw && at - content >= _largeBytes) data = new FileBytes(_file, content, (int)(at - content));
            else Copy(start, at, rest);
        }
        TensorProto tensor = Parse(TensorProto.Parser, rest);
        if (data is not null) Large.Add(tensor, data);
        return tensor;
    }

    private static uint Tag(int field) => (uint)(field << 3 | Delimited);

    private static T Parse<T>(MessageParser<T> parser, MemoryStream bytes) where T : IMessage<T> =>
        parser.WithDiscardUnknownFields(true).ParseFrom(bytes.GetBuffer(), 0, (int)bytes.Length);

    /// <summary>Steps over one field.</summary>
    /// <param name="at">Where it starts; receives its end.</param>
    /// <param name="end">Where the message ends.</param>
    /// <param name="content">Receives where its content starts.</param>
    /// <returns>Its tag: number and wire type.</returns>
    private uint Field(ref long at, long end, out long content)
    {
        ulong tag = Number(ref at, end);
        ulong length = 0;
        switch (tag & 7)
        {
            case Varint: Number(ref at, end); break;
            case Fixed64: length = 8; break;
            case Fixed32: length = 4; break;
            case Delimited: length = Number(ref at, end); break;
            default: throw new FormatException("a group");
        }
        content = at;
        if (tag > uint.MaxValue || length > (ulong)(end - at)) throw new FormatException("a field leaves its message");
        at += (long)length;
        return (uint)tag;
    }

    private ulong Number(ref long at, long end)
    {
        ulong number = 0;
        for (int shift = 0; shift < 64 && at < end; shift += 7)
        {
            byte next = At(at++);
            number |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80) return number;
        }
        throw new FormatException("a number without an end");
    }

    private byte At(long position)
    {
        if (position < _windowStart || position >= _windowStart + _windowLength) Fill(position);
        return _window[position - _windowStart];
    }

    private void Copy(long from, long to, MemoryStream rest)
    {
        while (from < to)
        {
            if (from < _windowStart || from >= _windowStart + _windowLength) Fill(from);
            int at = (int)(from - _windowStart), count = (int)Math.Min(to - from, _windowLength - at);
            rest.Write(_window, at, count);
            from += count;
        }
    }

    private void Fill(long position)
    {
        _windowStart = position;
        _windowLength = RandomAccess.Read(_handle, _window, position);
        if (_windowLength == 0) throw new FormatException("the file ends early");
    }
}
