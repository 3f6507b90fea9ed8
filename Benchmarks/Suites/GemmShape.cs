namespace Octet.Benchmarks.Suites;

/// <summary>A matrix product of a real layer: M = output pixels, N = output channels, K = input channels × kernel taps.</summary>
/// <param name="Name">Which layer.</param>
/// <param name="M">Rows.</param>
/// <param name="N">Columns.</param>
/// <param name="K">Depth.</param>
public sealed record GemmShape(string Name, int M, int N, int K)
{
    /// <summary>The shapes that suites run.</summary>
    public static IReadOnlyList<GemmShape> All { get; } =
    [
        new("resnet50-conv2_1x1", 3136, 64, 256),
        new("resnet50-conv5_3x3", 49, 512, 4608),
        new("mobilenetv2-expand14", 196, 576, 96),
        new("bert-ffn", 128, 3072, 768),
        new("resnet50-fc", 1, 1000, 2048),
    ];

    /// <inheritdoc/>
    public override string ToString() => Name;
}
