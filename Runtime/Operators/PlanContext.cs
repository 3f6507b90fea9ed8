using Octet.Kernels.Cpu;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>What a plan is made for: the CPU, the threads, and the store of packed weights.</summary>
/// <param name="Cpu">Instruction sets that kernels may use.</param>
/// <param name="Workers">Threads that may take part in one step; scratch space is needed this many times.</param>
/// <param name="Weights">Packed weights, shared by all plans and sessions of a model.</param>
internal sealed record PlanOptions(CpuFeatures Cpu, int Workers, WeightStore Weights)
{
    /// <summary>Whether integer convolutions may take Winograd's form.</summary>
    public WinogradUse IntegerWinograd { get; init; } = WinogradUse.Measured;

    /// <summary>Whether 3×3 float convolutions may use Winograd's method.</summary>
    public bool FloatWinograd { get; init; } = true;
}

/// <summary>What <see cref="Operator.Plan"/> reads: concrete types and values known in advance.</summary>
internal sealed class PlanContext(Node node, IReadOnlyList<TensorType?> inputTypes, IReadOnlyList<TensorType> outputTypes,
    Func<int, Tensor?> known, PlanOptions options) : NodeContext(node, inputTypes)
{
    private readonly int[]?[] _inputShapes = new int[]?[inputTypes.Count];
    private readonly int[]?[] _outputShapes = new int[]?[outputTypes.Count];

    /// <summary>Instruction sets that kernels may use.</summary>
    public CpuFeatures Cpu => options.Cpu;

    /// <summary>Whether 3×3 float convolutions may use Winograd's method.</summary>
    public bool FloatWinograd => options.FloatWinograd;

    /// <summary>Instruction sets that integer products and convolutions choose among: <see cref="Cpu"/> without a width of VPDPBUSD that is slower here.</summary>
    public CpuFeatures IntegerCpu => VnniTuning.Usable(options.Cpu);

    /// <summary>Threads that may take part in one step.</summary>
    public int Workers => options.Workers;

    /// <summary>Whether integer convolutions may take Winograd's form.</summary>
    public WinogradUse IntegerWinograd => options.IntegerWinograd;

    /// <summary>Whether the step depends on the value of an input that is no constant, so that it fits this run only.</summary>
    public bool UsedRuntimeValue { get; private set; }

    /// <summary>Extents of input <paramref name="index"/>.</summary>
    public int[] InputShape(int index) => index >= _inputShapes.Length ? Type(index).ConcreteShape() : _inputShapes[index] ??= Type(index).ConcreteShape();

    /// <summary>Extents of output <paramref name="index"/>.</summary>
    public int[] OutputShape(int index) => _outputShapes[index] ??= outputTypes[index].ConcreteShape();

    /// <summary>Element type of output <paramref name="index"/>.</summary>
    public DataType OutputElement(int index) => outputTypes[index].Element;

    /// <summary>A constant input, whose tensor is the same object in every plan; null where the input is computed or left out.</summary>
    public Tensor? Constant(int index) => Node.Input(index)?.Constant;

    /// <summary>The value of input <paramref name="index"/> where it is known now: a constant, or in a dynamic run whatever it is; null otherwise.</summary>
    public Tensor? Known(int index)
    {
        if (!Has(index)) return null;
        if (Constant(index) is { } constant) return constant;
        Tensor? value = known(index);
        if (value is not null) UsedRuntimeValue = true;
        return value;
    }

    /// <summary>The value of an input that must be known now.</summary>
    /// <exception cref="UnsupportedModelException">It is not, so that the node can only run dynamically.</exception>
    public Tensor Required(int index) =>
        Known(index) ?? throw new UnsupportedModelException(Unsupported($"input {index} is computed at run time", $"input {index} is a constant").Message) { NeedsRuntimeValue = true };

    /// <summary>Something derived from a constant, such as packed weights: made once per model, tensor and <paramref name="key"/>.</summary>
    /// <param name="constant">The constant that it is derived from.</param>
    /// <param name="key">Everything else that it depends on: kernel name, layout, scales.</param>
    /// <param name="make">Makes it.</param>
    public T Share<T>(Tensor constant, string key, Func<T> make) where T : class => options.Weights.Get(constant, key, make);
}
