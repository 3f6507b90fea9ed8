using System.Globalization;
using System.Runtime.InteropServices;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Conform;

/// <summary>How far a float may be from the stored one: <c>|actual − expected| ≤ Absolute + Relative · |expected| + OfLargest · max |expected|</c>.</summary>
/// <param name="Relative">Part relative to the element.</param>
/// <param name="Absolute">Absolute part.</param>
/// <param name="OfLargest">Part relative to the largest finite magnitude of the output; 0 in ONNX's own comparison.</param>
internal readonly record struct Tolerances(double Relative, double Absolute, double OfLargest = 0)
{
    /// <summary>ONNX's own for float32 and float64.</summary>
    public static Tolerances Single { get; } = new(1e-3, 1e-7);

    /// <summary>ONNX's own where float16 or bfloat16 takes part.</summary>
    public static Tolerances Half { get; } = new(1e-2, 1e-7);

    /// <summary>Those of a model: <see cref="Half"/> where an input, constant or output is of such a type.</summary>
    public static Tolerances For(Graph graph) =>
        graph.Inputs.Concat(graph.Outputs).Concat(graph.Values.Where(value => value.IsConstant))
            .Any(value => value.Type.Element is DataType.Float16 or DataType.BFloat16) ? Half : Single;
}

/// <summary>Compares values as ONNX's own runner does: types and shapes exactly, floats within tolerances, everything else exactly.</summary>
internal static class Comparison
{
    /// <summary>The first difference in words, or null.</summary>
    public static string? Difference(RuntimeValue? actual, RuntimeValue? expected, Tolerances tolerances)
    {
        switch (actual, expected)
        {
            case (null, null):
                return null;
            case (Tensor a, Tensor b):
                return Difference(a, b, tolerances);
            case (TensorSequence a, TensorSequence b):
                if (a.Items.Count != b.Items.Count) return $"{a.Items.Count} elements, expected {b.Items.Count}";
                for (int i = 0; i < a.Items.Count; i++)
                {
                    if (Difference(a.Items[i], b.Items[i], tolerances) is { } difference) return $"element {i}: {difference}";
                }
                return null;
            default:
                return $"{Kind(actual)}, expected {Kind(expected)}";
        }
    }

    private static string? Difference(Tensor actual, Tensor expected, Tolerances tolerances)
    {
        if (actual.Type != expected.Type || !actual.Shape.SequenceEqual(expected.Shape)) return $"{actual}, expected {expected}";
        switch (actual.Type)
        {
            case DataType.String:
                for (int i = 0; i < actual.Length; i++)
                {
                    if (actual.Strings[i] != expected.Strings[i]) return $"element {i} is '{actual.Strings[i]}', expected '{expected.Strings[i]}'";
                }
                return null;
            case DataType.Float32 or DataType.Complex64:
                return Floats(actual.Bytes.Span.Length / sizeof(float), i => Single(actual, i), i => Single(expected, i), tolerances);
            case DataType.Float64 or DataType.Complex128:
                return Floats(actual.Bytes.Span.Length / sizeof(double), i => Double(actual, i), i => Double(expected, i), tolerances);
            case DataType.Float16:
                return Floats(actual.Length, i => (double)actual.Span<Half>()[i], i => (double)expected.Span<Half>()[i], tolerances);
            case DataType.BFloat16:
                return Floats(actual.Length, i => BFloat(actual, i), i => BFloat(expected, i), tolerances);
            default:
                int size = actual.Type.Size();
                ReadOnlySpan<byte> a = actual.Bytes.Span, b = expected.Bytes.Span;
                int common = a.CommonPrefixLength(b);
                return common == a.Length ? null : $"element {common / size} is {Element(actual, common / size)}, expected {Element(expected, common / size)}";
        }
    }

    // Complex numbers are compared as pairs.
    private static float Single(Tensor tensor, int index) => MemoryMarshal.Cast<byte, float>(tensor.Bytes.Span)[index];

    private static double Double(Tensor tensor, int index) => MemoryMarshal.Cast<byte, double>(tensor.Bytes.Span)[index];

    private static double BFloat(Tensor tensor, int index) => BitConverter.UInt32BitsToSingle((uint)tensor.Span<ushort>()[index] << 16);

    private static string? Floats(int count, Func<int, double> actual, Func<int, double> expected, Tolerances tolerances)
    {
        double worst = -1, absolute = tolerances.Absolute;
        int at = -1, wrong = 0;
        if (tolerances.OfLargest > 0)
        {
            double largest = 0;
            for (int i = 0; i < count; i++) if (double.IsFinite(expected(i))) largest = Math.Max(largest, Math.Abs(expected(i)));
            absolute += tolerances.OfLargest * largest;
        }
        for (int i = 0; i < count; i++)
        {
            double a = actual(i), b = expected(i);
            if (a == b || double.IsNaN(a) && double.IsNaN(b)) continue;
            double difference = Math.Abs(a - b);
            if (difference <= absolute + tolerances.Relative * Math.Abs(b)) continue;
            wrong++;
            if (double.IsNaN(difference)) difference = double.PositiveInfinity;
            if (difference > worst) (worst, at) = (difference, i);
        }
        return wrong == 0 ? null : string.Create(CultureInfo.InvariantCulture, $"{wrong} of {count} elements differ; the worst, {at}, is {actual(at):g7}, expected {expected(at):g7}");
    }

    private static string Element(Tensor tensor, int index) => tensor.Type.IsInteger() || tensor.Type == DataType.Bool
        ? tensor.ToInt64Array()[index].ToString(CultureInfo.InvariantCulture)
        : Convert.ToHexString(tensor.Bytes.Span.Slice(index * tensor.Type.Size(), tensor.Type.Size()));

    private static string Kind(RuntimeValue? value) => value switch
    {
        Tensor tensor => tensor.ToString(),
        TensorSequence sequence => $"a sequence of {sequence.Items.Count}",
        _ => "nothing",
    };
}
