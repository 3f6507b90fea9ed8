using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What is common to two types: the type of a value that comes from one of two places.</summary>
internal static class TypeMerge
{
    /// <summary>Equal extents stay, different ones become unknown, different ranks leave the rank unknown.</summary>
    public static TensorType Merge(TensorType a, TensorType b)
    {
        if (a.Equals(b)) return a;
        DataType element = a.Element == b.Element ? a.Element : DataType.Undefined;
        Container container = a.Container == b.Container ? a.Container
            : (a.Container | b.Container) == Container.Optional ? Container.Optional
            : Container.OptionalSequence;
        if (a.Shape is not { } left || b.Shape is not { } right || left.Length != right.Length) return new TensorType(element) { Container = container };
        var dims = new Dim[left.Length];
        for (int i = 0; i < dims.Length; i++) dims[i] = left[i] == right[i] ? left[i] : Dim.Unknown;
        return new TensorType(element, (ReadOnlySpan<Dim>)dims) { Container = container };
    }

    /// <summary>Merges two lists of equal length.</summary>
    public static TensorType[] Merge(IReadOnlyList<TensorType> a, IReadOnlyList<TensorType> b)
    {
        var merged = new TensorType[a.Count];
        for (int i = 0; i < merged.Length; i++) merged[i] = Merge(a[i], b[i]);
        return merged;
    }
}
