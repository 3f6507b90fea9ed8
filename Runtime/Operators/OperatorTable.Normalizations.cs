namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Normalizations() =>
    [
        new BatchNormalization(),
        new InstanceNormalization(),
        new GroupNormalization(),
        new LayerNormalization("LayerNormalization", centred: true),
        new LayerNormalization("RMSNormalization", centred: false),
        new LayerNormalization("SimplifiedLayerNormalization", centred: false),
        new LpNormalization(),
        new LocalResponseNormalization(),
        new MeanVarianceNormalization(),
        new SkipLayerNormalization("SkipLayerNormalization", centred: true),
        new SkipLayerNormalization("SkipSimplifiedLayerNormalization", centred: false),
        new EmbedLayerNormalization(),
    ];
}
