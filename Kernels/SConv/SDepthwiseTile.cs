using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.SConv;

/// <summary>What a run of depthwise outputs needs.</summary>
internal unsafe struct SDepthwiseArguments
{
    /// <summary>Taps inside the input: where each reads for the first output.</summary>
    public float** X;

    /// <summary>The weights of each of these taps, one float per channel, padded to whole vectors.</summary>
    public float** W;

    /// <summary>How many taps.</summary>
    public int Taps;

    /// <summary>Channels.</summary>
    public int Channels;

    /// <summary>Neighbouring outputs.</summary>
    public int Pixels;

    /// <summary>Floats between the windows of neighbouring outputs.</summary>
    public nint XStep;

    /// <summary>Start value per channel, padded to whole vectors.</summary>
    public float* Bias;

    /// <summary>Added to the result; null for none.</summary>
    public float* Sum;

    /// <summary>Floats between neighbouring pixels of <see cref="Sum"/>.</summary>
    public nint SumStep;

    /// <summary>Output.</summary>
    public float* Y;

    /// <summary>Floats between neighbouring outputs.</summary>
    public nint YStep;

    /// <summary>Whether to clamp.</summary>
    public bool Clamps;

    /// <summary>Whether to clamp before the sum.</summary>
    public bool ClampFirst;

    /// <summary>Lower limit.</summary>
    public float Low;

    /// <summary>Upper limit.</summary>
    public float High;
}

/// <summary>
/// Depthwise outputs, vectorized over channels: <c>y[p, c] = bias[c] + Σ over taps of x[tap, p, c] · w[tap, c]</c>. Four pixels by two vectors
/// share each weight load; rests in pixels and channels use fewer. One chain of additions in tap order per output, whatever the shape of
/// the block.
/// </summary>
internal static unsafe class SDepthwiseTile<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    private const int PixelBlock = 4;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SDepthwiseArguments* t)
    {
        int pixel = 0;
        for (; pixel <= t->Pixels - PixelBlock; pixel += PixelBlock)
        {
            int c = 0;
            for (; c <= t->Channels - 2 * TLanes.Count; c += 2 * TLanes.Count) FourByTwo(t, pixel, c);
            for (; c < t->Channels; c += TLanes.Count) FourByOne(t, pixel, c);
        }
        for (; pixel < t->Pixels; pixel++)
        {
            int c = 0;
            for (; c <= t->Channels - 4 * TLanes.Count; c += 4 * TLanes.Count) OneByFour(t, pixel, c);
            for (; c < t->Channels; c += TLanes.Count) One(t, pixel, c);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourByTwo(SDepthwiseArguments* t, int pixel, int c)
    {
        V a0 = TLanes.Load(t->Bias + c), b0 = TLanes.Load(t->Bias + c + TLanes.Count);
        V a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;
        nint step = t->XStep, offset = pixel * step + c;
        float** xs = t->X;
        float** ws = t->W;
        for (nint tap = 0; tap < t->Taps; tap++)
        {
            float* x = xs[tap] + offset;
            V w0 = TLanes.Load(ws[tap] + c), w1 = TLanes.Load(ws[tap] + c + TLanes.Count);
            a0 = TLanes.MultiplyAdd(TLanes.Load(x), w0, a0);
            b0 = TLanes.MultiplyAdd(TLanes.Load(x + TLanes.Count), w1, b0);
            x += step;
            a1 = TLanes.MultiplyAdd(TLanes.Load(x), w0, a1);
            b1 = TLanes.MultiplyAdd(TLanes.Load(x + TLanes.Count), w1, b1);
            x += step;
            a2 = TLanes.MultiplyAdd(TLanes.Load(x), w0, a2);
            b2 = TLanes.MultiplyAdd(TLanes.Load(x + TLanes.Count), w1, b2);
            x += step;
            a3 = TLanes.MultiplyAdd(TLanes.Load(x), w0, a3);
            b3 = TLanes.MultiplyAdd(TLanes.Load(x + TLanes.Count), w1, b3);
        }
        Store(t, pixel, c, a0);
        Store(t, pixel, c + TLanes.Count, b0);
        Store(t, pixel + 1, c, a1);
        Store(t, pixel + 1, c + TLanes.Count, b1);
        Store(t, pixel + 2, c, a2);
        Store(t, pixel + 2, c + TLanes.Count, b2);
        Store(t, pixel + 3, c, a3);
        Store(t, pixel + 3, c + TLanes.Count, b3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FourByOne(SDepthwiseArguments* t, int pixel, int c)
    {
        V a0 = TLanes.Load(t->Bias + c);
        V a1 = a0, a2 = a0, a3 = a0;
        nint step = t->XStep, offset = pixel * step + c;
        int count = t->Channels - c;
        for (nint tap = 0; tap < t->Taps; tap++)
        {
            float* x = t->X[tap] + offset;
            V w = TLanes.Load(t->W[tap] + c);
            a0 = TLanes.MultiplyAdd(LoadUpTo(x, count), w, a0);
            a1 = TLanes.MultiplyAdd(LoadUpTo(x + step, count), w, a1);
            a2 = TLanes.MultiplyAdd(LoadUpTo(x + 2 * step, count), w, a2);
            a3 = TLanes.MultiplyAdd(LoadUpTo(x + 3 * step, count), w, a3);
        }
        Store(t, pixel, c, a0);
        Store(t, pixel + 1, c, a1);
        Store(t, pixel + 2, c, a2);
        Store(t, pixel + 3, c, a3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void OneByFour(SDepthwiseArguments* t, int pixel, int c)
    {
        V a0 = TLanes.Load(t->Bias + c), a1 = TLanes.Load(t->Bias + c + TLanes.Count), a2 = TLanes.Load(t->Bias + c + 2 * TLanes.Count), a3 = TLanes.Load(t->Bias + c + 3 * TLanes.Count);
        nint offset = pixel * t->XStep + c;
        for (nint tap = 0; tap < t->Taps; tap++)
        {
            float* x = t->X[tap] + offset, w = t->W[tap] + c;
            a0 = TLanes.MultiplyAdd(TLanes.Load(x), TLanes.Load(w), a0);
            a1 = TLanes.MultiplyAdd(TLanes.Load(x + TLanes.Count), TLanes.Load(w + TLanes.Count), a1);
            a2 = TLanes.MultiplyAdd(TLanes.Load(x + 2 * TLanes.Count), TLanes.Load(w + 2 * TLanes.Count), a2);
            a3 = TLanes.MultiplyAdd(TLanes.Load(x + 3 * TLanes.Count), TLanes.Load(w + 3 * TLanes.Count), a3);
        }
        Store(t, pixel, c, a0);
        Store(t, pixel, c + TLanes.Count, a1);
        Store(t, pixel, c + 2 * TLanes.Count, a2);
        Store(t, pixel, c + 3 * TLanes.Count, a3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void One(SDepthwiseArguments* t, int pixel, int c)
    {
        V a = TLanes.Load(t->Bias + c);
        nint offset = pixel * t->XStep + c;
        int count = t->Channels - c;
        for (nint tap = 0; tap < t->Taps; tap++)
            a = TLanes.MultiplyAdd(LoadUpTo(t->X[tap] + offset, count), TLanes.Load(t->W[tap] + c), a);
        Store(t, pixel, c, a);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LoadUpTo(float* source, int count) => count >= TLanes.Count ? TLanes.Load(source) : TLanes.LoadPartial(source, count);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(SDepthwiseArguments* t, int pixel, int c, V value)
    {
        int count = t->Channels - c;
        if (t->Clamps && t->ClampFirst) value = Clamp(t, value);
        if (t->Sum != null) value = TLanes.Add(value, LoadUpTo(t->Sum + pixel * t->SumStep + c, count));
        if (t->Clamps && !t->ClampFirst) value = Clamp(t, value);
        float* y = t->Y + pixel * t->YStep + c;
        if (count >= TLanes.Count) TLanes.Store(value, y);
        else TLanes.StorePartial(value, y, count);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Clamp(SDepthwiseArguments* t, V value) =>
        TLanes.Min(TLanes.Create(t->High), TLanes.Max(TLanes.Create(t->Low), value));
}

/// <summary>The depthwise kernel of each width.</summary>
internal static unsafe class SDepthwiseKernels
{
    /// <summary>The tile for <paramref name="width"/>.</summary>
    public static delegate*<SDepthwiseArguments*, void> ForWidth(VectorWidth width) => width switch
    {
        VectorWidth.V512 => &SDepthwiseTile<Lanes512, Vector512<float>>.Run,
        VectorWidth.V256 => &SDepthwiseTile<Lanes256, Vector256<float>>.Run,
        VectorWidth.V128 => &SDepthwiseTile<Lanes128, Vector128<float>>.Run,
        _ => &SDepthwiseTile<ScalarLanes, float>.Run,
    };
}
