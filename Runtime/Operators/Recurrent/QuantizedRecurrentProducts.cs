using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The products of one direction of <see cref="DynamicQuantizeLstm"/>: 8-bit weights, and operands that are quantized by their own range before each product.</summary>
internal sealed class QuantizedRecurrentProducts : RecurrentProducts
{
    private readonly Matrix _input, _recurrent;

    /// <summary>Prepares the products of direction <paramref name="direction"/>; inputs 1, 8 and 9 are W with its parameters, 2, 10 and 11 are R with its.</summary>
    public QuantizedRecurrentProducts(PlanContext c, RecurrentShape shape, int direction) : base(shape)
    {
        _input = new Matrix(c, 1, 8, direction, shape.Directions, shape.Inputs, shape.Columns, shape.Steps * shape.Batch);
        _recurrent = new Matrix(c, 2, 10, direction, shape.Directions, shape.Hidden, shape.Columns, shape.Batch);
    }

    public override string Kernel => $"quantize by range, {_input.Kernel}";

    public override int ScratchBytes => Math.Max(_input.ScratchBytes, _recurrent.ScratchBytes);

    public override void Inputs(StepContext c, int direction, int steps, ReadOnlySpan<float> bias, Span<float> projected, Span<byte> scratch)
    {
        int columns = Shape.Columns, rows = steps * Shape.Batch;
        for (int row = 0; row < rows; row++) bias.CopyTo(projected[(row * columns)..]);
        _input.AddProduct(c, c.Input<float>(0)[..(rows * Shape.Inputs)], rows, projected, scratch);
    }

    public override void Recurrent(StepContext c, int direction, int block, ReadOnlySpan<float> h, Span<float> y, int ldy, Span<byte> scratch) =>
        _recurrent.AddProduct(c, h, Shape.Batch, y, scratch);

    /// <summary>One constant or computed weight matrix <c>[K, N]</c> of 8-bit integers with its scales.</summary>
    private sealed class Matrix
    {
        private readonly int _weights, _scale, _direction, _depth, _columns, _parameters, _rows;
        private readonly QGemmWeights? _packed;
        private readonly QEpilogue? _epilogue;
        private readonly int _packedScratch;
        private readonly bool _signed, _hasZero;
        private readonly CpuFeatures _cpu;

        public Matrix(PlanContext c, int weights, int scale, int direction, int directions, int depth, int columns, int rows)
        {
            (_weights, _scale, _direction, _depth, _columns, _rows, _cpu) = (weights, scale, direction, depth, columns, rows, c.Cpu);
            _signed = c.Expect(weights, DataType.Int8, DataType.UInt8) == DataType.Int8;
            c.Expect(scale, DataType.Float32);
            _parameters = Parameters(c, scale, directions);
            _hasZero = c.Has(scale + 1);
            if (_hasZero && (c.Expect(scale + 1, c.Element(weights)) != c.Element(weights) || Parameters(c, scale + 1, directions) != _parameters))
                throw c.Error($"input {scale + 1} is {c.Type(scale + 1)}", $"zero points have the type of the weights and the shape of the scales, {c.Type(scale)}");
            if (c.Constant(weights) is not { } w || _hasZero && c.Constant(scale + 1) is null || depth == 0 || columns == 0 || rows == 0) return;
            int[] zeros = _hasZero ? [.. c.Constant(scale + 1)!.ToInt64Array().AsSpan().Slice(direction * _parameters, _parameters).ToArray().Select(zero => (int)zero)] : [];
            if (zeros.All(zero => zero == 0)) zeros = [];
            QGemmKernel kernel = QGemmKernels.Select(rows, columns, depth, c.Cpu);
            int first = direction * depth * columns, count = depth * columns;
            _packed = c.Share(w, $"DynamicQuantizeLSTM {direction} {kernel.Name} zero points {string.Join(",", zeros)}", () => _signed
                ? QGemmWeights.Pack(w.Span<sbyte>().Slice(first, count), depth, columns, false, zeros, kernel)
                : QGemmWeights.Pack(w.Span<byte>().Slice(first, count), depth, columns, false, zeros, kernel));
            _epilogue = QEpilogue.ToInt32(columns);
            _packedScratch = QGemmDriver.ScratchBytes(rows, _packed, c.Workers);
        }

        public string Kernel => _packed?.Kernel.Name ?? "integer product, scalar";

        public int ScratchBytes => checked(Aligned(_rows * _columns * sizeof(int)) + Aligned(_rows * _depth) + _packedScratch);

        /// <summary><c>y[rows, N] += dequantized(quantize(x) · W)</c>.</summary>
        public void AddProduct(StepContext c, ReadOnlySpan<float> x, int rows, Span<float> y, Span<byte> scratch)
        {
            (float min, float max) = DynamicQuantizeLinear.Range(x, _cpu);
            (float scale, byte zero) = DynamicQuantizeLinear.Parameters(min, max);
            Span<int> acc = MemoryMarshal.Cast<byte, int>(scratch[..(rows * _columns * sizeof(int))]);
            scratch = scratch[Aligned(_rows * _columns * sizeof(int))..];
            Span<byte> quantized = scratch[..x.Length];
            LinearQuantization.Quantize(x, [scale], [zero], new QuantizationGrid(1, x.Length, 1, 0, true), DataType.UInt8, quantized, _cpu, c.Parallel);
            if (_packed is not null) QGemmDriver.Run(quantized, _depth, rows, _packed, zero, _epilogue!, default, MemoryMarshal.AsBytes(acc), _columns, scratch[Aligned(_rows * _depth)..], c.Parallel);
            else if (_signed) Multiply(quantized, zero, rows, c.Input<sbyte>(_weights), c.Input<sbyte>(_scale + 1), acc);
            else Multiply(quantized, zero, rows, c.Input<byte>(_weights), c.Input<byte>(_scale + 1), acc);

            ReadOnlySpan<float> scales = c.Input<float>(_scale).Slice(_direction * _parameters, _parameters);
            for (int row = 0; row < rows; row++) AddScaled(acc.Slice(row * _columns, _columns), scale, scales, y.Slice(row * _columns, _columns));
        }

        private static void AddScaled(ReadOnlySpan<int> acc, float scale, ReadOnlySpan<float> scales, Span<float> y)
        {
            int i = 0;
            for (; i <= y.Length - Vector<float>.Count; i += Vector<float>.Count)
            {
                Vector<float> factor = scales.Length == 1 ? new Vector<float>(scale * scales[0]) : new Vector<float>(scale) * new Vector<float>(scales[i..]);
                (new Vector<float>(y[i..]) + Vector.ConvertToSingle(new Vector<int>(acc[i..])) * factor).CopyTo(y[i..]);
            }
            for (; i < y.Length; i++) y[i] += acc[i] * (scale * scales[scales.Length == 1 ? 0 : i]);
        }

        private void Multiply<T>(ReadOnlySpan<byte> a, int aZero, int rows, ReadOnlySpan<T> weights, ReadOnlySpan<T> zeros, Span<int> acc) where T : unmanaged, IBinaryInteger<T>
        {
            ReadOnlySpan<T> w = weights.Slice(_direction * _depth * _columns, _depth * _columns);
            if (_hasZero) zeros = zeros.Slice(_direction * _parameters, _parameters);
            acc.Clear();
            for (int row = 0; row < rows; row++)
            {
                for (int k = 0; k < _depth; k++)
                {
                    int factor = a[row * _depth + k] - aZero;
                    if (factor == 0) continue;
                    for (int n = 0; n < _columns; n++)
                    {
                        int zero = _hasZero ? int.CreateTruncating(zeros[zeros.Length == 1 ? 0 : n]) : 0;
                        acc[row * _columns + n] += factor * (int.CreateTruncating(w[k * _columns + n]) - zero);
                    }
                }
            }
        }

        /// <summary>Scales or zero points of one direction: 1 or N.</summary>
        private int Parameters(PlanContext c, int index, int directions)
        {
            int count = Tensor.CountElements(c.InputShape(index));
            if (count == directions) return 1;
            if (count == directions * _columns) return _columns;
            throw c.Error($"input {index} is {c.Type(index)}", $"one per direction or [{directions}, {_columns}]");
        }

        private static int Aligned(int bytes) => (bytes + 63) & ~63;
    }
}
