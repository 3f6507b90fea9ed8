using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>
/// Float transposed convolution, gathered: outputs whose positions agree modulo the stride read the same taps, so each of these phases is an
/// ordinary convolution of its own, and every output is written once.
/// </summary>
/// <remarks>
/// <code>y[n, o·, c′] = bias + Σ x[n, i·, c] · w[c, c′, k·]   over  i · stride − padBegin + k · dilation = o</code>
/// In <see cref="ConvShape"/>'s axes, Input and Output keep their names: x has the Input extents.
/// </remarks>
internal sealed unsafe class SConvTranspose
{
    private readonly ConvShape _shape;
    private readonly SEpilogue _epilogue;
    private readonly SConvIndirect[] _phases;

    private SConvTranspose(ConvShape shape, SEpilogue epilogue, SConvIndirect[] phases)
    {
        (_shape, _epilogue, _phases) = (shape, epilogue, phases);
    }

    /// <summary>Packs weights and prepares a transposed convolution.</summary>
    /// <param name="shape">Extents; Output is given and includes any output padding.</param>
    /// <param name="weights"><c>[C, O/G, KD, KH, KW]</c>, as ONNX ConvTranspose has them.</param>
    /// <param name="e">Bias and activation.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">Weights or epilogue do not have the shape's extents.</exception>
    public static SConvTranspose Create(ConvShape shape, ReadOnlySpan<float> weights, SEpilogue e, CpuFeatures cpu)
    {
        int taps = shape.Taps, n = shape.GroupOutChannels, c = shape.GroupInChannels;
        if (weights.Length != (long)shape.InChannels * n * taps)
            throw new ArgumentException($"weights have {weights.Length} elements; [C, O/G, taps] = [{shape.InChannels}, {n}, {taps}]", nameof(weights));
        if (e.Channels != shape.OutChannels)
            throw new ArgumentException($"the epilogue has {e.Channels} channels, the convolution {shape.OutChannels}", nameof(e));

        SGemmKernel kernel = SGemmKernels.Select(shape.InputPixels, n, c, cpu);
        var phases = new List<SConvIndirect>();
        for (int pd = 0; pd < Math.Min(shape.D.Stride, shape.D.Output); pd++)
            for (int ph = 0; ph < Math.Min(shape.H.Stride, shape.H.Output); ph++)
                for (int pw = 0; pw < Math.Min(shape.W.Stride, shape.W.Output); pw++)
                {
                    SWindow d = SWindow.Transposed(shape.D, pd), h = SWindow.Transposed(shape.H, ph), w = SWindow.Transposed(shape.W, pw);
                    int[] used = [.. d.Taps.SelectMany(kd => h.Taps.SelectMany(kh => w.Taps.Select(kw => (kd * shape.H.Kernel + kh) * shape.W.Kernel + kw)))];
                    var matrices = new SGemmWeights[shape.Groups];
                    var dense = new float[used.Length * c * n];   // [tap, channel, output channel]
                    for (int g = 0; g < shape.Groups; g++)
                    {
                        for (int t = 0; t < used.Length; t++)
                            for (int ic = 0; ic < c; ic++)
                                for (int o = 0; o < n; o++)
                                    dense[(t * c + ic) * n + o] = weights[((g * c + ic) * n + o) * taps + used[t]];
                        matrices[g] = SGemmWeights.Pack(dense, used.Length * c, n, false, kernel);
                    }
                    phases.Add(new(shape.Batch, shape.InChannels, shape.OutChannels, d, h, w, shape.D.Output, shape.H.Output, shape.W.Output, matrices));
                }
        return new(shape, e, [.. phases]);
    }

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers)
    {
        long bytes = 0;
        foreach (SConvIndirect phase in _phases) bytes = Math.Max(bytes, phase.ScratchBytes(workers));
        return bytes;
    }

    /// <summary>Runs it; parameters as in <see cref="SConvolution.Run"/>.</summary>
    public void Run(ReadOnlySpan<float> x, ReadOnlySpan<float> sum, Span<float> y, Span<byte> scratch, Parallelism p, int yStride = 0, int sumStride = 0)
    {
        int pixels = checked(_shape.Batch * _shape.OutputPixels), o = _shape.OutChannels;
        if (yStride == 0) yStride = o;
        if (sumStride == 0) sumStride = o;
        if (pixels == 0 || o == 0) return;
        SGemmDriver.Require(x.Length, checked(_shape.Batch * _shape.InputPixels), _shape.InChannels, _shape.InChannels, "x");
        SGemmDriver.Require(y.Length, pixels, o, yStride, "y");
        if (!sum.IsEmpty) SGemmDriver.Require(sum.Length, pixels, o, sumStride, "sum");
        if (scratch.Length < ScratchBytes(p.MaxWorkers)) throw new ArgumentException($"scratch has {scratch.Length} bytes, {ScratchBytes(p.MaxWorkers)} are needed");
        fixed (float* xp = x, sp = sum, yp = y)
        fixed (byte* bytes = scratch)
        {
            foreach (SConvIndirect phase in _phases) phase.Run(xp, sum.IsEmpty ? null : sp, sumStride, yp, yStride, _epilogue, bytes, p);
        }
    }
}
