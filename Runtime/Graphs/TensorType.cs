using System.Collections.Immutable;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Graphs;

/// <summary>What surrounds the tensor in a value's type.</summary>
public enum Container
{
    /// <summary>A plain tensor.</summary>
    None,
    /// <summary>A list of tensors.</summary>
    Sequence,
    /// <summary>A tensor or nothing.</summary>
    Optional,
    /// <summary>A list of tensors or nothing.</summary>
    OptionalSequence,
}

/// <summary>Element type and shape of a value, as far as they are known.</summary>
public sealed record TensorType
{
    /// <summary>Nothing is known.</summary>
    public static TensorType Unknown { get; } = new(DataType.Undefined);

    /// <summary>A type of unknown rank.</summary>
    public TensorType(DataType element) => (Element, Shape) = (element, null);

    /// <summary>A type of known rank.</summary>
    public TensorType(DataType element, params ReadOnlySpan<Dim> shape) => (Element, Shape) = (element, ImmutableArray.Create(shape));

    /// <summary>A type of known extents.</summary>
    public TensorType(DataType element, ReadOnlySpan<int> shape)
    {
        var dims = ImmutableArray.CreateBuilder<Dim>(shape.Length);
        foreach (int extent in shape) dims.Add(extent);
        (Element, Shape) = (element, dims.ToImmutable());
    }

    /// <summary>Element type; <see cref="DataType.Undefined"/> while unknown.</summary>
    public DataType Element { get; init; }

    /// <summary>Extents, or null while the rank is unknown.</summary>
    public ImmutableArray<Dim>? Shape { get; init; }

    /// <summary>What surrounds the tensor.</summary>
    public Container Container { get; init; }

    /// <summary>Number of axes, or −1 while unknown.</summary>
    public int Rank => Shape?.Length ?? -1;

    /// <summary>Whether every extent is a number (and the value is a plain tensor).</summary>
    public bool IsConcrete
    {
        get
        {
            if (Container != Container.None || Element == DataType.Undefined || Shape is not { } shape) return false;
            foreach (Dim dim in shape) if (!dim.IsKnown) return false;
            return true;
        }
    }

    /// <summary>The extents as numbers.</summary>
    /// <exception cref="InvalidOperationException">An extent is unknown.</exception>
    /// <exception cref="UnsupportedModelException">There are more elements than an array holds.</exception>
    public int[] ConcreteShape()
    {
        if (Shape is not { } shape) throw new InvalidOperationException("the rank is not known");
        var result = new int[shape.Length];
        double elements = 1;
        for (int i = 0; i < result.Length; i++)
        {
            result[i] = shape[i].Value <= Array.MaxLength ? (int)shape[i].Value : throw TooLarge();
            elements *= Math.Max(1, result[i]);
        }
        return elements <= Array.MaxLength ? result : throw TooLarge();
    }

    private UnsupportedModelException TooLarge() => new($"a value would be {this}; rule: a tensor has at most {Array.MaxLength} elements, empty extents counted as 1");

    /// <summary>Equality by element, container and every extent.</summary>
    public bool Equals(TensorType? other) => other is not null && Element == other.Element && Container == other.Container
        && (Shape is null ? other.Shape is null : other.Shape is { } shape && Shape.Value.AsSpan().SequenceEqual(shape.AsSpan()));

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Element, Container, Rank);

    /// <summary>As text: <c>float32[N,3,224,224]</c>, <c>int64</c> with unknown rank as <c>int64[…]</c>.</summary>
    public override string ToString()
    {
        string tensor = (Element == DataType.Undefined ? "?" : Element.Name()) + (Shape is { } shape ? $"[{string.Join(",", shape)}]" : "[…]");
        return Container switch
        {
            Container.Sequence => $"sequence({tensor})",
            Container.Optional => $"optional({tensor})",
            Container.OptionalSequence => $"optional(sequence({tensor}))",
            _ => tensor,
        };
    }
}
