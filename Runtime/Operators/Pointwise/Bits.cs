using System.Numerics;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>A function of the bits of two integers.</summary>
internal interface IBitFunction
{
    /// <summary>Its value.</summary>
    static abstract T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T>;
}

/// <summary><c>And</c>, <c>Or</c>, <c>Xor</c>: booleans with broadcasting.</summary>
internal sealed class Logical<TFunction>(string type) : BinaryOperator(type) where TFunction : struct, IBitFunction
{
    private static readonly DataType[] Booleans = [DataType.Bool];

    public override string Types => "bool";

    protected override ReadOnlySpan<DataType> Allowed => Booleans;

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) =>
        new BinaryStep<byte, byte, BitFunction<byte, TFunction>>(plan, inPlaceInput, c.Node.OperatorType);
}

/// <summary><c>BitwiseAnd</c>, <c>BitwiseOr</c>, <c>BitwiseXor</c>, <c>BitShift</c>: integers with broadcasting.</summary>
internal class Bitwise<TFunction>(string type) : BinaryOperator(type) where TFunction : struct, IBitFunction
{
    public override string Types => "int8…int64, uint8…uint64";

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Integers;

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) =>
        ElementTypes.Integer(c, c.Element(0), new Visitor(plan, inPlaceInput, c.Node.OperatorType));

    private sealed class Visitor(RowPlan plan, int inPlaceInput, string name) : IIntegerVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, IBinaryInteger<T>, IMinMaxValue<T> => new BinaryStep<T, T, BitFunction<T, TFunction>>(plan, inPlaceInput, name);
    }
}

/// <summary><c>BitShift</c>: <c>a · 2ᵇ</c> or <c>⌊a / 2ᵇ⌋</c> by attribute <c>direction</c>; a shift by the element's width or more gives 0.</summary>
internal sealed class BitShift : BinaryOperator
{
    private static readonly Bitwise<ShiftLeftFunction> Left = new("BitShift");
    private static readonly Bitwise<ShiftRightFunction> Right = new("BitShift");

    public BitShift() : base("BitShift") { }

    public override string Types => Left.Types;

    protected override ReadOnlySpan<DataType> Allowed => ElementTypes.Integers;

    public override Step Plan(PlanContext c) => c.Attributes.String("direction") switch
    {
        "LEFT" => Left.Plan(c),
        "RIGHT" => Right.Plan(c),
        string other => throw c.Error($"direction is '{other}'", "direction is LEFT or RIGHT"),
    };

    protected override Step Plan(PlanContext c, RowPlan plan, int inPlaceInput) => throw new InvalidOperationException("planned by the two directions");
}

/// <summary>Adapts an <see cref="IBitFunction"/> to one element type.</summary>
internal readonly struct BitFunction<T, TFunction> : IBinaryFunction<T, T> where T : unmanaged, IBinaryInteger<T> where TFunction : struct, IBitFunction
{
    public static T Invoke(T a, T b) => TFunction.Invoke(a, b);
}

/// <summary><c>a ∧ b</c>.</summary>
internal readonly struct BitAndFunction : IBitFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T> => a & b;
}

/// <summary><c>a ∨ b</c>.</summary>
internal readonly struct BitOrFunction : IBitFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T> => a | b;
}

/// <summary><c>a ⊕ b</c>.</summary>
internal readonly struct BitXorFunction : IBitFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T> => a ^ b;
}

/// <summary><c>a · 2ᵇ</c>, bits that leave at the top being lost.</summary>
internal readonly struct ShiftLeftFunction : IBitFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        int shift = int.CreateSaturating(b);
        return shift < 0 || shift >= a.GetByteCount() * 8 ? T.Zero : a << shift;
    }
}

/// <summary><c>⌊a / 2ᵇ⌋</c>.</summary>
internal readonly struct ShiftRightFunction : IBitFunction
{
    public static T Invoke<T>(T a, T b) where T : unmanaged, IBinaryInteger<T>
    {
        int shift = int.CreateSaturating(b);
        return shift < 0 || shift >= a.GetByteCount() * 8 ? T.Zero : a >>> shift;
    }
}
