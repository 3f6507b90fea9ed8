using System.Numerics;
using Octet.Kernels.Geometry;
using Octet.Kernels.Pool;
using Octet.Kernels.Threading;

namespace Octet.Runtime.Operators;

/// <summary>How a pooling combines the elements of a window.</summary>
internal interface IPoolFunction<T> where T : unmanaged, INumber<T>
{
    /// <summary>The result of nothing.</summary>
    static abstract T Start { get; }

    /// <summary>Takes one more element.</summary>
    static abstract T Add(T accumulator, T x);

    /// <summary>Takes one more element in each lane.</summary>
    static abstract Vector<T> Add(Vector<T> accumulator, Vector<T> x);

    /// <summary>The result of <paramref name="count"/> elements.</summary>
    static abstract T Finish(T accumulator, T count);

    /// <summary>Whether the result is the same in whatever order elements are taken.</summary>
    static abstract bool AnyOrder { get; }
}

/// <summary>Maximum; where a window lies wholly in the padding, the smallest value.</summary>
internal readonly struct MaxFunction<T> : IPoolFunction<T> where T : unmanaged, INumber<T>
{
    public static T Start { get; } = T.CreateSaturating(double.NegativeInfinity);
    public static T Add(T accumulator, T x) => x > accumulator ? x : accumulator;
    public static Vector<T> Add(Vector<T> accumulator, Vector<T> x) => Vector.ConditionalSelect(Vector.GreaterThan(x, accumulator), x, accumulator);
    public static T Finish(T accumulator, T count) => accumulator;
    public static bool AnyOrder => true;
}

/// <summary>Sum divided by the number of elements.</summary>
internal readonly struct MeanFunction<T> : IPoolFunction<T> where T : unmanaged, INumber<T>
{
    public static T Start => T.Zero;
    public static T Add(T accumulator, T x) => accumulator + x;
    public static Vector<T> Add(Vector<T> accumulator, Vector<T> x) => accumulator + x;
    public static T Finish(T accumulator, T count) => count == T.Zero ? T.Zero : accumulator / count;
    public static bool AnyOrder => false;
}

/// <summary>A pooling by <typeparamref name="TFunction"/>, elements taken in row-major order of the window, channels-first or -last.</summary>
/// <param name="shape">Extents.</param>
/// <param name="channelsLast">Whether x and y are <c>[N, …, C]</c>.</param>
/// <param name="countPadding">Whether padding counts as elements (zeros), as far as it lies within the padded input.</param>
internal sealed class WindowPoolStep<T, TFunction>(PoolShape shape, bool channelsLast, bool countPadding) : Step
    where T : unmanaged, INumber<T> where TFunction : struct, IPoolFunction<T>
{
    public override string Kernel => $"{typeof(TFunction).Name.Split('F')[0].ToLowerInvariant()} {typeof(T).Name.ToLowerInvariant()} {(channelsLast ? "channels-last" : "channels-first")}";

    public override void Run(StepContext c)
    {
        var work = new Pieces(this, c);
        c.Parallel.For(ref work, channelsLast ? shape.Batch * shape.D.Output * shape.H.Output : shape.Batch * shape.Channels);
    }

    private readonly struct Pieces(WindowPoolStep<T, TFunction> step, StepContext c) : IPieces
    {
        public void Run(int piece, int worker)
        {
            if (step.IsChannelsLast) step.RunLine(piece, c.Input<T>(0), c.Output<T>(0));
            else step.RunPlane(piece, c.Input<T>(0), c.Output<T>(0));
        }
    }

    private bool IsChannelsLast => channelsLast;

    /// <summary>One channel of one image.</summary>
    private void RunPlane(int plane, ReadOnlySpan<T> x, Span<T> y)
    {
        WindowAxis h = shape.H, w = shape.W;
        x = x.Slice(plane * shape.InputPixels, shape.InputPixels);
        y = y.Slice(plane * shape.OutputPixels, shape.OutputPixels);
        int at = 0;
        for (int od = 0; od < shape.D.Output; od++)
        {
            var dTaps = new Taps(shape.D, od);
            for (int oh = 0; oh < h.Output; oh++)
            {
                var hTaps = new Taps(h, oh);
                for (int ow = 0; ow < w.Output; ow++)
                {
                    var wTaps = new Taps(w, ow);
                    T accumulator = TFunction.Start;
                    for (int id = dTaps.First; id < dTaps.End; id += shape.D.Dilation)
                    {
                        for (int ih = hTaps.First; ih < hTaps.End; ih += h.Dilation)
                        {
                            ReadOnlySpan<T> row = x.Slice((id * h.Input + ih) * w.Input, w.Input);
                            if (TFunction.AnyOrder && w.Dilation == 1 && wTaps.Inside >= 2 * Vector<T>.Count)
                            {
                                accumulator = Along(row.Slice(wTaps.First, wTaps.Inside), accumulator);
                                continue;
                            }
                            for (int iw = wTaps.First; iw < wTaps.End; iw += w.Dilation) accumulator = TFunction.Add(accumulator, row[iw]);
                        }
                    }
                    y[at++] = TFunction.Finish(accumulator, Count(dTaps, hTaps, wTaps));
                }
            }
        }
    }

    /// <summary>Takes neighbouring elements, vectors first.</summary>
    private static T Along(ReadOnlySpan<T> row, T accumulator)
    {
        var lanes = new Vector<T>(TFunction.Start);
        int i = 0;
        for (; i <= row.Length - Vector<T>.Count; i += Vector<T>.Count) lanes = TFunction.Add(lanes, new Vector<T>(row[i..]));
        for (int lane = 0; lane < Vector<T>.Count; lane++) accumulator = TFunction.Add(accumulator, lanes[lane]);
        for (; i < row.Length; i++) accumulator = TFunction.Add(accumulator, row[i]);
        return accumulator;
    }

    /// <summary>One row of output positions, all channels.</summary>
    private void RunLine(int line, ReadOnlySpan<T> x, Span<T> y)
    {
        WindowAxis h = shape.H, w = shape.W;
        int channels = shape.Channels, oh = line % h.Output, od = line / h.Output % shape.D.Output, n = line / (h.Output * shape.D.Output);
        x = x.Slice(n * shape.InputPixels * channels, shape.InputPixels * channels);
        Taps dTaps = new(shape.D, od), hTaps = new(h, oh);
        for (int ow = 0; ow < w.Output; ow++)
        {
            var wTaps = new Taps(w, ow);
            Span<T> result = y.Slice((line * w.Output + ow) * channels, channels);
            result.Fill(TFunction.Start);
            for (int id = dTaps.First; id < dTaps.End; id += shape.D.Dilation)
            {
                for (int ih = hTaps.First; ih < hTaps.End; ih += h.Dilation)
                {
                    for (int iw = wTaps.First; iw < wTaps.End; iw += w.Dilation)
                    {
                        ReadOnlySpan<T> pixel = x.Slice(((id * h.Input + ih) * w.Input + iw) * channels, channels);
                        int i = 0;
                        for (; i <= channels - Vector<T>.Count; i += Vector<T>.Count) TFunction.Add(new Vector<T>(result[i..]), new Vector<T>(pixel[i..])).CopyTo(result[i..]);
                        for (; i < channels; i++) result[i] = TFunction.Add(result[i], pixel[i]);
                    }
                }
            }
            T count = Count(dTaps, hTaps, wTaps);
            for (int i = 0; i < channels; i++) result[i] = TFunction.Finish(result[i], count);
        }
    }

    private T Count(Taps d, Taps h, Taps w) =>
        T.CreateTruncating(countPadding ? (long)d.Padded * h.Padded * w.Padded : (long)d.Inside * h.Inside * w.Inside);
}

/// <summary>Which elements of one axis a window reads.</summary>
internal readonly struct Taps
{
    /// <summary>The taps of window <paramref name="output"/>.</summary>
    public Taps(WindowAxis axis, int output)
    {
        int start = output * axis.Stride - axis.PadBegin, end = start + axis.Span;
        First = start >= 0 ? start : start + (-start + axis.Dilation - 1) / axis.Dilation * axis.Dilation;
        End = Math.Min(end, axis.Input);
        Inside = End > First ? (End - First + axis.Dilation - 1) / axis.Dilation : 0;
        int paddedEnd = Math.Min(end, axis.Input + axis.PadEnd);
        Padded = paddedEnd > start ? (paddedEnd - start + axis.Dilation - 1) / axis.Dilation : 0;
    }

    /// <summary>First position inside the input.</summary>
    public int First { get; }

    /// <summary>Position behind the last inside the input.</summary>
    public int End { get; }

    /// <summary>Taps inside the input.</summary>
    public int Inside { get; }

    /// <summary>Taps inside the padded input.</summary>
    public int Padded { get; }
}
