using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Onnx;

/// <summary>TypeProto ↔ <see cref="TensorType"/>.</summary>
internal static class OnnxTypes
{
    /// <summary>
    /// Reads a type. Maps, sparse tensors, opaque types and lists of lists, which Octet cannot hold, become a type of which nothing is known.
    /// </summary>
    /// <exception cref="ModelException">An element type that ONNX does not have, or too many axes.</exception>
    public static TensorType Read(TypeProto? proto, string what)
    {
        switch (proto?.ValueCase)
        {
            case TypeProto.ValueOneofCase.TensorType:
                return ReadTensor(proto.TensorType, what);
            case TypeProto.ValueOneofCase.SequenceType:
                return Wrap(proto.SequenceType.ElemType, Container.Sequence, what);
            case TypeProto.ValueOneofCase.OptionalType:
                return proto.OptionalType.ElemType is { ValueCase: TypeProto.ValueOneofCase.SequenceType } inner
                    ? Wrap(inner.SequenceType.ElemType, Container.OptionalSequence, what)
                    : Wrap(proto.OptionalType.ElemType, Container.Optional, what);
            default:
                return TensorType.Unknown;
        }
    }

    /// <summary>Writes a type, or null where nothing is known that the format could say.</summary>
    public static TypeProto? Write(TensorType type)
    {
        if (type.Element == DataType.Undefined) return null;
        var tensor = new TypeProto { TensorType = new TypeProto.Types.Tensor { ElemType = (int)type.Element } };
        if (type.Shape is { } shape)
        {
            tensor.TensorType.Shape = new TensorShapeProto();
            foreach (Dim dim in shape)
            {
                var extent = new TensorShapeProto.Types.Dimension();
                if (dim.IsKnown) extent.DimValue = dim.Value;
                else if (dim.Symbol is not null) extent.DimParam = dim.Symbol;
                tensor.TensorType.Shape.Dim.Add(extent);
            }
        }
        return type.Container switch
        {
            Container.Sequence => Sequence(tensor),
            Container.Optional => Optional(tensor),
            Container.OptionalSequence => Optional(Sequence(tensor)),
            _ => tensor,
        };

        static TypeProto Sequence(TypeProto element) => new() { SequenceType = new TypeProto.Types.Sequence { ElemType = element } };
        static TypeProto Optional(TypeProto element) => new() { OptionalType = new TypeProto.Types.Optional { ElemType = element } };
    }

    private static TensorType Wrap(TypeProto? element, Container container, string what) =>
        element is { ValueCase: TypeProto.ValueOneofCase.TensorType } ? ReadTensor(element.TensorType, what) with { Container = container }
        : TensorType.Unknown with { Container = container };

    private static TensorType ReadTensor(TypeProto.Types.Tensor proto, string what)
    {
        DataType element = proto.ElemType == 0 ? DataType.Undefined : OnnxTensors.ElementType(proto.ElemType, what);
        if (proto.Shape is null) return new TensorType(element);
        if (proto.Shape.Dim.Count > OnnxTensors.MaxRank) throw new ModelException($"{what} has {proto.Shape.Dim.Count} axes; rule: at most {OnnxTensors.MaxRank}");
        var dims = new Dim[proto.Shape.Dim.Count];
        for (int i = 0; i < dims.Length; i++)
        {
            TensorShapeProto.Types.Dimension dim = proto.Shape.Dim[i];
            dims[i] = dim.ValueCase switch
            {
                // Some writers say -1 for an unknown extent.
                TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue when dim.DimValue > int.MaxValue =>
                    throw new ModelException($"{what} has extent {dim.DimValue} on axis {i}; rule: extents are at most {int.MaxValue}"),
                TensorShapeProto.Types.Dimension.ValueOneofCase.DimValue when dim.DimValue >= 0 => new Dim(dim.DimValue),
                TensorShapeProto.Types.Dimension.ValueOneofCase.DimParam when dim.DimParam.Length > 0 => Dim.Named(dim.DimParam),
                _ => Dim.Unknown,
            };
        }
        return new TensorType(element, dims.AsSpan());
    }
}
