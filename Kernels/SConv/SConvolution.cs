using Octet.Kernels.Cpu;
using Octet.Kernels.Geometry;
using Octet.Kernels.Lanes;
using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;

namespace Octet.Kernels.SConv;

/// <summary>How a float convolution is computed.</summary>
internal enum SConvMethod
{
    /// <summary>A matrix product of pixels and weights, read in place.</summary>
    Pointwise,

    /// <summary>Matrix tiles over row pointers, one segment per tap.</summary>
    Indirect,

    /// <summary>Matrix tiles over window rows of consecutive floats; for few input channels.</summary>
    Rows,

    /// <summary>One filter per channel, vectorized over channels.</summary>
    Depthwise,

    /// <summary>Winograd's F(2×2, 3×3).</summary>
    WinogradTwo,

    /// <summary>Winograd's F(4×4, 3×3).</summary>
    WinogradFour,
}

/// <summary>The weights of a float convolution, packed for a method and a CPU. Immutable, shared between threads and sessions.</summary>
internal sealed class SConvWeights
{
    /// <summary>Input channels below which whole window rows beat single taps: the depth of a tap is then too short for the tile's loop.</summary>
    private const int RowsBelowChannels = 16;

    private SConvWeights(ConvShape shape, SConvMethod method, string reason, SGemmWeights[] matrices, AlignedBuffer? depthwise, VectorWidth width)
    {
        (Shape, Method, Reason, Matrices, Depthwise, Width) = (shape, method, reason, matrices, depthwise, width);
    }

    /// <summary>The shape that the weights were packed for; batch and spatial extents may differ from those of a run.</summary>
    public ConvShape Shape { get; }

    /// <summary>The method.</summary>
    public SConvMethod Method { get; }

    /// <summary>Why this method.</summary>
    public string Reason { get; }

    /// <summary>One matrix per group, or per position of a Winograd tile, or none.</summary>
    public SGemmWeights[] Matrices { get; }

    /// <summary>Depthwise filters, or null.</summary>
    public AlignedBuffer? Depthwise { get; }

    /// <summary>Register width of the depthwise kernel.</summary>
    public VectorWidth Width { get; }

    /// <summary>Memory held.</summary>
    public long Bytes => Matrices.Sum(w => w.Bytes) + (Depthwise?.Length ?? 0);

    /// <summary>Packs weights for the method that <see cref="Choose"/> names.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="weights"><c>[O, C/G, KD, KH, KW]</c>.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="winograd">Whether Winograd's methods may be chosen.</param>
    /// <exception cref="ArgumentException"><paramref name="weights"/> has another length than the shape says.</exception>
    public static SConvWeights Pack(ConvShape shape, ReadOnlySpan<float> weights, CpuFeatures cpu, bool winograd = false)
    {
        (SConvMethod method, string reason) = Choose(shape, cpu, winograd);
        return Pack(shape, weights, cpu, method, reason);
    }

    /// <summary>Packs weights for a method, whether or not it is the fastest.</summary>
    /// <exception cref="ArgumentException"><paramref name="weights"/> has another length than the shape says, or the method does not take the shape.</exception>
    public static SConvWeights Pack(ConvShape shape, ReadOnlySpan<float> weights, CpuFeatures cpu, SConvMethod method, string reason)
    {
        if (!Serves(method, shape)) throw new ArgumentException($"{method} does not take {shape}", nameof(method));
        long expected = (long)shape.OutChannels * shape.GroupInChannels * shape.Taps;
        if (weights.Length != expected)
            throw new ArgumentException($"weights have {weights.Length} elements; [O, C/G, taps] = [{shape.OutChannels}, {shape.GroupInChannels}, {shape.Taps}] needs {expected}", nameof(weights));

        VectorWidth width = VectorWidths.Select(cpu);
        if (method == SConvMethod.Depthwise) return new(shape, method, reason, [], SConvDepthwise.Pack(shape, weights), width);

        int n = shape.GroupOutChannels, c = shape.GroupInChannels, taps = shape.Taps;
        int rows = (int)Math.Min(int.MaxValue, (long)shape.Batch * shape.OutputPixels);
        SGemmKernel kernel = SGemmKernels.Select(rows, n, c * taps, cpu);
        if (method == SConvMethod.WinogradTwo) return new(shape, method, reason, SConvWinograd.Pack<WinogradTwo>(weights, c, n, kernel), null, width);
        if (method == SConvMethod.WinogradFour) return new(shape, method, reason, SConvWinograd.Pack<WinogradFour>(weights, c, n, kernel), null, width);
        // B[(t, c), o] = w[o, c, t]
        var source = new SGemmSource(taps, c, n, 1, taps, (nint)c * taps);
        var matrices = new SGemmWeights[shape.Groups];
        int group = n * c * taps;
        for (int g = 0; g < matrices.Length; g++) matrices[g] = SGemmWeights.Pack(weights.Slice(g * group, group), source, kernel);
        return new(shape, method, reason, matrices, null, width);
    }

    /// <summary>Whether weights packed for <paramref name="method"/> can compute <paramref name="shape"/>.</summary>
    public static bool Serves(SConvMethod method, ConvShape shape) =>
        method is SConvMethod.WinogradTwo or SConvMethod.WinogradFour ? SConvWinograd.Takes(shape) : Direct(shape).Method == method;

    /// <summary>The method for a shape, and why.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="winograd">Whether Winograd's methods may be chosen.</param>
    public static (SConvMethod Method, string Reason) Choose(ConvShape shape, CpuFeatures cpu, bool winograd)
    {
        (SConvMethod Method, string Reason) direct = Direct(shape);
        return winograd && direct.Method == SConvMethod.Indirect && SConvWinograd.Takes(shape) ? WinogradCost.Choose(shape, cpu) ?? direct : direct;
    }

    private static (SConvMethod Method, string Reason) Direct(ConvShape shape)
    {
        if (shape.IsDepthwise) return (SConvMethod.Depthwise, "one input channel per group");
        if (shape.IsPointwise && shape.Groups == 1) return (SConvMethod.Pointwise, "1×1, stride 1, no padding: pixels are matrix rows");
        if (shape.InChannels < RowsBelowChannels && shape.W.Kernel > 1 && SConvRows.Takes(shape))
            return (SConvMethod.Rows, $"{shape.InChannels} input channels: a window row of {shape.W.Kernel * shape.InChannels} consecutive floats per tap");
        return (SConvMethod.Indirect, shape.Groups > 1 ? $"{shape.Groups} groups: row pointers per tap" : "row pointers per tap");
    }
}

/// <summary>A float convolution ready to run: method, packed weights, epilogue.</summary>
internal sealed unsafe class SConvolution
{
    private readonly ConvShape _shape;
    private readonly SConvWeights _weights;
    private readonly SEpilogue _epilogue;
    private readonly SConvIndirect? _indirect;
    private readonly SConvRows? _rows;
    private readonly SConvDepthwise? _depthwise;
    private readonly SConvWinograd? _winograd;

    private SConvolution(ConvShape shape, SConvWeights weights, SEpilogue epilogue)
    {
        _shape = shape;
        _weights = weights;
        _epilogue = epilogue;
        switch (weights.Method)
        {
            case SConvMethod.Indirect:
                _indirect = new(shape.Batch, shape.InChannels, shape.OutChannels, SWindow.Forward(shape.D), SWindow.Forward(shape.H),
                    SWindow.Forward(shape.W), shape.D.Output, shape.H.Output, shape.W.Output, weights.Matrices);
                break;
            case SConvMethod.Rows:
                _rows = new(shape, weights.Matrices[0]);
                break;
            case SConvMethod.Depthwise:
                _depthwise = new(shape, weights.Depthwise!, weights.Width);
                break;
            case SConvMethod.WinogradTwo:
                _winograd = new(shape, weights.Matrices, 2, weights.Width);
                break;
            case SConvMethod.WinogradFour:
                _winograd = new(shape, weights.Matrices, 4, weights.Width);
                break;
        }
    }

    /// <summary>The method in use.</summary>
    public SConvMethod Method => _weights.Method;

    /// <summary>Why this method.</summary>
    public string Reason => _weights.Reason;

    /// <summary>Name of the tile, for profiles.</summary>
    public string KernelName => _depthwise is null ? _weights.Matrices[0].Kernel.Name : $"f32-depthwise-{_weights.Width}".ToLowerInvariant();

    /// <summary>Packs weights and prepares a convolution.</summary>
    /// <param name="shape">The convolution.</param>
    /// <param name="weightsOihw"><c>[O, C/G, KD, KH, KW]</c>.</param>
    /// <param name="e">Bias and activation.</param>
    /// <param name="cpu">The CPU.</param>
    /// <param name="winograd">Whether Winograd's methods may be chosen.</param>
    public static SConvolution Create(ConvShape shape, ReadOnlySpan<float> weightsOihw, SEpilogue e, CpuFeatures cpu, bool winograd = false) =>
        Create(shape, SConvWeights.Pack(shape, weightsOihw, cpu, winograd), e);

    /// <summary>Prepares a convolution over weights that other convolutions may share.</summary>
    /// <exception cref="ArgumentException">The weights were packed for other channels, groups, windows or for a method that the shape rules out; or the epilogue has other channels.</exception>
    public static SConvolution Create(ConvShape shape, SConvWeights weights, SEpilogue e)
    {
        ConvShape packed = weights.Shape;
        if (packed.InChannels != shape.InChannels || packed.OutChannels != shape.OutChannels || packed.Groups != shape.Groups
            || (packed.D.Kernel, packed.H.Kernel, packed.W.Kernel) != (shape.D.Kernel, shape.H.Kernel, shape.W.Kernel)
            || !SConvWeights.Serves(weights.Method, shape))
            throw new ArgumentException($"weights packed for {packed} do not serve {shape}", nameof(weights));
        if (e.Channels != shape.OutChannels)
            throw new ArgumentException($"the epilogue has {e.Channels} channels, the convolution {shape.OutChannels}", nameof(e));
        return new(shape, weights, e);
    }

    /// <summary>Scratch bytes for <paramref name="workers"/> threads.</summary>
    public long ScratchBytes(int workers) =>
        _indirect?.ScratchBytes(workers) ?? _rows?.ScratchBytes(workers) ?? _depthwise?.ScratchBytes(workers) ?? _winograd?.ScratchBytes(workers) ?? 0;

    /// <summary>Runs the convolution.</summary>
    /// <param name="x"><c>[N, D, H, W, C]</c>.</param>
    /// <param name="sum">Added operand, <c>[N, OD, OH, OW, O]</c> with <paramref name="sumStride"/> floats per pixel; empty for none. May be <paramref name="y"/> itself.</param>
    /// <param name="y">Output with <paramref name="yStride"/> floats per pixel, beginning at the first output channel; must not overlap x.</param>
    /// <param name="scratch">At least <see cref="ScratchBytes"/> bytes.</param>
    /// <param name="p">Threads.</param>
    /// <param name="yStride">Floats per output pixel; 0 means O.</param>
    /// <param name="sumStride">Floats per pixel of the sum operand; 0 means O.</param>
    /// <exception cref="ArgumentException">A span is too short.</exception>
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

        if (_weights.Method == SConvMethod.Pointwise)
        {
            SGemmDriver.Run(x, _shape.InChannels, pixels, _weights.Matrices[0], _epilogue, sum, y, yStride, scratch, p, sumStride);
            return;
        }
        fixed (float* xp = x, sp = sum, yp = y)
        fixed (byte* bytes = scratch)
        {
            float* s = sum.IsEmpty ? null : sp;
            if (_indirect is not null) _indirect.Run(xp, s, sumStride, yp, yStride, _epilogue, bytes, p);
            else if (_rows is not null) _rows.Run(xp, s, sumStride, yp, yStride, _epilogue, bytes, p);
            else if (_winograd is not null) _winograd.Run(xp, s, sumStride, yp, yStride, _epilogue, bytes, p);
            else _depthwise!.Run(xp, s, sumStride, yp, yStride, _epilogue, bytes, p);
        }
    }
}
