using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Scales and zero points of matrix operands: one for all, one per row of A, or one per column of B.</summary>
internal static class OperandParameters
{
    /// <summary>Checks that input <paramref name="index"/> has one element or <paramref name="extent"/>; leading axes may be written out as ones.</summary>
    /// <returns>Number of elements; 0 where the input is left out.</returns>
    /// <exception cref="ModelException">It has another number of elements.</exception>
    public static int Count(PlanContext c, int index, int extent, string what)
    {
        if (index < 0 || !c.Has(index)) return 0;
        int count = Tensor.CountElements(c.InputShape(index));
        if (count != 1 && count != extent)
            throw c.Unsupported($"input {index} has shape {Tensor.Format(c.InputShape(index))}", $"{what} with one element or {extent}");
        return count;
    }

    /// <summary>The 8-bit zero points of input <paramref name="index"/> as integers; one 0 where it is left out.</summary>
    /// <param name="c">The run.</param>
    /// <param name="index">The input.</param>
    /// <param name="into">Receives them; at least as long as the input; an index of −1 counts as left out.</param>
    public static ReadOnlySpan<int> Read(StepContext c, int index, Span<int> into)
    {
        if (index < 0 || !c.Has(index))
        {
            into[0] = 0;
            return into[..1];
        }
        Tensor tensor = c.Input(index);
        if (tensor.Type == DataType.Int8)
        {
            ReadOnlySpan<sbyte> values = tensor.Span<sbyte>();
            for (int i = 0; i < values.Length; i++) into[i] = values[i];
        }
        else
        {
            ReadOnlySpan<byte> values = tensor.Span<byte>();
            for (int i = 0; i < values.Length; i++) into[i] = values[i];
        }
        return into[..tensor.Length];
    }
}
