using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Kernels.Memory;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>com.microsoft.MatMulNBits</c>: <c>Y = A · dequantize(B)ᵀ + bias</c> with B packed to 2, 4 or 8 bits in blocks along K.</summary>
/// <remarks>
/// B is <c>[N, blocks, block_size·bits/8]</c>, lowest bits first; scales <c>[N·blocks]</c>; zero points packed like B per row, or real numbers
/// <c>[N·blocks]</c>, or left out for <c>2^(bits−1)</c>. <c>w[n,k] = (q − zeroPoint) · scale</c>; sums in float32.
/// </remarks>
internal sealed class MatMulNBits : Operator
{
    public override OperatorId Id => new("MatMulNBits", MicrosoftDomain);

    public override string Limits => "constant weights; no g_idx";

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.Float32);
        long k = c.Attributes.Int("K"), n = c.Attributes.Int("N");
        if (c.Shape(0) is not { Length: > 0 } a)
        {
            c.SetUnknownShape(0, DataType.Float32);
            return;
        }
        if (a[^1].DiffersFrom(k)) throw c.Error($"A has {a[^1]} columns", $"A.shape[-1] = K = {k}");
        c.Set(0, DataType.Float32, [.. a.AsSpan()[..^1], n]);
    }

    public override Step Plan(PlanContext c)
    {
        int k = checked((int)c.Attributes.Int("K")), n = checked((int)c.Attributes.Int("N"));
        int bits = checked((int)c.Attributes.Int("bits", 4)), block = checked((int)c.Attributes.Int("block_size"));
        if (bits is not (2 or 4 or 8)) throw c.Unsupported($"{bits} bits", "2, 4 or 8");
        if (block < 8 || block % 8 != 0 || k < 0 || n < 0) throw c.Error($"block_size {block}, K {k}, N {n}", "block_size is a multiple of 8, K and N are not negative");
        if (c.Has(4)) throw c.Unsupported("g_idx", "blocks in order of K");
        Tensor packed = c.Required(1), scales = c.Required(2);
        Tensor? zeros = c.Has(3) ? c.Required(3) : null;
        int blocks = (k + block - 1) / block, zeroRow = (blocks * bits + 7) / 8;
        if (packed.Length != n * blocks * (block * bits / 8)) throw c.Error($"B has {packed.Length} bytes", $"N · blocks · block_size · bits / 8 = {n * blocks * (block * bits / 8)}");
        if (scales.Length != n * blocks) throw c.Error($"{scales.Length} scales", $"N · blocks = {n * blocks}");
        if (zeros is not null && zeros.Length != (zeros.Type == DataType.UInt8 ? n * zeroRow : n * blocks)) throw c.Error($"{zeros.Length} zero points", "as many as blocks, packed like B");
        if (c.Has(5) && Tensor.CountElements(c.InputShape(5)) != n) throw c.Error("the bias does not fit", $"bias.shape = [{n}]");

        AlignedBuffer weights = c.Share(packed, $"unpacked {bits}/{block}/{k}", () =>
        {
            var buffer = new AlignedBuffer((long)n * k * sizeof(float));
            Span<float> w = buffer.Span<float>(0, n * k);
            ReadOnlySpan<byte> bytes = packed.Span<byte>();
            float[] scale = scales.ToFloat32Array(), realZero = zeros is { Type: not DataType.UInt8 } ? zeros.ToFloat32Array() : [];
            ReadOnlySpan<byte> packedZero = zeros is { Type: DataType.UInt8 } ? zeros.Span<byte>() : default;
            int mask = (1 << bits) - 1, perByte = 8 / bits, blockBytes = block * bits / 8;
            for (int row = 0; row < n; row++)
                for (int depth = 0; depth < k; depth++)
                {
                    int b = depth / block, inside = depth % block;
                    int q = bytes[(row * blocks + b) * blockBytes + inside / perByte] >> (inside % perByte * bits) & mask;
                    float zero = realZero.Length > 0 ? realZero[row * blocks + b]
                        : packedZero.Length > 0 ? packedZero[row * zeroRow + b / perByte] >> (b % perByte * bits) & mask
                        : 1 << (bits - 1);
                    w[row * k + depth] = (q - zero) * scale[row * blocks + b];
                }
            return buffer;
        });
        return new ProductStep(weights, k, n);
    }

    private sealed class ProductStep(AlignedBuffer weights, int k, int n) : Step
    {
        public override string Kernel => "dequantized weights";

        public override void Run(StepContext c)
        {
            ReadOnlySpan<float> a = c.Input<float>(0), bias = c.Input<float>(5);
            ReadOnlySpan<float> w = weights.Span<float>(0, n * k);
            Span<float> y = c.Output<float>(0);
            for (int i = 0; i < y.Length; i++)
            {
                int row = i / n, column = i % n;
                float dot = Dot(a.Slice(row * k, k), w.Slice(column * k, k));
                y[i] = bias.Length == 0 ? dot : dot + bias[column];
            }
        }

        private static float Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
        {
            ReadOnlySpan<Vector<float>> x = MemoryMarshal.Cast<float, Vector<float>>(a), y = MemoryMarshal.Cast<float, Vector<float>>(b);
            Vector<float> sums = Vector<float>.Zero;
            for (int i = 0; i < x.Length; i++) sums += x[i] * y[i];
            float sum = Vector.Sum(sums);
            for (int i = x.Length * Vector<float>.Count; i < a.Length; i++) sum += a[i] * b[i];
            return sum;
        }
    }
}
