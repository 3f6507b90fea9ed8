using Octet.Runtime;
using Octet.Runtime.Graphs;

namespace Octet.Benchmarks.Networks;

/// <summary>Single layers that speed is quoted for, as models of one operator.</summary>
/// <param name="Name">What it is.</param>
/// <param name="Make">Makes the float model.</param>
/// <param name="MultiplyAccumulates">Work of one run.</param>
internal sealed record LayerShape(string Name, Func<Model> Make, long MultiplyAccumulates)
{
    /// <summary>The layers of ResNet, MobileNet and BERT that matter, and square products.</summary>
    public static IReadOnlyList<LayerShape> All { get; } =
    [
        Product(256, 256, 256), Product(512, 512, 512), Product(1024, 1024, 1024), Product(1, 4096, 4096), Product(128, 768, 3072),
        Conv(56, 64, 64, 3), Conv(28, 128, 128, 3), Conv(14, 256, 256, 3), Conv(7, 512, 512, 3), Conv(56, 64, 256, 1), Conv(14, 1024, 256, 1),
        Conv(224, 3, 64, 7, stride: 2), Conv(112, 32, 32, 3, groups: 32), Conv(56, 144, 144, 3, stride: 2, groups: 144),
    ];

    private static LayerShape Product(int m, int k, int n) => new($"matmul {m}×{k}×{n}", () =>
    {
        var b = new NetworkBuilder("matmul", 1);
        return b.Finish(b.Linear(b.Input("x", m, k), k, n), "y");
    }, (long)m * k * n);

    private static LayerShape Conv(int size, int inChannels, int outChannels, int kernel, int stride = 1, int groups = 1) => new(
        $"{(groups > 1 ? "depthwise" : "conv")} {size}² {(groups > 1 ? $"{inChannels}" : $"{inChannels}→{outChannels}")} {kernel}×{kernel}{(stride > 1 ? $" s{stride}" : "")}", () =>
        {
            var b = new NetworkBuilder("conv", 1);
            Value x = b.Input("x", 1, inChannels, size, size);
            return b.Finish(b.Conv(x, inChannels, outChannels, kernel, stride, groups), "y");
        }, (long)(size / stride) * (size / stride) * outChannels * (inChannels / groups) * kernel * kernel);
}
