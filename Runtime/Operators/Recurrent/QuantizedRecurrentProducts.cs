using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Cpu;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>The products of one direction of <see cref="DynamicQuantizeLstm"/>, <see cref="DynamicQuantizeGru"/> or <see cref="DynamicQuantizeRnn"/>: 8-bit weights, and operands that are quantized by their own range before each product.</summary>
internal sealed class QuantizedRecurrentProducts : RecurrentProducts
{
    private readonly Matrix _input;
    private readonly Matrix[] _recurrent;

    /// <summary>Prepares the products of direction <paramref name="direction"/>; inputs 1, 8 and 9 are W with its parameters, 2, 10 and 11 are R with its.</summary>
    /// <param name="c">The node.</param>
    /// <param name="shape">Extents.</param>
    /// <param name="direction">Which direction.</param>
    /// <param name="gatesPerBlock">How many gates each recurrent product covers, in order.</param>
    public QuantizedRecurrentProducts(PlanContext c, RecurrentShape shape, int direction, int[] gatesPerBlock) : base(shape)
    {
        _input = new Matrix(c, 1, 8, direction, shape.Directions, shape.Inputs, shape.Columns, 0, shape.Columns, shape.Steps * shape.Batch);
        _recurrent = new Matrix[gatesPerBlock.Length];
        for (int i = 0, first = 0; i < gatesPerBlock.Length; first += gatesPerBlock[i] * shape.Hidden, i++)
            _recurrent[i] = new Matrix(c, 2, 10, direction, shape.Directions, shape.Hidden, shape.Columns, first, gatesPerBlock[i] * shape.Hidden, shape.Batch);
    }

    public override string Kernel => $"quantize by range, {_input.Kernel}";

    public override int ScratchBytes => Math.Max(_input.ScratchBytes, _recurrent.Max(block => block.ScratchBytes));

    public override void Inputs(StepContext c, int direction, int steps, ReadOnlySpan<float> bias, Span<float> projected, Span<byte> scratch)
    {
        int columns = Shape.Columns, rows = steps * Shape.Batch;
        for (int row = 0; row < rows; row++) bias.CopyTo(projected[(row * columns)..]);
        _input.AddProduct(c, c.Input<float>(0)[..(rows * Shape.Inputs)], rows, projected, columns, scratch);
    }

    public override void Recurrent(StepContext c, int direction, int block, ReadOnlySpan<float> h, Span<float> y, int ldy, Span<byte> scratch) =>
        _recurrent[block].AddProduct(c, h, Shape.Batch, y, ldy, scratch);

    /// <summary>Some columns of one constant or computed weight matrix <c>[K, all columns]</c> of 8-bit integers, with their scales.</summary>
    private sealed class Matrix
    {
        private readonly int _weights, _scale, _direction, _depth, _first, _columns, _allColumns, _parameters, _rows;
        private readonly QGemmWeights? _packed;
        private readonly QEpilogue? _epilogue;
        private readonly int _packedScratch;
        private readonly bool _signed, _hasZero;
        private readonly CpuFeatures _cpu;

        public Matrix(PlanContext c, int weights, int scale, int direction, int directions, int depth, int allColumns, int firstColumn, int columns, int rows)
        {
            (_weights, _scale, _direction, _depth, _first, _columns, _allColumns, _rows, _cpu) = (weights, scale, direction, depth, firstColumn, columns, allColumns, rows, c.Cpu);
            _signed = c.Expect(weights, DataType.Int8, DataType.UInt8) == DataType.Int8;
            c.Expect(scale, DataType.Float32);
            _parameters = Parameters(c, scale, directions);
            _hasZero = c.Has(scale + 1);
            if (_hasZero && (c.Expect(scale + 1, c.Element(weights)) != c.Element(weights) || Parameters(c, scale + 1, directions) != _parameters))
                throw c.Error($"input {scale + 1} is {c.Type(scale + 1)}", $"zero points have the type of the weights and the shape of the scales, {c.Type(scale)}");
            if (c.Constant(weights) is not { } w || _hasZero && c.Constant(scale + 1) is null || depth == 0 || columns == 0 || rows == 0) return;
            int[] zeros = _hasZero ? [.. OfColumns<long>(c.Constant(scale + 1)!.ToInt64Array()).ToArray().Select(zero => (int)zero)] : [];
            if (zeros.All(zero => zero == 0)) zeros = [];
            QGemmKernel kernel = QGemmKernels.Select(rows, columns, depth, c.IntegerCpu);
            _packed = c.Share(w, $"DynamicQuantizeLSTM {direction} columns {firstColumn}+{columns} {kernel.Name} zero points {string.Join(",", zeros)}", () =>
            {
                var block = new byte[depth * columns];
                for (int k = 0; k < depth; k++) w.Span<byte>().Slice((direction * depth + k) * allColumns + firstColumn, columns).CopyTo(block.AsSpan(k * columns));
                return _signed
                    ? QGemmWeights.Pack(MemoryMarshal.Cast<byte, sbyte>(block), depth, columns, false, zeros, kernel)
                    : QGemmWeights.Pack(block, depth, columns, false, zeros, kernel);
            });
            _epilogue = QEpilogue.ToInt32(columns);
            _packedScratch = QGemmDriver.ScratchBytes(rows, _packed, c.Workers);
        }

        public string Kernel => _packed?.Kernel.Name ?? "integer product, scalar";

        public int ScratchBytes => checked(Aligned(_rows * _columns * sizeof(int)) + Aligned(_rows * _depth) + _packedScratch);

        /// <summary><c>y[rows, N] += dequantized(quantize(x) · W)</c>, rows of y <paramref name="ldy"/> apart.</summary>
        public void AddProduct(StepContext c, ReadOnlySpan<float> x, int rows, Span<float> y, int ldy, Span<byte> scratch)
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

            ReadOnlySpan<float> scales = OfColumns(c.Input<float>(_scale));
            for (int row = 0; row < rows; row++) AddScaled(acc.Slice(row * _columns, _columns), scale, scales, y.Slice(row * ldy, _columns));
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
            ReadOnlySpan<T> w = weights.Slice(_direction * _depth * _allColumns, _depth * _allColumns);
            if (_hasZero) zeros = OfColumns(zeros);
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
                        acc[row * _columns + n] += factor * (int.CreateTruncating(w[k * _allColumns + _first + n]) - zero);
                    }
                }
            }
        }

        /// <summary>Scales or zero points of one direction: 1 or N.</summary>
        private int Parameters(PlanContext c, int index, int directions)
        {
            int count = Tensor.CountElements(c.InputShape(index));
            if (count == directions) return 1;
            if (count == directions * _allColumns) return _allColumns;
            throw c.Error($"input {index} is {c.Type(index)}", $"one per direction or [{directions}, {_allColumns}]");
        }

        /// <summary>The parameters of this direction's columns: one, or one per column.</summary>
        private ReadOnlySpan<T> OfColumns<T>(ReadOnlySpan<T> parameters) =>
            _parameters == 1 ? parameters.Slice(_direction, 1) : parameters.Slice(_direction * _allColumns + _first, _columns);

        private static int Aligned(int bytes) => (bytes + 63) & ~63;
    }
}
