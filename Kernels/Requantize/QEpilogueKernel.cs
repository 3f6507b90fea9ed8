using System.Runtime.Intrinsics.X86;
using Octet.Kernels.Cpu;
using Octet.Kernels.Requantize.X86;

namespace Octet.Kernels.Requantize;

/// <summary>A block of accumulators on their way to the output.</summary>
internal unsafe struct QEpilogueBlock
{
    /// <summary>Accumulators, bias included; whole vectors may be read at the last column.</summary>
    public int* C;

    /// <summary>Elements from one row of <see cref="C"/> to the next.</summary>
    public nint CStride;

    /// <summary>Rows of the block.</summary>
    public nint Rows;

    /// <summary>Columns of the block that exist.</summary>
    public nint Columns;

    /// <summary>Output channel of the first column.</summary>
    public nint Channel;

    /// <summary>The sum operand at the block's first element; not read without a sum.</summary>
    public byte* Sum;

    /// <summary>Bytes between rows of <see cref="Sum"/>.</summary>
    public nint SumStride;

    /// <summary>The output at the block's first element. May be the same memory as <see cref="Sum"/>.</summary>
    public byte* Y;

    /// <summary>Bytes between rows of <see cref="Y"/>.</summary>
    public nint YStride;
}

/// <summary>One implementation of <see cref="QEpilogue"/>; all return the same bits.</summary>
internal abstract unsafe class QEpilogueKernel
{
    /// <summary>The definition.</summary>
    public static QEpilogueKernel Scalar { get; } = new ScalarKernel();

    /// <summary>128-bit vectors of any architecture.</summary>
    public static QEpilogueKernel Isa128 { get; } = new QEpilogueKernel128();

    /// <summary>256-bit vectors.</summary>
    public static QEpilogueKernel Isa256 { get; } = new QEpilogueKernel256();

    /// <summary>512-bit vectors.</summary>
    public static QEpilogueKernel Isa512 { get; } = new QEpilogueKernel512();

    /// <summary>
    /// The widest that this process has intrinsics for. Emitted code needs none, so it also runs where a program compiled ahead of time
    /// has no 512-bit vectors although the CPU has.
    /// </summary>
    public static QEpilogueKernel BesideEmittedCode { get; } = Avx512BW.IsSupported ? Isa512 : Avx2.IsSupported ? Isa256 : Scalar;

    /// <summary>Every implementation; the definition is last.</summary>
    public static QEpilogueKernel[] All { get; } = [Isa512, Isa256, Isa128, Scalar];

    /// <summary>Instruction set in words.</summary>
    public abstract string Name { get; }

    /// <summary>CPU features, all of them needed.</summary>
    public abstract CpuFeatures Requires { get; }

    /// <inheritdoc/>
    public sealed override string ToString() => Name;

    /// <summary>Turns a block of accumulators into output; touches no byte of the output outside the block.</summary>
    public abstract void Apply(QEpilogue epilogue, QEpilogueBlock* block);

    /// <summary>The same over spans: a dense <c>[rows, columns]</c> block of accumulators, <paramref name="ldy"/> elements between output rows.</summary>
    public void Apply(QEpilogue epilogue, ReadOnlySpan<int> acc, int rows, int columns, int channel, ReadOnlySpan<byte> sum, Span<byte> y, int ldy)
    {
        if (rows == 0 || columns == 0) return;
        const int slack = 16;   // elements of one vector
        var padded = new int[rows * columns + slack];
        acc[..(rows * columns)].CopyTo(padded);
        if (channel + columns > epilogue.Channels) throw new ArgumentException($"columns end at channel {channel + columns} of {epilogue.Channels}", nameof(columns));
        if (y.Length < ((rows - 1) * ldy + columns) * epilogue.ElementBytes) throw new ArgumentException("the output is too short", nameof(y));
        if (epilogue.Sum is not null && sum.Length < ((rows - 1) * epilogue.SumRowStride + columns) * epilogue.SumElementBytes)
            throw new ArgumentException("the sum operand is too short", nameof(sum));
        fixed (int* c = padded)
        fixed (byte* sumPointer = sum, yPointer = y)
        {
            QEpilogueBlock block;
            block.C = c;
            block.CStride = columns;
            block.Rows = rows;
            block.Columns = columns;
            block.Channel = channel;
            block.Sum = sumPointer;
            block.SumStride = (nint)epilogue.SumRowStride * epilogue.SumElementBytes;
            block.Y = yPointer;
            block.YStride = (nint)ldy * epilogue.ElementBytes;
            Apply(epilogue, &block);
        }
    }

    private sealed class ScalarKernel : QEpilogueKernel
    {
        public override string Name => "requantize-scalar";

        public override CpuFeatures Requires => CpuFeatures.None;

        public override void Apply(QEpilogue epilogue, QEpilogueBlock* block)
        {
            bool hasSum = epilogue.Sum is not null;
            for (nint r = 0; r < block->Rows; r++)
            {
                int* c = block->C + r * block->CStride;
                byte* sum = block->Sum + r * block->SumStride, y = block->Y + r * block->YStride;
                for (nint n = 0; n < block->Columns; n++)
                {
                    int channel = (int)(block->Channel + n);
                    switch (epilogue.Output)
                    {
                        case QOutput.Int32:
                            ((int*)y)[n] = c[n];
                            break;
                        case QOutput.UInt8:
                            y[n] = RequantizeReference.ToUInt8(epilogue, c[n], channel, hasSum ? sum[n] : (byte)0);
                            break;
                        default:
                            ((float*)y)[n] = RequantizeReference.ToFloat32(epilogue, c[n], channel, hasSum ? ((float*)sum)[n] : 0f);
                            break;
                    }
                }
            }
        }
    }
}
