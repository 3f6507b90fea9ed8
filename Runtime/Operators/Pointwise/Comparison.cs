using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A relation of two numbers, for any number type.</summary>
internal interface INumberRelation
{
    /// <summary>Whether it holds; never for NaN.</summary>
    static abstract bool Holds<T>(T a, T b) where T : unmanaged, INumber<T>;
}

/// <summary><c>Equal</c>, <c>Less</c>, <c>LessOrEqual</c>, <c>Greater</c>, <c>GreaterOrEqual</c>: boolean, with broadcasting; false for NaN.</summary>
internal sealed class Comparison<TRelation>(string type) : BinaryOperator(type) where TRelation : struct, INumberRelation
{
    private static readonly DataType[] AllTypes = [.. ElementTypes.Numbers, DataType.Bool, DataType.String];

    public override string Types => typeof(TRelation) == typeof(EqualRelation) ? "all numbers, bool, string" : "all numbers";

    protected override ReadOnlySpan<DataType> Allowed => typeof(TRelation) == typeof(EqualRelation) ? AllTypes : ElementTypes.Numbers;

    protected override DataType Result(DataType element) => DataType.Bool;

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) => c.Element(0) switch
    {
        DataType.String => Step.From("string", step => EqualStrings(step, plan)),
        DataType.Bool => new BinaryStep<byte, bool, Relation<byte>>(plan, -1, c.Node.OperatorType),
        DataType type => ElementTypes.Number(c, type, new Visitor(plan, c.Node.OperatorType)),
    };

    private static void EqualStrings(StepContext c, RowPlan plan)
    {
        Span<string> a = c.Input(0).Strings, b = c.Input(1).Strings;
        Span<bool> y = c.Output<bool>(0);
        Span<int> index = stackalloc int[plan.OuterRank], offsets = stackalloc int[2];
        plan.Seek(0, index, offsets);
        for (int row = 0; row < plan.Rows; row++, plan.Next(index, offsets))
        {
            for (int i = 0; i < plan.Inner; i++)
                y[row * plan.Inner + i] = string.Equals(a[offsets[0] + i * plan.InnerStrides[0]], b[offsets[1] + i * plan.InnerStrides[1]], StringComparison.Ordinal);
        }
    }

    private sealed class Visitor(RowPlan plan, string name) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new BinaryStep<T, bool, Relation<T>>(plan, -1, name);
    }

    private readonly struct Relation<T> : IBinaryFunction<T, bool> where T : unmanaged, INumber<T>
    {
        public static bool Invoke(T a, T b) => TRelation.Holds(a, b);
    }
}

/// <summary><c>a = b</c>.</summary>
internal readonly struct EqualRelation : INumberRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a == b;
}

/// <summary><c>a &lt; b</c>.</summary>
internal readonly struct LessRelation : INumberRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a < b;
}

/// <summary><c>a ≤ b</c>.</summary>
internal readonly struct LessOrEqualRelation : INumberRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a <= b;
}

/// <summary><c>a &gt; b</c>.</summary>
internal readonly struct GreaterRelation : INumberRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a > b;
}

/// <summary><c>a ≥ b</c>.</summary>
internal readonly struct GreaterOrEqualRelation : INumberRelation
{
    public static bool Holds<T>(T a, T b) where T : unmanaged, INumber<T> => a >= b;
}
