using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>
/// <c>LayerNormalization</c>: over all axes from attribute <c>axis</c> (default −1) on, <c>y = (x − mean)/√(variance + ε) · scale + bias</c>. Outputs 1
/// and 2 are the mean and 1/√(variance + ε). <c>RMSNormalization</c> and <c>SimplifiedLayerNormalization</c> leave out mean and bias.
/// </summary>
/// <param name="type">Operator type.</param>
/// <param name="centred">Whether the mean is taken away.</param>
/// <param name="domain">Operator domain.</param>
internal sealed class LayerNormalization(string type, bool centred, string domain = "") : Operator
{
    public override OperatorId Id { get; } = new(type, domain);

    public override string Types => "float32, float64, float16";

    public override string Limits => "scale and bias have one element per normalized element, or one for all";

    public override void Infer(InferContext c)
    {
        DataType element = c.Expect(0, ElementTypes.Reals);
        c.Set(0, c.Type(0));
        DataType moments = element == DataType.Float64 ? DataType.Float64 : DataType.Float32;
        for (int i = 1; i < c.OutputCount; i++)
        {
            if (c.Shape(0) is not { } shape)
            {
                c.SetUnknownShape(i, moments);
                continue;
            }
            int axis = c.Axis(c.Attributes.Int("axis", -1), shape.Length);
            c.Set(i, moments, [.. shape.Select((extent, k) => k < axis ? extent : 1)]);
        }
    }

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        int axis = c.Axis(c.Attributes.Int("axis", -1), x.Length), length = Axes.Product(x, axis, x.Length);
        bool single = Parameters(c, 1, length) == 1 && length != 1;
        if (c.Has(2) && centred && Parameters(c, 2, length) != Parameters(c, 1, length)) throw c.Unsupported("scale and bias have different element counts", "scale and bias of one shape");
        var layout = new GroupLayout(Axes.Product(x, 0, axis), length, 1, single ? length : 1, c.Attributes.Float("epsilon", 1e-5f), centred, InverseOutput: centred ? 2 : 1);
        return GroupVisitor.Plan(c, layout, 1, centred ? 2 : -1);
    }

    private static int Parameters(PlanContext c, int input, int length)
    {
        int count = Tensor.CountElements(c.InputShape(input));
        if (c.Element(input) != c.Element(0)) throw c.Unsupported($"input {input} is {c.Element(input).Name()} beside {c.Element(0).Name()} data", "scale and bias of the data's type");
        return count == length || count == 1 ? count : throw c.Unsupported($"input {input} is {c.Type(input)}", $"{length} elements, or one");
    }
}

/// <summary><c>InstanceNormalization</c>: every channel of every sample for itself, <c>y = (x − mean)/√(variance + ε) · scale[c] + bias[c]</c>.</summary>
internal sealed class InstanceNormalization() : UnaryOperator("InstanceNormalization")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        if (x.Length < 2) throw c.Error($"x has rank {x.Length}", "x is [N, C, …]");
        GroupNormalization.RequireParameters(c, x[1]);
        var layout = new GroupLayout(x[0] * x[1], Axes.Product(x, 2, x.Length), x[1], Axes.Product(x, 2, x.Length), c.Attributes.Float("epsilon", 1e-5f), Centred: true);
        return GroupVisitor.Plan(c, layout, 1, 2);
    }
}

/// <summary>
/// <c>GroupNormalization</c>: the channels of every sample in <c>num_groups</c> groups, each for itself. Scale and bias belong to channels since version
/// 21, to groups before.
/// </summary>
internal sealed class GroupNormalization() : UnaryOperator("GroupNormalization")
{
    public override string Types => "float32, float64, float16";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Reals;

    public override Step Plan(PlanContext c)
    {
        int[] x = c.InputShape(0);
        if (x.Length < 2) throw c.Error($"x has rank {x.Length}", "x is [N, C, …]");
        long groups = c.Attributes.Int("num_groups");
        if (groups <= 0 || x[1] % groups != 0) throw c.Error($"{x[1]} channels in {groups} groups", "num_groups divides the channels");
        int length = Axes.Product(x, 1, x.Length) / (int)groups, inner = Axes.Product(x, 2, x.Length);
        RequireParameters(c, c.Opset >= 21 ? x[1] : (int)groups);
        var layout = new GroupLayout(x[0] * (int)groups, length, (int)groups, c.Opset >= 21 ? inner : length, c.Attributes.Float("epsilon", 1e-5f), Centred: true);
        return GroupVisitor.Plan(c, layout, 1, 2);
    }

    /// <summary>Checks scale and bias.</summary>
    internal static void RequireParameters(PlanContext c, int count)
    {
        for (int i = 1; i <= 2; i++)
        {
            if (Tensor.CountElements(c.InputShape(i)) != count) throw c.Error($"input {i} is {c.Type(i)}", $"scale and bias have {count} elements");
            if (c.Element(i) != c.Element(0)) throw c.Unsupported($"input {i} is {c.Element(i).Name()}", "scale and bias of the data's type");
        }
    }
}
