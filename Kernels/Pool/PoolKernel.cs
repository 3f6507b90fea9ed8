using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Quantize;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.Pool;

/// <summary>What a window is reduced to.</summary>
internal enum PoolOperation
{
    /// <summary>Largest value; NaN if any is. A window wholly in the padding gives the type's lowest value.</summary>
    Max,

    /// <summary>Sum over the taps inside the input divided by their number, or by the window's taps where padding counts. An empty window gives NaN (0 quantized).</summary>
    Average,

    /// <summary><c>(Σ |x|ᵖ)^(1/p)</c> over the taps inside the input.</summary>
    Lp,
}

/// <summary>Constants of an 8-bit average: <c>y = saturate(round((Σq − n·zx) · (sx / (n·sy))) + zy)</c>.</summary>
/// <param name="Ratio">Scale of x over scale of y.</param>
/// <param name="ZeroX">Zero point of x.</param>
/// <param name="ZeroY">Zero point of y.</param>
internal readonly record struct QuantizedAverage(float Ratio, int ZeroX, int ZeroY);

/// <summary>Pooling over channels-last tensors, vectorized over channels.</summary>
/// <remarks>
/// Taps of a window are visited in ascending order, so results depend neither on width nor on threads. In an 8-bit average the sum is exact
/// (float32 holds integers up to 2²⁴; larger windows are refused), the multiplier is <c>Ratio / n</c> rounded once, and the product is rounded
/// once before rounding half to even.
/// </remarks>
internal sealed unsafe class PoolKernel
{
    private readonly PoolShape _shape;
    private readonly PoolOperation _operation;
    private readonly bool _countPadding;
    private readonly int _p;
    private readonly VectorWidth _width;

    private PoolKernel(PoolShape shape, PoolOperation operation, bool countPadding, int p, VectorWidth width)
    {
        (_shape, _operation, _countPadding, _p, _width) = (shape, operation, countPadding, p, width);
    }

    /// <summary>Extents.</summary>
    public PoolShape Shape => _shape;

    /// <summary>Prepares a pooling.</summary>
    /// <param name="shape">Extents.</param>
    /// <param name="operation">Max, average or Lp.</param>
    /// <param name="countPadding">Average: whether padding taps count in the divisor. Taps that only a ceil-mode output reaches beyond the padding never count.</param>
    /// <param name="p">Exponent of Lp, at least 1.</param>
    /// <param name="cpu">The CPU.</param>
    public static PoolKernel Create(PoolShape shape, PoolOperation operation, bool countPadding, int p, CpuFeatures cpu) =>
        new(shape, operation, countPadding, p, VectorWidths.Select(cpu));

    /// <summary>Average over all pixels of an image: <c>[N, pixels, C]</c> → <c>[N, C]</c>.</summary>
    public static PoolKernel GlobalAverage(int batch, int pixels, int channels, CpuFeatures cpu) =>
        Create(new(batch, channels, WindowAxis.Unit, WindowAxis.Unit, new(pixels, pixels, 1, 1, 0, 0, 1)), PoolOperation.Average, false, 1, cpu);

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers) => WorkerBytes * Math.Max(1, workers);

    private long WorkerBytes => ((long)_shape.Taps * sizeof(nint) + 63) & ~63L;

    /// <summary>Pools floats.</summary>
    /// <param name="x">Input.</param>
    /// <param name="y">Output, <paramref name="yStride"/> elements per pixel; must not overlap x.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/> bytes.</param>
    /// <param name="p">Threads.</param>
    /// <param name="yStride">Elements per output pixel; 0 means C.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
    public void Run(ReadOnlySpan<float> x, Span<float> y, Span<byte> scratch, Parallelism p, int yStride = 0)
    {
        fixed (float* xp = x, yp = y) RunPieces((byte*)xp, x.Length, (byte*)yp, y.Length, sizeof(float), yStride, scratch, p, default,
            _width switch
            {
                VectorWidth.V512 => &PoolLoop<Lanes512, Vector512<float>>.Float,
                VectorWidth.V256 => &PoolLoop<Lanes256, Vector256<float>>.Float,
                VectorWidth.V128 => &PoolLoop<Lanes128, Vector128<float>>.Float,
                _ => &PoolLoop<ScalarLanes, float>.Float,
            });
    }

    /// <summary>Pools 8-bit values: the maximum as it is, the average requantized by <paramref name="average"/>.</summary>
    /// <inheritdoc cref="Run(ReadOnlySpan{float}, Span{float}, Span{byte}, Parallelism, int)"/>
    /// <exception cref="NotSupportedException">Lp.</exception>
    public void Run<TType, T>(ReadOnlySpan<T> x, Span<T> y, in QuantizedAverage average, Span<byte> scratch, Parallelism p, int yStride = 0)
        where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        if (_operation == PoolOperation.Lp) throw new NotSupportedException("Lp pooling has no 8-bit form");
        if (_operation == PoolOperation.Average && (long)_shape.Taps * TType.Max > 1 << 24)
            throw new NotSupportedException($"an 8-bit average over {_shape.Taps} taps exceeds 2²⁴");
        fixed (T* xp = x, yp = y) RunPieces((byte*)xp, x.Length, (byte*)yp, y.Length, sizeof(T), yStride, scratch, p, average,
            _width switch
            {
                VectorWidth.V512 => &PoolLoop<Lanes512, Vector512<float>>.QuantizedAtRunTime<TType, T>,
                VectorWidth.V256 => &PoolLoop<Lanes256, Vector256<float>>.Quantized<TType, T>,
                VectorWidth.V128 => &PoolLoop<Lanes128, Vector128<float>>.Quantized<TType, T>,
                _ => &PoolLoop<ScalarLanes, float>.Quantized<TType, T>,
            });
    }

    private void RunPieces(byte* x, int xLength, byte* y, int yLength, int size, int yStride, Span<byte> scratch, Parallelism p,
        QuantizedAverage average, delegate*<PoolArguments*, void> kernel)
    {
        if (yStride == 0) yStride = _shape.Channels;
        int inputs = checked(_shape.Batch * _shape.InputPixels), outputs = checked(_shape.Batch * _shape.OutputPixels);
        if (outputs == 0 || _shape.Channels == 0) return;
        SGemmDriver.Require(xLength, inputs, _shape.Channels, _shape.Channels, "x");
        SGemmDriver.Require(yLength, outputs, _shape.Channels, yStride, "y");
        if (scratch.Length < ScratchBytes(p.MaxWorkers)) throw new ArgumentException($"scratch has {scratch.Length} bytes, {ScratchBytes(p.MaxWorkers)} are needed");
        fixed (byte* bytes = scratch)
        {
            var work = new Pieces { This = this, X = x, Y = y, Size = size, YStride = yStride, Scratch = bytes, Average = average, Kernel = kernel };
            int lines = _shape.Batch * _shape.D.Output * _shape.H.Output;
            long lineWork = Math.Max(1L, (long)_shape.W.Output * _shape.Channels * _shape.Taps);
            work.Lines = lines;
            work.Block = (int)Math.Clamp(65536 / lineWork, 1, lines);
            p.For(ref work, (lines + work.Block - 1) / work.Block);
        }
    }

    private struct Pieces : IPieces
    {
        public PoolKernel This;
        public byte* X, Y, Scratch;
        public int Size, YStride, Lines, Block;
        public QuantizedAverage Average;
        public delegate*<PoolArguments*, void> Kernel;

        public readonly void Run(int piece, int worker)
        {
            int end = Math.Min(Lines, (piece + 1) * Block);
            for (int line = piece * Block; line < end; line++) This.RunLine(this, line, (nint*)(Scratch + worker * This.WorkerBytes));
        }
    }

    private void RunLine(in Pieces work, int line, nint* taps)
    {
        WindowAxis d = _shape.D, h = _shape.H, w = _shape.W;
        int oh = line % h.Output, planes = line / h.Output, od = planes % d.Output, image = planes / d.Output;
        nint pixelBytes = (nint)_shape.Channels * work.Size, step = w.Stride * pixelBytes;
        int count = 0, padded = _countPadding ? Padded(d, od) * Padded(h, oh) : 0;
        bool wasInside = false;
        var arguments = new PoolArguments { Taps = taps, Channels = _shape.Channels, Operation = _operation, P = _p, Average = work.Average };
        byte* y = work.Y + (nint)line * w.Output * work.YStride * work.Size;
        for (int ow = 0; ow < w.Output; ow++)
        {
            int left = ow * w.Stride - w.PadBegin;
            bool inside = left >= 0 && left + w.Span <= w.Input;
            // From one whole window of a line to the next every tap moves alike.
            if (inside && wasInside) for (int i = 0; i < count; i++) taps[i] += step;
            else count = Gather(work.X, d, h, w, image, od, oh, left, pixelBytes, taps);
            wasInside = inside;
            int divisor = _countPadding ? padded * Padded(w, ow) : count;
            arguments.Count = count;
            arguments.Divisor = divisor;
            arguments.Y = y;
            arguments.Multiplier = divisor == 0 ? 0f : work.Average.Ratio / divisor;
            y += work.YStride * work.Size;
            work.Kernel(&arguments);
        }
    }

    /// <summary>Addresses of the taps of one window that lie inside the input.</summary>
    private static int Gather(byte* x, WindowAxis d, WindowAxis h, WindowAxis w, int image, int od, int oh, int left, nint pixelBytes, nint* taps)
    {
        int count = 0;
        for (int kd = 0; kd < d.Kernel; kd++)
        {
            int id = od * d.Stride - d.PadBegin + kd * d.Dilation;
            if ((uint)id >= (uint)d.Input) continue;
            for (int kh = 0; kh < h.Kernel; kh++)
            {
                int ih = oh * h.Stride - h.PadBegin + kh * h.Dilation;
                if ((uint)ih >= (uint)h.Input) continue;
                for (int kw = 0; kw < w.Kernel; kw++)
                {
                    int iw = left + kw * w.Dilation;
                    if ((uint)iw < (uint)w.Input) taps[count++] = (nint)(x + ((((nint)image * d.Input + id) * h.Input + ih) * w.Input + iw) * pixelBytes);
                }
            }
        }
        return count;
    }

    /// <summary>Taps of one axis that lie inside the input or its padding.</summary>
    private static int Padded(WindowAxis axis, int output)
    {
        int first = output * axis.Stride - axis.PadBegin, limit = axis.Input + axis.PadEnd, count = 0;
        for (int t = 0; t < axis.Kernel; t++)
        {
            if (first + t * axis.Dilation < limit) count++;
        }
        return count;
    }
}

/// <summary>One output pixel of a pooling.</summary>
internal unsafe struct PoolArguments
{
    /// <summary>Addresses of the pixels under the window.</summary>
    public nint* Taps;

    /// <summary>How many.</summary>
    public int Count;

    /// <summary>Divisor of an average.</summary>
    public int Divisor;

    /// <summary>Channels.</summary>
    public int Channels;

    /// <summary>What to compute.</summary>
    public PoolOperation Operation;

    /// <summary>Exponent of Lp.</summary>
    public int P;

    /// <summary>The output pixel.</summary>
    public byte* Y;

    /// <summary>Constants of a quantized average.</summary>
    public QuantizedAverage Average;

    /// <summary>Ratio over divisor.</summary>
    public float Multiplier;
}

/// <summary>The channel loops of pooling.</summary>
internal static unsafe class PoolLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Float(PoolArguments* t)
    {
        float* y = (float*)t->Y;
        int channels = t->Channels, count = t->Count;
        nint* taps = t->Taps;
        if (t->Operation == PoolOperation.Lp)
        {
            Lp(t, y);
            return;
        }
        int done = 0;
        if (t->Operation == PoolOperation.Max)
        {
            // Two vectors at a time: the chains of comparisons are long and do not depend on each other. A rest overlaps what is done, which changes nothing.
            while (done < channels && channels >= 2 * TLanes.Count)
            {
                done = Math.Min(done, channels - 2 * TLanes.Count);
                V a = TLanes.Create(float.NegativeInfinity), b = a;
                for (int i = 0; i < count; i++)
                {
                    float* x = (float*)taps[i] + done;
                    a = Larger(a, TLanes.Load(x));
                    b = Larger(b, TLanes.Load(x + TLanes.Count));
                }
                TLanes.Store(a, y + done);
                TLanes.Store(b, y + done + TLanes.Count);
                done += 2 * TLanes.Count;
            }
        }
        else
        {
            // Four at a time for the same reason.
            V divisor = TLanes.Create(t->Divisor);
            while (done < channels && channels >= 4 * TLanes.Count)
            {
                done = Math.Min(done, channels - 4 * TLanes.Count);
                V a = TLanes.Create(0f), b = a, c = a, d = a;
                for (int i = 0; i < count; i++)
                {
                    float* x = (float*)taps[i] + done;
                    a = TLanes.Add(a, TLanes.Load(x));
                    b = TLanes.Add(b, TLanes.Load(x + TLanes.Count));
                    c = TLanes.Add(c, TLanes.Load(x + 2 * TLanes.Count));
                    d = TLanes.Add(d, TLanes.Load(x + 3 * TLanes.Count));
                }
                TLanes.Store(TLanes.Divide(a, divisor), y + done);
                TLanes.Store(TLanes.Divide(b, divisor), y + done + TLanes.Count);
                TLanes.Store(TLanes.Divide(c, divisor), y + done + 2 * TLanes.Count);
                TLanes.Store(TLanes.Divide(d, divisor), y + done + 3 * TLanes.Count);
                done += 4 * TLanes.Count;
            }
        }
        for (int c = done; c < channels; c += TLanes.Count)
        {
            if (channels >= TLanes.Count) c = Math.Min(c, channels - TLanes.Count);
            int rest = Math.Min(TLanes.Count, channels - c);
            V value;
            if (t->Operation == PoolOperation.Max)
            {
                value = TLanes.Create(float.NegativeInfinity);
                for (int i = 0; i < count; i++) value = Larger(value, Load((float*)taps[i] + c, rest));
            }
            else
            {
                value = TLanes.Create(0f);
                for (int i = 0; i < count; i++) value = TLanes.Add(value, Load((float*)taps[i] + c, rest));
                value = TLanes.Divide(value, TLanes.Create(t->Divisor));
            }
            if (rest == TLanes.Count) TLanes.Store(value, y + c);
            else TLanes.StorePartial(value, y + c, rest);
        }
    }

    /// <summary>The larger, or NaN if either is.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Larger(V value, V x) => TLanes.Select(TLanes.Equals(value, value), TLanes.Max(value, x), value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Load(float* x, int count) => count == TLanes.Count ? TLanes.Load(x) : TLanes.LoadPartial(x, count);

    private static void Lp(PoolArguments* t, float* y)
    {
        for (int c = 0; c < t->Channels; c++)
        {
            float sum = 0;
            for (int i = 0; i < t->Count; i++)
            {
                float x = Math.Abs(((float*)t->Taps[i])[c]);
                sum += t->P == 1 ? x : t->P == 2 ? x * x : MathF.Pow(x, t->P);
            }
            y[c] = t->P == 1 ? sum : t->P == 2 ? MathF.Sqrt(sum) : MathF.Pow(sum, 1f / t->P);
        }
    }

    [MethodImpl(HotLoop.Optimized)]
    public static void Quantized<TType, T>(PoolArguments* t) where TType : struct, IQuantizedType<T> where T : unmanaged => QuantizedLoop<TType, T>(t);

    /// <summary>The same, never compiled ahead of time: for lanes that such code may not consist of.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void QuantizedAtRunTime<TType, T>(PoolArguments* t) where TType : struct, IQuantizedType<T> where T : unmanaged => QuantizedLoop<TType, T>(t);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void QuantizedLoop<TType, T>(PoolArguments* t) where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        T* y = (T*)t->Y;
        int c = 0;
        if (t->Operation == PoolOperation.Max && t->Count > 0)
        {
            if (TLanes.Count == Lanes512.Count)
                for (; c <= t->Channels - Vector512<T>.Count; c += Vector512<T>.Count) Max512<T>(t, c).Store(y + c);
            if (TLanes.Count >= Lanes256.Count)
                for (; c <= t->Channels - Vector256<T>.Count; c += Vector256<T>.Count) Max256<T>(t, c).Store(y + c);
            if (TLanes.Count >= Lanes128.Count)
                for (; c <= t->Channels - Vector128<T>.Count; c += Vector128<T>.Count) Max128<T>(t, c).Store(y + c);
        }
        for (; c <= t->Channels - TLanes.Count; c += TLanes.Count) QuantizedLanes.Store<TType, T, TLanes, V>(Pixel<TLanes, V, TType, T>(t, c), y + c);
        for (; c < t->Channels; c++) QuantizedLanes.Store<TType, T, ScalarLanes, float>(Pixel<ScalarLanes, float, TType, T>(t, c), y + c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector512<T> Max512<T>(PoolArguments* t, int c) where T : unmanaged
    {
        nint* taps = t->Taps;
        Vector512<T> max = Vector512.Load((T*)taps[0] + c);
        for (int i = 1; i < t->Count; i++) max = Vector512.Max(max, Vector512.Load((T*)taps[i] + c));
        return max;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<T> Max256<T>(PoolArguments* t, int c) where T : unmanaged
    {
        nint* taps = t->Taps;
        Vector256<T> max = Vector256.Load((T*)taps[0] + c);
        for (int i = 1; i < t->Count; i++) max = Vector256.Max(max, Vector256.Load((T*)taps[i] + c));
        return max;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<T> Max128<T>(PoolArguments* t, int c) where T : unmanaged
    {
        nint* taps = t->Taps;
        Vector128<T> max = Vector128.Load((T*)taps[0] + c);
        for (int i = 1; i < t->Count; i++) max = Vector128.Max(max, Vector128.Load((T*)taps[i] + c));
        return max;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static W Pixel<L, W, TType, T>(PoolArguments* t, int c)
        where L : struct, ILanes<W> where W : unmanaged where TType : struct, IQuantizedType<T> where T : unmanaged
    {
        nint* taps = t->Taps;
        if (t->Operation == PoolOperation.Max)
        {
            W max = L.Create(TType.Min);
            for (int i = 0; i < t->Count; i++) max = L.Max(max, QuantizedLanes.Load<TType, T, L, W>((T*)taps[i] + c));
            return max;
        }
        W sum = L.Create(0f);
        for (int i = 0; i < t->Count; i++) sum = L.Add(sum, QuantizedLanes.Load<TType, T, L, W>((T*)taps[i] + c));
        // Padding that counts is real 0, which is zeroX: it adds nothing to Σ(q − zx), so n is the taps inside.
        W centred = L.Subtract(sum, L.Create((float)t->Count * t->Average.ZeroX));
        W r = L.Round(L.Multiply(centred, L.Create(t->Multiplier)));
        int zeroY = t->Average.ZeroY;
        r = L.Min(L.Create(TType.Max - zeroY), L.Max(L.Create(TType.Min - zeroY), r));
        return L.Add(r, L.Create(zeroY));
    }
}
