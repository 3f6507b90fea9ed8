using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary><c>Cast</c>: every element converted to the type in attribute <c>to</c>.</summary>
/// <remarks>
/// To a floating-point type: the nearest value, half to even. Floating point to integer: rounded towards zero, saturating, NaN gives 0 (ONNX leaves
/// values outside the range open). Integer to integer: the low bits. To bool: whether x ≠ 0. Numbers in text are written as Python writes them.
/// </remarks>
internal sealed class Cast : Operator
{
    public override OperatorId Id { get; } = new("Cast");

    public override string Types => "float32, float64, float16, bfloat16, int8…int64, uint8…uint64, int4, uint4, int2, uint2, bool, string";

    public override string Limits => "no 8-bit and 4-bit floats";

    public override void Infer(InferContext c) => c.Set(0, c.Type(0) with { Element = Target(c) });

    public override Step Plan(PlanContext c) => Conversion.Plan(c, c.Element(0), Target(c));

    private static DataType Target(NodeContext c)
    {
        object? to = c.Attributes["to"];
        DataType type = to switch
        {
            long number => (DataType)number,
            string name => Enum.GetValues<DataType>().FirstOrDefault(candidate => string.Equals(OldName(candidate), name, StringComparison.OrdinalIgnoreCase)),
            _ => DataType.Undefined,
        };
        if (!Enum.IsDefined(type) || type == DataType.Undefined) throw c.Error($"attribute 'to' is {to ?? "missing"}", "'to' is an element type");
        return type;
    }

    private static string OldName(DataType type) => type switch
    {
        DataType.Float32 => "FLOAT",
        DataType.Float64 => "DOUBLE",
        _ => type.Name(),
    };
}

/// <summary><c>CastLike</c>: input 0 converted to the element type of input 1; see <see cref="Cast"/>.</summary>
internal sealed class CastLike : Operator
{
    public override OperatorId Id { get; } = new("CastLike");

    public override string Types => "as Cast";

    public override string Limits => "no 8-bit and 4-bit floats";

    public override void Infer(InferContext c) => c.Set(0, c.Type(0) with { Element = c.Element(1) });

    public override Step Plan(PlanContext c) => Conversion.Plan(c, c.Element(0), c.Element(1));
}

/// <summary>Steps that convert elements from one type to another; see <see cref="Cast"/> for the rules.</summary>
internal static class Conversion
{
    /// <summary>The step from <paramref name="from"/> to <paramref name="to"/>; a view where nothing changes.</summary>
    public static Step Plan(PlanContext c, DataType from, DataType to)
    {
        if (from == to) return new ViewStep();
        return from switch
        {
            DataType.String => ElementTypes.Number(c, to, new FromString()),
            DataType.BFloat16 when to == DataType.Float32 => new Converted<ushort, float, FromBFloat16<float>>(),
            DataType.BFloat16 => ElementTypes.Number(c, to, new FromBFloat16Visitor()),
            DataType.Bool or DataType.UInt4 or DataType.UInt2 => new FromNumber(c, to, from == DataType.Bool).Visit<byte>(),
            DataType.Int4 or DataType.Int2 => new FromNumber(c, to, false).Visit<sbyte>(),
            _ => ElementTypes.Number(c, from, new FromNumber(c, to, false)),
        };
    }

    /// <summary>The nearest bfloat16, half to even; NaN stays NaN.</summary>
    public static ushort ToBFloat16(float x)
    {
        uint bits = BitConverter.SingleToUInt32Bits(x);
        return float.IsNaN(x) ? (ushort)((bits >> 16) | 0x40) : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>A number as another number type; see <see cref="Cast"/> for the rules.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static TTo Number<TFrom, TTo>(TFrom x) where TFrom : unmanaged, INumber<TFrom> where TTo : unmanaged, INumber<TTo> => BetweenNumbers<TFrom, TTo>.Convert(x);

    private interface IConversion<in TFrom, out TTo>
    {
        static abstract TTo Convert(TFrom x);
    }

    private sealed class Converted<TFrom, TTo, TConversion> : Step where TFrom : unmanaged where TTo : unmanaged where TConversion : struct, IConversion<TFrom, TTo>
    {
        private const int PieceLength = 16384;

        public override string Kernel => "Cast";

        public override void Run(StepContext c)
        {
            var work = new Pieces(c.Input(0), c.Output(0));
            c.Parallel.For(ref work, (c.Output(0).Length + PieceLength - 1) / PieceLength);
        }

        private readonly struct Pieces(Tensor x, Tensor y) : IPieces
        {
            [MethodImpl(MethodImplOptions.AggressiveOptimization)]
            public void Run(int piece, int worker)
            {
                int start = piece * PieceLength, length = Math.Min(PieceLength, y.Length - start);
                ReadOnlySpan<TFrom> from = x.Span<TFrom>().Slice(start, length);
                Span<TTo> to = y.Span<TTo>().Slice(start, length);
                for (int i = 0; i < from.Length; i++) to[i] = TConversion.Convert(from[i]);
            }
        }
    }

    private sealed class FromNumber(PlanContext c, DataType to, bool isBool) : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => to switch
        {
            DataType.Bool => new Converted<T, bool, ToBool<T>>(),
            DataType.BFloat16 => new Converted<T, ushort, ToBFloat16Of<T>>(),
            DataType.Int4 => new Converted<T, sbyte, ToInt4<T>>(),
            DataType.UInt4 => new Converted<T, byte, ToUInt4<T>>(),
            DataType.Int2 => new Converted<T, sbyte, ToInt2<T>>(),
            DataType.UInt2 => new Converted<T, byte, ToUInt2<T>>(),
            DataType.String => Step.From("Cast", isBool ? WriteBooleans : WriteText<T>),
            _ => ElementTypes.Number(c, to, new ToNumber<T>()),
        };
    }

    private sealed class ToNumber<TFrom> : INumberVisitor<Step> where TFrom : unmanaged, INumber<TFrom>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new Converted<TFrom, T, BetweenNumbers<TFrom, T>>();
    }

    private sealed class FromBFloat16Visitor : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => new Converted<ushort, T, FromBFloat16<T>>();
    }

    private sealed class FromString : INumberVisitor<Step>
    {
        public Step Visit<T>() where T : unmanaged, INumber<T>, IMinMaxValue<T> => Step.From("Cast", ReadText<T>);
    }

    private readonly struct BetweenNumbers<TFrom, TTo> : IConversion<TFrom, TTo> where TFrom : unmanaged, INumber<TFrom> where TTo : unmanaged, INumber<TTo>
    {
        // The generic conversions are long chains of type tests; the pairs that models use are written out, and only one branch remains after compilation.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static TTo Convert(TFrom x)
        {
            if (typeof(TFrom) == typeof(TTo)) return (TTo)(object)x;
            if (typeof(TTo) == typeof(float))
            {
                if (typeof(TFrom) == typeof(byte)) return (TTo)(object)(float)(byte)(object)x;
                if (typeof(TFrom) == typeof(sbyte)) return (TTo)(object)(float)(sbyte)(object)x;
                if (typeof(TFrom) == typeof(int)) return (TTo)(object)(float)(int)(object)x;
                if (typeof(TFrom) == typeof(long)) return (TTo)(object)(float)(long)(object)x;
                if (typeof(TFrom) == typeof(double)) return (TTo)(object)(float)(double)(object)x;
                if (typeof(TFrom) == typeof(Half)) return (TTo)(object)(float)(Half)(object)x;
            }
            if (typeof(TFrom) == typeof(float))
            {
                // These casts saturate and take NaN to 0.
                if (typeof(TTo) == typeof(int)) return (TTo)(object)(int)(float)(object)x;
                if (typeof(TTo) == typeof(long)) return (TTo)(object)(long)(float)(object)x;
                if (typeof(TTo) == typeof(double)) return (TTo)(object)(double)(float)(object)x;
                if (typeof(TTo) == typeof(Half)) return (TTo)(object)(Half)(float)(object)x;
            }
            if (typeof(TFrom) == typeof(long) && typeof(TTo) == typeof(int)) return (TTo)(object)(int)(long)(object)x;
            if (typeof(TFrom) == typeof(int) && typeof(TTo) == typeof(long)) return (TTo)(object)(long)(int)(object)x;
            return Any(x);
        }

        private static TTo Any(TFrom x) =>
            typeof(TFrom) == typeof(float) || typeof(TFrom) == typeof(double) || typeof(TFrom) == typeof(Half) ? TTo.CreateSaturating(x) : TTo.CreateTruncating(x);
    }

    private readonly struct FromBFloat16<TTo> : IConversion<ushort, TTo> where TTo : unmanaged, INumber<TTo>
    {
        public static TTo Convert(ushort x) => TTo.CreateSaturating(BitConverter.UInt32BitsToSingle((uint)x << 16));
    }

    private readonly struct ToBool<TFrom> : IConversion<TFrom, bool> where TFrom : unmanaged, INumber<TFrom>
    {
        public static bool Convert(TFrom x) => x != TFrom.Zero;
    }

    private readonly struct ToBFloat16Of<TFrom> : IConversion<TFrom, ushort> where TFrom : unmanaged, INumber<TFrom>
    {
        public static ushort Convert(TFrom x) => ToBFloat16(float.CreateTruncating(x));
    }

    private readonly struct ToInt4<TFrom> : IConversion<TFrom, sbyte> where TFrom : unmanaged, INumber<TFrom>
    {
        public static sbyte Convert(TFrom x) => (sbyte)(BetweenNumbers<TFrom, int>.Convert(x) << 28 >> 28);
    }

    private readonly struct ToUInt4<TFrom> : IConversion<TFrom, byte> where TFrom : unmanaged, INumber<TFrom>
    {
        public static byte Convert(TFrom x) => (byte)(BetweenNumbers<TFrom, int>.Convert(x) & 15);
    }

    private readonly struct ToInt2<TFrom> : IConversion<TFrom, sbyte> where TFrom : unmanaged, INumber<TFrom>
    {
        public static sbyte Convert(TFrom x) => (sbyte)(BetweenNumbers<TFrom, int>.Convert(x) << 30 >> 30);
    }

    private readonly struct ToUInt2<TFrom> : IConversion<TFrom, byte> where TFrom : unmanaged, INumber<TFrom>
    {
        public static byte Convert(TFrom x) => (byte)(BetweenNumbers<TFrom, int>.Convert(x) & 3);
    }

    private static void WriteBooleans(StepContext c)
    {
        Span<string> to = c.Output(0).Strings;
        ReadOnlySpan<byte> from = c.Input<byte>(0);
        for (int i = 0; i < from.Length; i++) to[i] = from[i] != 0 ? "True" : "False";
    }

    private static void WriteText<T>(StepContext c) where T : unmanaged, INumber<T>
    {
        Span<string> to = c.Output(0).Strings;
        ReadOnlySpan<T> from = c.Input<T>(0);
        for (int i = 0; i < from.Length; i++) to[i] = Text(from[i]);
    }

    private static string Text<T>(T x) where T : unmanaged, INumber<T>
    {
        if (T.IsNaN(x)) return "nan";
        if (T.IsInfinity(x)) return T.IsNegative(x) ? "-inf" : "inf";
        string text = x.ToString(null, CultureInfo.InvariantCulture).Replace('E', 'e');
        bool real = typeof(T) == typeof(float) || typeof(T) == typeof(double) || typeof(T) == typeof(Half);
        return real && !text.Contains('.') && !text.Contains('e') ? text + ".0" : text;
    }

    private static void ReadText<T>(StepContext c) where T : unmanaged, INumber<T>
    {
        Span<T> to = c.Output<T>(0);
        Span<string> from = c.Input(0).Strings;
        for (int i = 0; i < to.Length; i++)
        {
            string text = from[i].Trim();
            if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out T value)) to[i] = value;
            else if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double real)) to[i] = T.CreateSaturating(real);
            else
            {
                to[i] = text.ToUpperInvariant() switch
                {
                    "INF" or "+INF" => T.CreateSaturating(double.PositiveInfinity),
                    "-INF" => T.CreateSaturating(double.NegativeInfinity),
                    _ => throw new DataException($"Cast: element {i} is the text '{text}'; rule: text that is cast to a number is one"),
                };
            }
        }
    }
}
