using System.Numerics;
using System.Runtime.InteropServices;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Random numbers of one node: from attribute <c>seed</c> the same in every run, without it different ones.</summary>
internal static class RandomNumbers
{
    /// <summary>Scratch space of a step that draws.</summary>
    public const int ScratchBytes = MersenneTwister.StateLength * sizeof(uint);

    /// <summary>The seed, or null where none is given. Seeds are whole numbers in practice; others are rounded towards zero.</summary>
    public static uint? Seed(NodeContext c) => c.Attributes["seed"] switch
    {
        float seed => (uint)long.CreateSaturating(seed),
        long seed => (uint)seed,
        _ => null,
    };

    /// <summary>A generator for one run.</summary>
    public static MersenneTwister Create(StepContext c, uint? seed) => new(MemoryMarshal.Cast<byte, uint>(c.Scratch), seed ?? (uint)Random.Shared.Next());
}

/// <summary>Which numbers are drawn.</summary>
internal enum Distribution
{
    /// <summary><c>low + (high − low)·u</c>, u uniform in [0, 1).</summary>
    Uniform,
    /// <summary><c>mean + scale·g</c>, g normal.</summary>
    Normal,
    /// <summary>1 with the probability that the input holds, else 0.</summary>
    Bernoulli,
}

/// <summary>
/// <c>RandomUniform</c>, <c>RandomNormal</c> of attribute <c>shape</c>, the same with <c>Like</c> of the input's shape, and <c>Bernoulli</c>. Element type is <c>dtype</c>.
/// </summary>
/// <param name="type">Operator type.</param>
/// <param name="distribution">Which numbers are drawn.</param>
/// <param name="like">Whether input 0 gives the shape.</param>
internal sealed class RandomOperator(string type, Distribution distribution, bool like) : Operator
{
    public override OperatorId Id { get; } = new(type);

    public override string Types => "float32, float64, float16" + (distribution == Distribution.Bernoulli ? ", integers, bool" : "");

    public override bool IsRandom => true;

    public override void Infer(InferContext c)
    {
        DataType element = c.Attributes.Contains("dtype") ? (DataType)c.Attributes.Int("dtype") : like ? c.Element(0) : DataType.Float32;
        if (like) c.Set(0, c.Type(0) with { Element = element });
        else c.Set(0, element, [.. (c.Attributes.Ints("shape") ?? throw c.Error("shape is missing", "shape is given")).Select(extent => extent >= 0 ? new Dim(extent) : throw c.Error($"an extent is {extent}", "extents are 0 or more"))]);
    }

    public override Step Plan(PlanContext c)
    {
        (float a, float b) = distribution == Distribution.Normal
            ? (c.Attributes.Float("mean"), c.Attributes.Float("scale", 1)) : (c.Attributes.Float("low"), c.Attributes.Float("high", 1));
        var visitor = new Visitor(c, distribution, a, b);
        return c.OutputElement(0) == DataType.Bool ? visitor.Visit<byte>() : ElementTypes.Number(c, c.OutputElement(0), visitor);
    }

    private sealed class Visitor(PlanContext c, Distribution distribution, float a, float b) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T>
        {
            uint? seed = RandomNumbers.Seed(c);
            string kernel = c.Node.OperatorType;
            return distribution == Distribution.Bernoulli
                ? ElementTypes.Real(c, c.Element(0), new BernoulliVisitor<T>(seed))
                : Step.From(kernel, step =>
                {
                    MersenneTwister random = RandomNumbers.Create(step, seed);
                    foreach (ref T y in step.Output<T>(0))
                        y = T.CreateSaturating(distribution == Distribution.Normal ? a + b * random.NextGaussian() : a + ((double)b - a) * random.NextDouble());
                }, scratchBytes: RandomNumbers.ScratchBytes);
        }
    }

    private sealed class BernoulliVisitor<TResult>(uint? seed) : IRealVisitor<Step> where TResult : unmanaged, INumber<TResult>
    {
        public Step Visit<T>() where T : unmanaged, IFloatingPointIeee754<T>, IMinMaxValue<T> => Step.From("Bernoulli", c =>
        {
            MersenneTwister random = RandomNumbers.Create(c, seed);
            ReadOnlySpan<T> x = c.Input<T>(0);
            Span<TResult> y = c.Output<TResult>(0);
            for (int i = 0; i < y.Length; i++) y[i] = random.NextDouble() < double.CreateTruncating(x[i]) ? TResult.One : TResult.Zero;
        }, scratchBytes: RandomNumbers.ScratchBytes);
    }
}
