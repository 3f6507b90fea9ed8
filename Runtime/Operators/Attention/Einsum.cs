using System.Collections.Immutable;
using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>Einsum</c>: sums products of elements over the labels that the result does not name.</summary>
/// <remarks>
/// <code>y[out] = Σ over labels not in out of  Πᵢ xᵢ[labelsᵢ]</code>
/// Repeated labels take a diagonal, an ellipsis stands for broadcasting axes; without <c>-&gt;</c> the result has the labels that occur once, in order of the alphabet,
/// behind the ellipsis. Three or more operands are multiplied from left to right, each product summed as early as it can be.
/// </remarks>
internal sealed class Einsum : Operator
{
    public override OperatorId Id => new("Einsum", Since: 12);

    public override string Types => "float32, float64, int32, int64";

    public override void Infer(InferContext c)
    {
        DataType element = c.Element(0);
        var shapes = new ImmutableArray<Dim>[c.InputCount];
        for (int i = 0; i < shapes.Length; i++)
        {
            if (c.Shape(i) is not { } shape) { c.SetUnknownShape(0, element); return; }
            shapes[i] = shape;
        }
        EinsumEquation equation = EinsumEquation.Parse(c, [.. shapes.Select(shape => shape.Length)]);
        var extents = new Dictionary<int, Dim>();
        for (int i = 0; i < shapes.Length; i++)
        {
            for (int axis = 0; axis < shapes[i].Length; axis++)
            {
                int label = equation.Inputs[i][axis];
                Dim now = shapes[i][axis];
                if (!extents.TryGetValue(label, out Dim before) || before.Is(1)) { extents[label] = now; continue; }
                if (now.Is(1) || now.SameAs(before)) continue;
                if (now.DiffersFrom(before)) throw c.Error($"label '{EinsumEquation.Name(label)}' has extents {before} and {now}", "a label has one extent (or 1)");
                extents[label] = before.IsKnown ? before : now;
            }
        }
        c.Set(0, new TensorType(element, (ReadOnlySpan<Dim>)[.. equation.Output.Select(label => extents[label])]));
    }

    public override Step Plan(PlanContext c)
    {
        var shapes = new int[c.InputCount][];
        for (int i = 0; i < shapes.Length; i++)
        {
            shapes[i] = c.InputShape(i);
            if (c.Element(i) != c.Element(0)) throw c.Error($"operands are {c.Element(0).Name()} and {c.Element(i).Name()}", "all operands have one type");
        }
        EinsumEquation equation = EinsumEquation.Parse(c, [.. shapes.Select(shape => shape.Length)]);
        return c.Element(0) switch
        {
            DataType.Float32 => new EinsumStep<float>(equation, shapes, c.Cpu, c.Workers),
            DataType.Float64 => new EinsumStep<double>(equation, shapes, c.Cpu, c.Workers),
            DataType.Int32 => new EinsumStep<int>(equation, shapes, c.Cpu, c.Workers),
            DataType.Int64 => new EinsumStep<long>(equation, shapes, c.Cpu, c.Workers),
            _ => throw c.Unsupported($"{c.Element(0).Name()} operands", Types),
        };
    }

    /// <summary>One product of two operands (or one alone): strides per loop, result labels outside, summed ones inside.</summary>
    private sealed record Product(int[] Extents, int[] A, int[] B, int OuterLoops, int Length, bool Single, EinsumContraction? Contraction);

    private sealed class EinsumStep<T> : Step where T : unmanaged, INumber<T>
    {
        private readonly Product[] _products;
        private readonly int _largest;
        private readonly long _contractionBytes;

        public EinsumStep(EinsumEquation equation, int[][] shapes, CpuFeatures cpu, int workers)
        {
            var extents = new Dictionary<int, int>();
            for (int i = 0; i < shapes.Length; i++)
            {
                for (int axis = 0; axis < shapes[i].Length; axis++)
                {
                    int label = equation.Inputs[i][axis];
                    if (!extents.TryGetValue(label, out int before) || before == 1) extents[label] = shapes[i][axis];
                }
            }
            var products = new List<Product>();
            int[] left = equation.Inputs[0], leftShape = shapes[0];
            int operands = shapes.Length;
            for (int step = 1; step < operands || step == 1; step++)
            {
                bool single = operands == 1, last = step >= operands - 1;
                int[] right = single ? [] : equation.Inputs[step], rightShape = single ? [] : shapes[step];
                // A label survives while a later operand or the result names it.
                int[] result = last ? equation.Output
                    : [.. left.Concat(right).Distinct().Where(label => equation.Output.Contains(label) || equation.Inputs.Skip(step + 1).Any(later => later.Contains(label)))];
                int[] summed = [.. left.Concat(right).Distinct().Where(label => !result.Contains(label))];
                int[] loops = [.. result, .. summed];
                int[] loopExtents = [.. loops.Select(label => extents[label])];
                products.Add(new Product(loopExtents, [.. loops.Select(label => Stride(left, leftShape, label))], [.. loops.Select(label => Stride(right, rightShape, label))],
                    result.Length, Tensor.CountElements(loopExtents.AsSpan()[..result.Length]), single,
                    typeof(T) == typeof(float) && !single ? EinsumContraction.Create(left, leftShape, right, rightShape, result, cpu) : null));
                (left, leftShape) = (result, [.. result.Select(label => extents[label])]);
                if (!last) _largest = Math.Max(_largest, products[^1].Length);
            }
            _products = [.. products];
            _contractionBytes = products.Select(product => product.Contraction?.ScratchBytes(workers) ?? 0).Max();
        }

        public override string Kernel => _products[0].Contraction?.Kernel ?? "loops";

        private int Intermediates => checked((2 * _largest * System.Runtime.CompilerServices.Unsafe.SizeOf<T>() + 63) & ~63);

        public override int ScratchBytes => checked(Intermediates + (int)_contractionBytes);

        public override long MultiplyAccumulates
        {
            get
            {
                long sum = 0;
                foreach (Product product in _products)
                {
                    long count = 1;
                    foreach (int extent in product.Extents) count *= extent;
                    sum += count;
                }
                return sum;
            }
        }

        public override void Run(StepContext c)
        {
            Span<T> scratch = MemoryMarshal.Cast<byte, T>(c.Scratch);
            ReadOnlySpan<T> left = c.Input<T>(0);
            for (int i = 0; i < _products.Length; i++)
            {
                Product product = _products[i];
                Span<T> to = i == _products.Length - 1 ? c.Output<T>(0) : scratch.Slice(i % 2 * _largest, product.Length);
                if (product.Contraction is { } contraction)
                {
                    contraction.Run(MemoryMarshal.Cast<T, float>(left), c.Input<float>(i + 1), MemoryMarshal.Cast<T, float>(to), c.Scratch[Intermediates..], c.Parallel);
                }
                else Multiply(product, left, product.Single ? default : c.Input<T>(i + 1), to);
                left = to;
            }
        }

        private static void Multiply(Product product, ReadOnlySpan<T> a, ReadOnlySpan<T> b, Span<T> y)
        {
            int outer = product.OuterLoops, loops = product.Extents.Length;
            Span<int> index = stackalloc int[loops];
            int atA = 0, atB = 0;
            for (int o = 0; o < y.Length; o++)
            {
                y[o] = Sum(product, a, b, atA, atB, outer);
                for (int loop = outer - 1; loop >= 0; loop--)
                {
                    atA += product.A[loop];
                    atB += product.B[loop];
                    if (++index[loop] < product.Extents[loop]) break;
                    atA -= product.A[loop] * product.Extents[loop];
                    atB -= product.B[loop] * product.Extents[loop];
                    index[loop] = 0;
                }
            }
        }

        private static T Sum(Product product, ReadOnlySpan<T> a, ReadOnlySpan<T> b, int atA, int atB, int loop)
        {
            if (loop == product.Extents.Length) return product.Single ? a[atA] : a[atA] * b[atB];
            T sum = T.Zero;
            int extent = product.Extents[loop], stepA = product.A[loop], stepB = product.B[loop];
            if (loop == product.Extents.Length - 1 && !product.Single)
            {
                for (int i = 0; i < extent; i++, atA += stepA, atB += stepB) sum += a[atA] * b[atB];
                return sum;
            }
            for (int i = 0; i < extent; i++) sum += Sum(product, a, b, atA + i * stepA, atB + i * stepB, loop + 1);
            return sum;
        }

        /// <summary>Step of a label in an operand: the sum over its axes (a diagonal has several), 0 where the operand does not have it or broadcasts it.</summary>
        private static int Stride(int[] labels, int[] shape, int label)
        {
            int stride = 1, total = 0;
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                if (labels[axis] == label && shape[axis] != 1) total += stride;
                stride *= shape[axis];
            }
            return total;
        }
    }
}

/// <summary>A parsed equation; labels are letters, or negative numbers for the axes of an ellipsis, −1 the last.</summary>
/// <param name="Inputs">Label per axis of every operand.</param>
/// <param name="Output">Label per axis of the result.</param>
internal sealed record EinsumEquation(int[][] Inputs, int[] Output)
{
    /// <summary>A label as text.</summary>
    public static string Name(int label) => label < 0 ? "..." : ((char)label).ToString();

    /// <summary>Parses the node's <c>equation</c> for operands of these ranks.</summary>
    public static EinsumEquation Parse(NodeContext c, int[] ranks)
    {
        string text = c.Attributes.String("equation").Replace(" ", "", StringComparison.Ordinal);
        int arrow = text.IndexOf("->", StringComparison.Ordinal);
        string[] terms = (arrow < 0 ? text : text[..arrow]).Split(',');
        if (terms.Length != ranks.Length) throw c.Error($"the equation has {terms.Length} operands, the node {ranks.Length}", "one term per operand");
        int ellipsis = 0;
        var inputs = new int[terms.Length][];
        for (int i = 0; i < terms.Length; i++)
        {
            int letters = terms[i].Count(char.IsAsciiLetter);
            bool dots = terms[i].Contains("...", StringComparison.Ordinal);
            if (letters + (dots ? 3 : 0) != terms[i].Length) throw c.Error($"term '{terms[i]}' is not legal", "a term has letters and at most one ellipsis");
            if (dots ? letters > ranks[i] : letters != ranks[i]) throw c.Error($"term '{terms[i]}' names {letters} axes of {ranks[i]}", "a term names every axis of its operand");
            int rest = ranks[i] - letters;
            ellipsis = Math.Max(ellipsis, rest);
            inputs[i] = Labels(terms[i], rest);
        }
        int[] output;
        if (arrow >= 0)
        {
            string result = text[(arrow + 2)..];
            bool dots = result.Contains("...", StringComparison.Ordinal);
            if (result.Count(char.IsAsciiLetter) + (dots ? 3 : 0) != result.Length) throw c.Error($"result '{result}' is not legal", "a result has letters and at most one ellipsis");
            output = Labels(result, ellipsis);
            if (output.Distinct().Count() != output.Length || output.Any(label => !inputs.Any(input => input.Contains(label)))) throw c.Error($"result '{result}' is not legal", "a result names labels of the operands, each once");
        }
        else
        {
            output = [.. Enumerable.Range(-ellipsis, ellipsis), .. inputs.SelectMany(input => input).Where(label => label > 0).GroupBy(label => label).Where(group => group.Count() == 1).Select(group => group.Key).Order()];
        }
        return new EinsumEquation(inputs, output);
    }

    private static int[] Labels(string term, int ellipsis)
    {
        var labels = new List<int>();
        for (int i = 0; i < term.Length; i++)
        {
            if (term[i] != '.') { labels.Add(term[i]); continue; }
            for (int axis = ellipsis; axis > 0; axis--) labels.Add(-axis);
            i += 2;
        }
        return [.. labels];
    }
}
