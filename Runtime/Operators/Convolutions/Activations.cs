using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.SGemm;
using Octet.Runtime.Graphs;

namespace Octet.Runtime.Operators;

/// <summary>The activation that a product or convolution applies before it stores, as the attributes <c>activation</c>, <c>alpha</c>, <c>beta</c> say it.</summary>
/// <param name="Function">The function; the attribute holds its name.</param>
/// <param name="Alpha">Its first constant.</param>
/// <param name="Beta">Its second constant.</param>
internal readonly record struct Activation(UnaryOperation Function, float Alpha = 0f, float Beta = 0f)
{
    /// <summary>No activation.</summary>
    public static Activation None => default;

    /// <summary>Reads <c>activation</c>, <c>alpha</c>, <c>beta</c> of a node of the domain <c>octet</c>.</summary>
    /// <exception cref="ModelException">The name is that of no function.</exception>
    public static Activation Read(NodeContext c)
    {
        string name = c.Attributes.String("activation");
        if (name.Length == 0) return None;
        if (!Enum.TryParse(name, out UnaryOperation function)) throw c.Error($"activation '{name}' does not exist", "activation names a unary operation");
        return new Activation(function, c.Attributes.Float("alpha"), c.Attributes.Float("beta"));
    }

    /// <summary>Reads <c>activation</c> and <c>activation_params</c> of the contributed fused operators.</summary>
    /// <exception cref="UnsupportedModelException">Octet does not fuse that function.</exception>
    public static Activation ReadContributed(NodeContext c, string nameAttribute = "activation")
    {
        string name = c.Attributes.String(nameAttribute);
        float[] constants = c.Attributes.Floats("activation_params") ?? [];
        float First(float otherwise) => constants.Length > 0 ? constants[0] : c.Attributes.Float("activation_alpha", otherwise);
        float Second(float otherwise) => constants.Length > 1 ? constants[1] : c.Attributes.Float("activation_beta", otherwise);
        return name switch
        {
            "" => None,
            "Relu" => new(UnaryOperation.Relu),
            "Tanh" => new(UnaryOperation.Tanh),
            "Sigmoid" => new(UnaryOperation.Sigmoid),
            "LeakyRelu" => new(UnaryOperation.LeakyRelu, First(0.01f)),
            "Clip" => new(UnaryOperation.Clip, First(float.NegativeInfinity), Second(float.PositiveInfinity)),
            "HardSigmoid" => new(UnaryOperation.HardSigmoid, First(0.2f), Second(0.5f)),
            "Elu" => new(UnaryOperation.Elu, First(1f)),
            "HardSwish" => new(UnaryOperation.HardSwish),
            "Gelu" => new(UnaryOperation.GeluErf),
            _ => throw c.Unsupported($"activation '{name}'", "activation is Relu, Tanh, Sigmoid, LeakyRelu, Clip, HardSigmoid, Elu, HardSwish or Gelu"),
        };
    }

    /// <summary>Writes the attributes that <see cref="Read"/> reads.</summary>
    public void Write(AttributeMap attributes)
    {
        if (Function == UnaryOperation.Identity) return;
        attributes.Add("activation", Function.ToString());
        if (Alpha != 0f) attributes.Add("alpha", Alpha);
        if (Beta != 0f) attributes.Add("beta", Beta);
    }

    /// <summary>The kernels' form.</summary>
    public SEpilogue Epilogue(int channels, ReadOnlySpan<float> bias, bool activationFirst, CpuFeatures cpu) =>
        new(channels, bias, Function, Alpha, Beta, activationFirst, cpu);
}
