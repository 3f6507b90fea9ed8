using Google.Protobuf;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using SequenceKind = Octet.Runtime.Onnx.Proto.SequenceProto.Types.DataType;
using OptionalKind = Octet.Runtime.Onnx.Proto.OptionalProto.Types.DataType;

namespace Octet.Runtime.Onnx;

/// <summary>Test data as ONNX stores them: one TensorProto, SequenceProto or OptionalProto per file. The file does not say which; the expected type does.</summary>
internal static class TensorFile
{
    /// <summary>Reads a value.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">Type of the graph input or output that the value is for; its container decides how the file is read. Element and shape are not compared.</param>
    /// <returns>The value; null for an empty optional.</returns>
    /// <exception cref="DataException">The file is missing, cannot be read, or holds something else.</exception>
    public static RuntimeValue? Load(string path, TensorType expected) => Load(path, expected, out _);

    /// <summary>As <see cref="Load(string, TensorType)"/>, with the name that the file gives the value (empty where it gives none).</summary>
    public static RuntimeValue? Load(string path, TensorType expected, out string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(expected);
        try
        {
            return Read(File.ReadAllBytes(path), expected, out name);
        }
        catch (ModelException e)
        {
            throw new DataException($"tensor file '{path}': {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"tensor file '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
    }

    /// <summary>Writes a value in the form that its type asks for.</summary>
    /// <param name="path">The file; replaced when the new one is complete.</param>
    /// <param name="value">The value; null for an empty optional.</param>
    /// <param name="name">The name to store.</param>
    /// <param name="optional">Whether to write an OptionalProto, as for a graph value of an optional type.</param>
    /// <exception cref="ArgumentException">A null value that is not optional.</exception>
    /// <exception cref="IOException">The file cannot be written; what was there stays.</exception>
    public static void Save(string path, RuntimeValue? value, string name = "", bool optional = false)
    {
        IMessage message = value switch
        {
            _ when optional => Optional(value, name),
            Tensor tensor => OnnxTensors.Write(tensor, name),
            TensorSequence sequence => Sequence(sequence, name),
            _ => throw new ArgumentException("only an optional value can be empty", nameof(value)),
        };
        AtomicFile.Write(path, message.WriteTo);
    }

    private static RuntimeValue? Read(byte[] file, TensorType expected, out string name)
    {
        var tensors = new OnnxTensors(external: null, new ExpansionBudget(file.Length));
        switch (expected.Container)
        {
            case Container.Sequence:
                SequenceProto sequence = OnnxImporter.Parse(SequenceProto.Parser, file);
                name = sequence.Name;
                return Read(sequence, expected.Element, tensors);
            case Container.Optional or Container.OptionalSequence:
                OptionalProto optional = OnnxImporter.Parse(OptionalProto.Parser, file);
                name = optional.Name;
                return Read(optional, expected.Element, tensors);
            default:
                TensorProto tensor = OnnxImporter.Parse(TensorProto.Parser, file);
                name = tensor.Name;
                return tensors.Read(tensor, "the tensor");
        }
    }

    private static TensorSequence Read(SequenceProto proto, DataType element, OnnxTensors tensors)
    {
        var kind = (SequenceKind)proto.ElemType;
        bool sparse = kind == SequenceKind.SparseTensor;
        int others = proto.SequenceValues.Count + proto.MapValues.Count + proto.OptionalValues.Count
            + (sparse ? proto.TensorValues.Count : proto.SparseTensorValues.Count);
        if (kind is not (SequenceKind.Tensor or SequenceKind.SparseTensor or SequenceKind.Undefined) || others > 0)
            throw new UnsupportedModelException($"the sequence has elements of kind {kind}; what works: sequences of tensors");
        var items = new Tensor[sparse ? proto.SparseTensorValues.Count : proto.TensorValues.Count];
        for (int i = 0; i < items.Length; i++)
        {
            items[i] = sparse ? tensors.ReadSparse(proto.SparseTensorValues[i], $"element {i}") : tensors.Read(proto.TensorValues[i], $"element {i}");
            if (items[i].Type != items[0].Type)
                throw new ModelException($"element {i} is {items[i]} after {items[0]}; rule: the elements of a sequence have one type");
        }
        return new TensorSequence(items.Length > 0 ? items[0].Type : element, items);
    }

    private static RuntimeValue? Read(OptionalProto proto, DataType element, OnnxTensors tensors) => (OptionalKind)proto.ElemType switch
    {
        OptionalKind.Undefined => null,
        OptionalKind.Tensor when proto.TensorValue is { } tensor => tensors.Read(tensor, "the tensor"),
        OptionalKind.SparseTensor when proto.SparseTensorValue is { } sparse => tensors.ReadSparse(sparse, "the tensor"),
        OptionalKind.Sequence when proto.SequenceValue is { } sequence => Read(sequence, element, tensors),
        // A kind without a value is how an empty optional of that kind is written.
        OptionalKind.Tensor or OptionalKind.SparseTensor or OptionalKind.Sequence => null,
        OptionalKind kind => throw new UnsupportedModelException($"the optional holds a value of kind {kind}; what works: tensors and sequences of tensors"),
    };

    private static SequenceProto Sequence(TensorSequence sequence, string name)
    {
        var proto = new SequenceProto { Name = name, ElemType = (int)SequenceKind.Tensor };
        foreach (Tensor item in sequence.Items) proto.TensorValues.Add(OnnxTensors.Write(item, ""));
        return proto;
    }

    private static OptionalProto Optional(RuntimeValue? value, string name) => value switch
    {
        Tensor tensor => new OptionalProto { Name = name, ElemType = (int)OptionalKind.Tensor, TensorValue = OnnxTensors.Write(tensor, "") },
        TensorSequence sequence => new OptionalProto { Name = name, ElemType = (int)OptionalKind.Sequence, SequenceValue = Sequence(sequence, "") },
        _ => new OptionalProto { Name = name },
    };
}
