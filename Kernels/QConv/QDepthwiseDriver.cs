using Octet.Kernels.Geometry;
using Octet.Kernels.Requantize;
using Octet.Kernels.Threading;

namespace Octet.Kernels.QConv;

/// <summary>Depthwise convolution: output channel o reads input channel <c>o / (O/C)</c>.</summary>
internal static unsafe class QDepthwiseDriver
{
    /// <summary>Scratch bytes of one worker: the sums of one output pixel, read in whole vectors.</summary>
    public static int WorkerBytes(ConvShape shape) => checked((shape.OutChannels + 64) * sizeof(int) + 63 & ~63);

    /// <summary>Runs the convolution; arguments are checked by the caller.</summary>
    public static void Run(QConvolution owner, byte* x, byte* sum, byte* y, nint yStride, byte* padRow, byte* scratch, Parallelism p)
    {
        var work = new Pieces { Owner = owner, X = x, Sum = sum, Y = y, YStride = yStride, PadRow = padRow, Scratch = scratch };
        ConvShape shape = owner.Shape;
        p.For(ref work, shape.Batch * shape.D.Output * shape.H.Output);
    }

    /// <summary>One row of output pixels per piece.</summary>
    private struct Pieces : IPieces
    {
        public QConvolution Owner;
        public byte* X;
        public byte* Sum;
        public byte* Y;
        public nint YStride;
        public byte* PadRow;
        public byte* Scratch;

        public readonly void Run(int piece, int worker)
        {
            ConvShape shape = Owner.Shape;
            QEpilogue epilogue = Owner.Epilogue;
            QDepthwiseWeights weights = Owner.Weights.Depthwise!;
            WindowAxis da = shape.D, ha = shape.H, wa = shape.W;
            int channels = shape.InChannels, outputs = shape.OutChannels, multiple = shape.GroupOutChannels;
            int oh = piece % ha.Output, od = piece / ha.Output % da.Output, n = piece / ha.Output / da.Output;
            int* acc = (int*)(Scratch + (nint)worker * WorkerBytes(shape));
            nint sumStride = (nint)epilogue.SumRowStride * epilogue.SumElementBytes;
            byte* image = X + (nint)n * shape.InputPixels * channels;
            for (int ow = 0; ow < wa.Output; ow++)
            {
                int* bias = epilogue.BiasPointer, sums = weights.Sums, taps = weights.Taps;
                for (int o = 0; o < outputs; o++) acc[o] = unchecked(bias[o] - Owner.ZeroPoint * sums[o]);
                for (int kd = 0; kd < da.Kernel; kd++)
                for (int kh = 0; kh < ha.Kernel; kh++)
                for (int kw = 0; kw < wa.Kernel; kw++, taps += outputs)
                {
                    int d = od * da.Stride - da.PadBegin + kd * da.Dilation;
                    int h = oh * ha.Stride - ha.PadBegin + kh * ha.Dilation;
                    int w = ow * wa.Stride - wa.PadBegin + kw * wa.Dilation;
                    bool inside = (uint)d < da.Input && (uint)h < ha.Input && (uint)w < wa.Input;
                    byte* pixel = inside ? image + (((nint)d * ha.Input + h) * wa.Input + w) * channels : PadRow;
                    if (multiple == 1) for (int o = 0; o < outputs; o++) acc[o] = unchecked(acc[o] + pixel[o] * taps[o]);
                    else for (int o = 0; o < outputs; o++) acc[o] = unchecked(acc[o] + pixel[o / multiple] * taps[o]);
                }
                nint row = (nint)piece * wa.Output + ow;
                QEpilogueBlock block;
                block.C = acc;
                block.CStride = outputs;
                block.Rows = 1;
                block.Columns = outputs;
                block.Channel = 0;
                block.Sum = epilogue.Sum is null ? null : Sum + row * sumStride;
                block.SumStride = sumStride;
                block.Y = Y + row * YStride;
                block.YStride = YStride;
                weights.Kernel.Epilogue.Apply(epilogue, &block);
            }
        }
    }
}
