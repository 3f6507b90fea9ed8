using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Lanes;
using Octet.Kernels.SGemm;

namespace Octet.Kernels.SConv;

/// <summary>What a block of depthwise outputs needs: some neighbouring pixels of some lines, all channels, the same taps for all.</summary>
internal unsafe struct SDepthwiseArguments
{
    /// <summary>Input that the offsets count from for the first line.</summary>
    public float* X;

    /// <summary>Floats from <see cref="X"/> to where each tap of the first pixel reads.</summary>
    public nint* Offsets;

    /// <summary>The weights of each tap, one float per channel, padded to whole vectors.</summary>
    public float** W;

    /// <summary>How many taps.</summary>
    public nint Taps;

    /// <summary>Channels.</summary>
    public int Channels;

    /// <summary>Lines of outputs.</summary>
    public int Lines;

    /// <summary>Floats between the windows of neighbouring outputs.</summary>
    public nint XStep;

    /// <summary>Floats between the windows of neighbouring lines.</summary>
    public nint XLine;

    /// <summary>Floats from <see cref="X"/> to input that the second line is the first to read.</summary>
    public nint Next;

    /// <summary>Input lines of that.</summary>
    public int NextLines;

    /// <summary>Floats between these.</summary>
    public nint NextStep;

    /// <summary>Neighbouring pixels of each.</summary>
    public int NextPixels;

    /// <summary>Start value per channel, padded to whole vectors.</summary>
    public float* Bias;

    /// <summary>Added to the result; null for none.</summary>
    public float* Sum;

    /// <summary>Floats between neighbouring pixels of <see cref="Sum"/>.</summary>
    public nint SumStep;

    /// <summary>Floats between its lines.</summary>
    public nint SumLine;

    /// <summary>Output.</summary>
    public float* Y;

    /// <summary>Floats between neighbouring outputs.</summary>
    public nint YStep;

    /// <summary>Floats between lines of outputs.</summary>
    public nint YLine;

    /// <summary>Whether to clamp.</summary>
    public bool Clamps;

    /// <summary>Whether to clamp before the sum.</summary>
    public bool ClampFirst;

    /// <summary>Lower limit.</summary>
    public float Low;

    /// <summary>Upper limit.</summary>
    public float High;

    /// <summary>Asks for the input that the line after <paramref name="origin"/>'s is the first to read.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly void Prefetch<TLanes, V>(float* origin) where TLanes : struct, ILanes<V> where V : unmanaged
    {
        for (nint i = 0; i < NextLines; i++)
        {
            float* next = origin + Next + i * NextStep;
            for (nint j = NextPixels; j > 0; j--, next += Channels) TLanes.PrefetchNear(next);
        }
    }
}

/// <summary>
/// Depthwise outputs, vectorized over channels: <c>y[line, p, c] = bias[c] + Σ over taps of x[line, tap, p, c] · w[tap, c]</c>, for up to six neighbouring
/// pixels. All lines of two vectors of channels follow each other, so that the input lines that they share stay in L1 whatever the number of channels.
/// </summary>
/// <remarks>
/// Six pixels by two vectors share each weight load: 12 accumulators + 2 w ≤ 16 registers of 256 bits; x is a memory operand. One chain of additions in
/// tap order per output, whatever the shape of the block.
/// </remarks>
internal static unsafe class SDepthwiseTile<TLanes, V, TRows> where TLanes : struct, ILanes<V> where V : unmanaged where TRows : unmanaged, ITileRows
{
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Run(SDepthwiseArguments* t)
    {
        int c = 0;
        if (t->Sum == null || !(t->Clamps && t->ClampFirst))
        {
            for (; c <= t->Channels - 2 * TLanes.Count; c += 2 * TLanes.Count)
                for (int line = 0; line < t->Lines; line++) Block<Rows2>(t, line, c);
            for (; c <= t->Channels - TLanes.Count; c += TLanes.Count)
                for (int line = 0; line < t->Lines; line++) Block<Rows1>(t, line, c);
        }
        for (; c < t->Channels; c += TLanes.Count) SDepthwiseRest<TLanes, V>.Run(t, sizeof(TRows), c);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Block<TVectors>(SDepthwiseArguments* t, nint line, nint c) where TVectors : unmanaged, ITileRows
    {
        V a0 = TLanes.Load(t->Bias + c), b0 = a0;
        if (sizeof(TVectors) > 1) b0 = TLanes.Load(t->Bias + c + TLanes.Count);
        V a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, b1 = b0, b2 = b0, b3 = b0, b4 = b0, b5 = b0;
        nint s = t->XStep, s2 = 2 * s, s3 = 3 * s, s4 = 4 * s, s5 = 5 * s;
        float* origin = t->X + line * t->XLine + c;
        t->Prefetch<TLanes, V>(origin);
        nint* offsets = t->Offsets;
        float** ws = t->W;
        for (nint tap = t->Taps; tap > 0; tap--, offsets++, ws++)
        {
            float* x = origin + *offsets, w = *ws + c, p;
            V w0 = TLanes.Load(w), w1 = w0;
            if (sizeof(TVectors) > 1) w1 = TLanes.Load(w + TLanes.Count);
            p = x;
            a0 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a0);
            if (sizeof(TVectors) > 1) b0 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b0);
            if (sizeof(TRows) > 1)
            {
                p = x + s;
                a1 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a1);
                if (sizeof(TVectors) > 1) b1 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b1);
            }
            if (sizeof(TRows) > 2)
            {
                p = x + s2;
                a2 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a2);
                if (sizeof(TVectors) > 1) b2 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b2);
            }
            if (sizeof(TRows) > 3)
            {
                p = x + s3;
                a3 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a3);
                if (sizeof(TVectors) > 1) b3 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b3);
            }
            if (sizeof(TRows) > 4)
            {
                p = x + s4;
                a4 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a4);
                if (sizeof(TVectors) > 1) b4 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b4);
            }
            if (sizeof(TRows) > 5)
            {
                p = x + s5;
                a5 = TLanes.MultiplyAdd(TLanes.Load(p), w0, a5);
                if (sizeof(TVectors) > 1) b5 = TLanes.MultiplyAdd(TLanes.Load(p + TLanes.Count), w1, b5);
            }
        }

        if (t->Sum != null)
        {
            float* sum = t->Sum + line * t->SumLine + c;
            a0 = TLanes.Add(a0, TLanes.Load(sum));
            if (sizeof(TVectors) > 1) b0 = TLanes.Add(b0, TLanes.Load(sum + TLanes.Count));
            if (sizeof(TRows) > 1)
            {
                sum += t->SumStep;
                a1 = TLanes.Add(a1, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) b1 = TLanes.Add(b1, TLanes.Load(sum + TLanes.Count));
            }
            if (sizeof(TRows) > 2)
            {
                sum += t->SumStep;
                a2 = TLanes.Add(a2, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) b2 = TLanes.Add(b2, TLanes.Load(sum + TLanes.Count));
            }
            if (sizeof(TRows) > 3)
            {
                sum += t->SumStep;
                a3 = TLanes.Add(a3, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) b3 = TLanes.Add(b3, TLanes.Load(sum + TLanes.Count));
            }
            if (sizeof(TRows) > 4)
            {
                sum += t->SumStep;
                a4 = TLanes.Add(a4, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) b4 = TLanes.Add(b4, TLanes.Load(sum + TLanes.Count));
            }
            if (sizeof(TRows) > 5)
            {
                sum += t->SumStep;
                a5 = TLanes.Add(a5, TLanes.Load(sum));
                if (sizeof(TVectors) > 1) b5 = TLanes.Add(b5, TLanes.Load(sum + TLanes.Count));
            }
        }

        // Limits of ∓∞ change nothing, NaN included.
        V low = TLanes.Create(t->Clamps ? t->Low : float.NegativeInfinity), high = TLanes.Create(t->Clamps ? t->High : float.PositiveInfinity);
        float* y = t->Y + line * t->YLine + c;
        TLanes.Store(TLanes.Min(high, TLanes.Max(low, a0)), y);
        if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b0)), y + TLanes.Count);
        if (sizeof(TRows) > 1)
        {
            y += t->YStep;
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, a1)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b1)), y + TLanes.Count);
        }
        if (sizeof(TRows) > 2)
        {
            y += t->YStep;
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, a2)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b2)), y + TLanes.Count);
        }
        if (sizeof(TRows) > 3)
        {
            y += t->YStep;
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, a3)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b3)), y + TLanes.Count);
        }
        if (sizeof(TRows) > 4)
        {
            y += t->YStep;
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, a4)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b4)), y + TLanes.Count);
        }
        if (sizeof(TRows) > 5)
        {
            y += t->YStep;
            TLanes.Store(TLanes.Min(high, TLanes.Max(low, a5)), y);
            if (sizeof(TVectors) > 1) TLanes.Store(TLanes.Min(high, TLanes.Max(low, b5)), y + TLanes.Count);
        }
    }
}

/// <summary>What <see cref="SDepthwiseTile{TLanes, V, TRows}"/> leaves over: channels that fill no vector, and a sum after a clamp.</summary>
internal static unsafe class SDepthwiseRest<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
{
    /// <summary>One vector of channels, or fewer, of every pixel.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    public static void Run(SDepthwiseArguments* t, int pixels, int c)
    {
        int count = Math.Min(t->Channels - c, TLanes.Count);
        bool before = t->Clamps && t->ClampFirst, after = t->Clamps && !t->ClampFirst;
        V low = TLanes.Create(t->Low), high = TLanes.Create(t->High);
        for (nint line = 0; line < t->Lines; line++)
        {
            for (nint pixel = 0; pixel < pixels; pixel++)
            {
                V a = TLanes.Load(t->Bias + c);
                float* x = t->X + line * t->XLine + pixel * t->XStep + c;
                for (nint tap = 0; tap < t->Taps; tap++)
                    a = TLanes.MultiplyAdd(LoadUpTo(x + t->Offsets[tap], count), TLanes.Load(t->W[tap] + c), a);
                if (before) a = TLanes.Min(high, TLanes.Max(low, a));
                if (t->Sum != null) a = TLanes.Add(a, LoadUpTo(t->Sum + line * t->SumLine + pixel * t->SumStep + c, count));
                if (after) a = TLanes.Min(high, TLanes.Max(low, a));
                float* y = t->Y + line * t->YLine + pixel * t->YStep + c;
                if (count == TLanes.Count) TLanes.Store(a, y);
                else TLanes.StorePartial(a, y, count);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V LoadUpTo(float* source, int count) => count == TLanes.Count ? TLanes.Load(source) : TLanes.LoadPartial(source, count);
}

/// <summary>The depthwise kernels.</summary>
internal static unsafe class SDepthwiseKernels
{
    /// <summary>Pixels of the largest tile.</summary>
    public const int MaxPixels = 6;

    /// <summary>The tile of <paramref name="pixels"/> ≤ <see cref="MaxPixels"/> pixels.</summary>
    public static delegate*<SDepthwiseArguments*, void> Tile(VectorWidth width, int pixels) => width switch
    {
        VectorWidth.V512 => Tile<Lanes512, Vector512<float>>(pixels),
        VectorWidth.V256 => Tile<Lanes256, Vector256<float>>(pixels),
        VectorWidth.V128 => Tile<Lanes128, Vector128<float>>(pixels),
        _ => Tile<ScalarLanes, float>(pixels),
    };

    private static delegate*<SDepthwiseArguments*, void> Tile<TLanes, V>(int pixels) where TLanes : struct, ILanes<V> where V : unmanaged => pixels switch
    {
        1 => &SDepthwiseTile<TLanes, V, Rows1>.Run,
        2 => &SDepthwiseTile<TLanes, V, Rows2>.Run,
        3 => &SDepthwiseTile<TLanes, V, Rows3>.Run,
        4 => &SDepthwiseTile<TLanes, V, Rows4>.Run,
        5 => &SDepthwiseTile<TLanes, V, Rows5>.Run,
        _ => &SDepthwiseTile<TLanes, V, Rows6>.Run,
    };
}
