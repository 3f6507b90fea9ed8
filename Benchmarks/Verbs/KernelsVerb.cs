using System.CommandLine;
using System.Diagnostics;
using System.Globalization;
using Octet.Kernels.Cpu;
using Octet.Kernels.Emit;
using Octet.Kernels.Geometry;
using Octet.Kernels.Memory;
using Octet.Kernels.QConv;
using Octet.Kernels.QConv.Winograd;
using Octet.Kernels.QGemm;
using Octet.Kernels.Requantize;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>kernels</c>: every integer kernel of this CPU on layers of ResNet-50, MobileNetV2 and BERT, one thread, beside the register peak of the same run.</summary>
internal static class KernelsVerb
{
    private const double SecondsPerCase = 0.3;

    /// <summary>M×N×K of matrix products: rows, output channels, depth.</summary>
    private static readonly (int M, int N, int K)[] Products = [(512, 512, 512), (128, 3072, 768), (1, 3072, 768), (1, 4096, 4096)];

    private static readonly (string Name, ConvShape Shape)[] Convolutions =
    [
        ("resnet50 56² 64→64 3×3", Square(64, 64, 1, 56, 3, 1)),
        ("resnet50 28² 128→128 3×3", Square(128, 128, 1, 28, 3, 1)),
        ("resnet50 14² 256→256 3×3", Square(256, 256, 1, 14, 3, 1)),
        ("resnet50 7² 512→512 3×3", Square(512, 512, 1, 7, 3, 1)),
        ("resnet50 56² 64→256 1×1", Square(64, 256, 1, 56, 1, 1)),
        ("resnet50 56² 256→64 1×1", Square(256, 64, 1, 56, 1, 1)),
        ("mobilenetv2 56² 24→144 1×1", Square(24, 144, 1, 56, 1, 1)),
        ("mobilenetv2 56² 144→24 1×1", Square(144, 24, 1, 56, 1, 1)),
        ("mobilenetv2 14² 64→384 1×1", Square(64, 384, 1, 14, 1, 1)),
        ("resnet50 14² 1024→256 1×1", Square(1024, 256, 1, 14, 1, 1)),
        ("resnet50 7² 512→2048 1×1", Square(512, 2048, 1, 7, 1, 1)),
        ("resnet50 224² 3→64 7×7 s2", Square(3, 64, 1, 224, 7, 2)),
        ("mobilenetv2 224² 3→32 3×3 s2", Square(3, 32, 1, 224, 3, 2)),
    ];

    private static readonly (string Name, ConvShape Shape)[] DepthwiseConvolutions =
    [
        ("mobilenetv2 112² 32 3×3", Square(32, 32, 32, 112, 3, 1)),
        ("mobilenetv2 56² 144 3×3 s2", Square(144, 144, 144, 56, 3, 2)),
        ("mobilenetv2 14² 576 3×3", Square(576, 576, 576, 14, 3, 1)),
        ("efficientnet 28² 240 5×5", Square(240, 240, 240, 28, 5, 1)),
    ];

    public static Command Create()
    {
        var filter = new Option<string>("--filter") { Description = "Only kernels whose name contains this.", DefaultValueFactory = _ => "" };
        var layer = new Option<string>("--layer") { Description = "Only layers whose name contains this.", DefaultValueFactory = _ => "" };
        var largest = new Option<int>("--largest") { Description = "Largest activation: 127 for an int8 tensor behind ReLU.", DefaultValueFactory = _ => byte.MaxValue };
        var command = new Command("kernels", "Times the integer kernels of this CPU on one thread, in GMAC/s, beside the register peak.") { filter, layer, largest };
        command.SetAction(result => Run(result.GetValue(filter)!, result.GetValue(layer)!, result.GetValue(largest), Console.Out));
        return command;
    }

    private static int Run(string filter, string layer, int largest, TextWriter output)
    {
        bool Wanted(string name) => name.Contains(layer, StringComparison.OrdinalIgnoreCase);
        CpuFeatures cpu = CpuInfo.Detected;
        output.WriteLine($"{CpuInfo.Name}: {cpu}");
        output.WriteLine(Invariant($"register peak: VPDPBUSD zmm {RegisterPeak.DotZmm(cpu) / 1e9:F0}, ymm {RegisterPeak.DotYmm(cpu) / 1e9:F0}, VPMADDWD+VPADDD ymm {RegisterPeak.WordsYmm(cpu) / 1e9:F0} GMAC/s"));
        foreach (QGemmKernel kernel in QGemmKernels.All.Where(k => (k.Requires & ~cpu) == 0 && k.Requires != CpuFeatures.None && k.Name.Contains(filter, StringComparison.Ordinal)))
        {
            foreach ((int m, int n, int k) in Products.Where(p => Wanted($"{p.M}x{p.N}x{p.K}"))) Report(output, kernel.Name, $"{m}x{n}x{k}", (double)m * n * k, Product(kernel, m, n, k, largest));
            foreach ((string name, ConvShape shape) in Convolutions.Where(c => Wanted(c.Name)))
            {
                QConvMethod method = QConvMethod.Select(shape, kernel);
                Report(output, method.Name, name, shape.MultiplyAccumulates, Convolution(shape, method, largest));
                if (kernel.Packing != QGemmPacking.Words || QWinogradPlan.Refuse(shape).Length > 0) continue;
                foreach (QConvForm form in (ReadOnlySpan<QConvForm>)[QConvForm.Winograd2, QConvForm.Winograd4])
                {
                    method = new QConvMethod(form, kernel, null, "");
                    Report(output, method.Name, name, shape.MultiplyAccumulates, Convolution(shape, method, largest));
                }
            }
        }
        foreach (QDepthwiseKernel kernel in QDepthwiseKernels.All.Where(k => (k.Requires & ~cpu) == 0 && k.Requires != CpuFeatures.None && k.Name.Contains(filter, StringComparison.Ordinal)))
        {
            foreach ((string name, ConvShape shape) in DepthwiseConvolutions.Where(c => Wanted(c.Name)))
                Report(output, kernel.Name, name, shape.MultiplyAccumulates, Convolution(shape, new QConvMethod(QConvForm.Depthwise, null, kernel, ""), largest));
        }
        return 0;
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void Report(TextWriter output, string kernel, string layer, double macs, Action run)
    {
        run();
        run();
        double best = double.MaxValue;
        var total = Stopwatch.StartNew();
        while (total.Elapsed.TotalSeconds < SecondsPerCase)
        {
            long start = Stopwatch.GetTimestamp();
            run();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }
        output.WriteLine(Invariant($"{kernel,-46} {layer,-30} {best * 1e6,9:F1} us {macs / best / 1e9,7:F1} GMAC/s"));
    }

    private static Action Product(QGemmKernel kernel, int m, int n, int k, int largest)
    {
        QGemmWeights weights = QGemmWeights.Pack(Weights(k * n), k, n, false, [], kernel, largest);
        QEpilogue epilogue = Epilogue(n);
        AlignedBuffer a = Input(m * k, largest), y = new(m * n), scratch = new(QGemmDriver.ScratchBytes(m, weights, 1));
        return () => QGemmDriver.Run(a.Memory.Span, k, m, weights, 3, epilogue, default, y.Memory.Span, n, scratch.Memory.Span, default);
    }

    private static Action Convolution(ConvShape shape, QConvMethod method, int largest)
    {
        QConvWeights weights = QConvWeights.Pack(shape, Weights(shape.OutChannels * shape.GroupInChannels * shape.Taps), [], method, largest);
        QConvolution convolution = QConvolution.Create(shape, weights, 3, Epilogue(shape.OutChannels));
        AlignedBuffer x = Input(shape.InputPixels * shape.InChannels, largest), y = new(shape.OutputPixels * shape.OutChannels), scratch = new(convolution.ScratchBytes(1));
        return () => convolution.Run(x.Memory.Span, default, y.Memory.Span, scratch.Memory.Span, default);
    }

    private static QEpilogue Epilogue(int channels) => QEpilogue.ToUInt8(channels, new int[channels], Enumerable.Repeat(0.0001f, channels).ToArray(), 128);

    /// <summary>Bell-shaped, as trained weights are: 31 times a sum of 12 uniform numbers, which 127 cuts at 4.1 standard deviations.</summary>
    private static sbyte[] Weights(int count)
    {
        var random = new Random(1);
        return Enumerable.Range(0, count).Select(_ =>
        {
            double sum = -6;
            for (int i = 0; i < 12; i++) sum += random.NextDouble();
            return (sbyte)Math.Clamp(Math.Round(31 * sum), -127, 127);
        }).ToArray();
    }

    /// <summary>One half of a bell, as activations behind ReLU are: its largest values, at 4.2 standard deviations, become <paramref name="largest"/>.</summary>
    private static AlignedBuffer Input(int count, int largest)
    {
        var buffer = new AlignedBuffer(count);
        var random = new Random(2);
        foreach (ref byte value in buffer.Memory.Span)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            value = (byte)Math.Min(largest, Math.Abs(normal) * largest / 4.2);
        }
        return buffer;
    }

    private static ConvShape Square(int inChannels, int outChannels, int groups, int size, int kernel, int stride)
    {
        int pad = kernel / 2;
        var axis = new WindowAxis(size, kernel, stride, 1, pad, pad, (size + 2 * pad - kernel) / stride + 1);
        return new ConvShape(1, inChannels, outChannels, groups, WindowAxis.Unit, axis, axis);
    }
}
