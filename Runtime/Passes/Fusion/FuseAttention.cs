using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Rewriting;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary><c>MatMul(Softmax(MatMul(q, k) [+ mask]), v)</c> over run-time operands → <c>octet.Attention</c>. Rounding differs only.</summary>
internal sealed class FuseAttention : RewriteRule
{
    private static readonly Pattern[] Forms = [Form(Scores()), Form(Pattern.Op("Add", Scores(), Pattern.Any("mask")).EitherOrder())];

    public override string Name => "attention";

    public override Pattern Pattern => Forms[0];

    public override IReadOnlyList<Pattern> Patterns => Forms;

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node scores = match.Node("scores"), softmax = match.Node("softmax");
        Value q = match["q"], k = match["k"], v = match["v"];
        int rank = q.Type.Rank;
        foreach (Value operand in (Value[])[q, k, v])
        {
            if (operand.Type is not { Element: DataType.Float32, IsConcrete: true, Rank: 3 or 4 } || operand.Type.Rank != rank) return RewriteResult.Refuse($"an operand is {operand.Type}; all are float32 of one rank, 3 or 4");
        }
        foreach (Value operand in (Value[])[q, k])
        {
            if (FuseOperandScaleIntoMatMul.Folds(operand)) return RewriteResult.Refuse($"the factor in {operand.Producer} goes into the product first");
        }
        if (softmax.Attributes.Int("axis", softmax.Opset >= 13 ? -1 : 1) is var axis && axis != -1 && axis != rank - 1) return RewriteResult.Refuse($"{softmax} is along axis {axis}, not over the keys");
        if (scores.Attributes.Int("transA") != 0 || scores.Attributes.Int("transBatchA") != 0 || scores.Attributes.Int("transBatchB") != 0) return RewriteResult.Refuse($"{scores} reads the queries transposed");
        bool keyRows = scores.Attributes.Int("transB") != 0;
        int[] qShape = q.Type.ConcreteShape(), kShape = k.Type.ConcreteShape(), vShape = v.Type.ConcreteShape();
        int heads = rank - 2, keys = kShape[keyRows ? rank - 2 : rank - 1];
        if (!qShape.AsSpan(0, heads).SequenceEqual(kShape.AsSpan(0, heads)) || !qShape.AsSpan(0, heads).SequenceEqual(vShape.AsSpan(0, heads)))
            return RewriteResult.Refuse($"{q.Type}, {k.Type} and {v.Type} have other leading axes");
        Value? mask = match.Find("mask");
        if (mask is not null && Refusal(mask, qShape, keys) is { } reason) return RewriteResult.Refuse(reason);

        var attributes = new AttributeMap { { "scale", scores.Attributes.Float("alpha", 1f) } };
        if (!keyRows)
        {
            int[] swap = [.. Enumerable.Range(0, heads), rank - 1, rank - 2];
            if (k.Producer is { } turned && turned.Is("Transpose") && Permutation.Of(turned) is { } order && order[heads] == rank - 1)
            {
                k = turned.Inputs[0]!;
                attributes["k_perm"] = Permutation.Attribute(Permutation.Compose(order, swap));
            }
            else
            {
                int[] turnedShape = [.. swap.Select(at => kShape[at])];
                k = editor.Add("Transpose", [k], new AttributeMap { { "perm", Permutation.Attribute(swap) } }, name: scores.Name + "/keys", like: scores, outputType: new TensorType(DataType.Float32, turnedShape));
            }
        }
        editor.Fuse(match, match.Root, "Attention", mask is null ? [q, k, v] : [q, k, v, mask], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }

    private static Pattern Scores() => Pattern.Op("MatMul|com.microsoft.FusedMatMul", Pattern.Any("q"), Pattern.Any("k")).As("scores");

    private static Pattern Form(Pattern scores) => Pattern.Op("MatMul", Pattern.Op("Softmax", scores).As("softmax"), Pattern.Any("v")).As("attention");

    /// <summary>Why a mask does not fit, or null.</summary>
    private static string? Refusal(Value mask, int[] q, int keys)
    {
        if (mask.Type is not { Element: DataType.Float32, IsConcrete: true, Rank: >= 2 } || mask.Type.Rank > q.Length) return $"the mask is {mask.Type}";
        int[] shape = mask.Type.ConcreteShape();
        if (shape[^1] != keys) return $"the mask {mask.Type} does not have one column per key";
        for (int fromEnd = 2; fromEnd <= shape.Length; fromEnd++)
        {
            if (shape[^fromEnd] != 1 && shape[^fromEnd] != q[^fromEnd]) return $"the mask {mask.Type} makes the scores larger";
        }
        return null;
    }
}

/// <summary>A Transpose before <c>octet.Attention</c> that leaves the last axis → another order in which the operand is read.</summary>
internal sealed class FuseTransposeIntoAttention : RewriteRule
{
    private static readonly string[] Orders = ["q_perm", "k_perm", "v_perm"];

    private static readonly Pattern[] Forms = [Form(0), Form(1), Form(2)];

    private static Pattern Form(int turned)
    {
        Pattern Input(int i) => i == turned ? Pattern.Op("Transpose", Pattern.Any("x")).As("transpose").Kept() : Pattern.Any($"input{i}");
        return Pattern.Op("octet.Attention", Input(0), Input(1), Input(2), Pattern.Optional("mask")).As("attention");
    }

    public override string Name => "transpose-attention";

    public override Pattern Pattern => Forms[0];

    public override IReadOnlyList<Pattern> Patterns => Forms;

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node attention = match.Node("attention"), transpose = match.Node("transpose");
        if (Permutation.Of(transpose) is not { } order || order[^1] != order.Length - 1) return RewriteResult.Refuse($"{transpose} moves the last axis");
        Value?[] inputs = [.. attention.Inputs];
        int at = Array.FindIndex(inputs, input => ReferenceEquals(input, transpose.Output));
        AttributeMap attributes = attention.Attributes.Copy();
        int[] now = attributes.Ints(Orders[at]) is { } given ? Array.ConvertAll(given, axis => (int)axis) : [.. Enumerable.Range(0, order.Length)];
        attributes[Orders[at]] = Permutation.Attribute(Permutation.Compose(order, now));
        inputs[at] = match["x"];
        editor.Fuse(match, attention, "Attention", inputs, attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary>A Transpose after <c>octet.Attention</c> that leaves the last axis → another order in which the result is written.</summary>
internal sealed class FuseTransposeAfterAttention : RewriteRule
{
    public override string Name => "attention-transpose";

    public override Pattern Pattern { get; } = Pattern.Op("Transpose", Pattern.AnyInputs("octet.Attention").As("attention")).As("transpose");

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node attention = match.Node("attention"), transpose = match.Node("transpose");
        if (Permutation.Of(transpose) is not { } order || order[^1] != order.Length - 1) return RewriteResult.Refuse($"{transpose} moves the last axis");
        AttributeMap attributes = attention.Attributes.Copy();
        int[] now = attributes.Ints("y_perm") is { } given ? Array.ConvertAll(given, axis => (int)axis) : [.. Enumerable.Range(0, order.Length)];
        attributes["y_perm"] = Permutation.Attribute(Permutation.Compose(now, order));
        editor.Fuse(match, attention, "Attention", [.. attention.Inputs], attributes, Operator.OctetDomain);
        return RewriteResult.Done;
    }
}

/// <summary>A product of run-time operands one of which is multiplied by one constant number → a product with that factor. Rounding differs only.</summary>
internal sealed class FuseOperandScaleIntoMatMul : RewriteRule
{
    private const string Products = "MatMul|com.microsoft.FusedMatMul";

    public override string Name => "scaled-operand-matmul";

    public override Pattern Pattern { get; } = Pattern.Op(Products, Scaled(), Pattern.Any("b")).As("matmul");

    public override IReadOnlyList<Pattern> Patterns => [Pattern, Pattern.Op(Products, Pattern.Any("a"), Scaled()).As("matmul")];

    public override RewriteResult Rewrite(Match match, GraphEditor editor)
    {
        Node matmul = match.Node("matmul"), scale = match.Node("scale");
        if (RuleValues.Scalar(match["factor"]) is not { } factor || match["factor"].Type.Rank > match["x"].Type.Rank) return RewriteResult.Refuse("the factor is not one float32 number");
        if (scale.OperatorType == "Div" && !ReferenceEquals(scale.Inputs[1], match["factor"])) return RewriteResult.Refuse($"{scale} divides by the operand");
        if (matmul.Output.Type.Element != DataType.Float32) return RewriteResult.Refuse($"the product is {matmul.Output.Type}");
        Value?[] inputs = [.. matmul.Inputs];
        if (ReferenceEquals(inputs[0], inputs[1])) return RewriteResult.Refuse($"{matmul} multiplies a value with itself");
        if (inputs.Any(input => input!.IsConstant)) return RewriteResult.Refuse("an operand is a constant");
        inputs[Array.FindIndex(inputs, input => ReferenceEquals(input, scale.Output))] = match["x"];
        AttributeMap attributes = matmul.Attributes.Copy();
        attributes["alpha"] = attributes.Float("alpha", 1f) * (scale.OperatorType == "Div" ? 1f / factor : factor);
        editor.Fuse(match, matmul, "FusedMatMul", inputs, attributes, Operator.MicrosoftDomain);
        return RewriteResult.Done;
    }

    /// <summary>Whether the rule will take the node that makes <paramref name="operand"/> into its one reader.</summary>
    public static bool Folds(Value operand) => operand is { Producer: { OperatorType: "Mul" or "Div", Domain: "" } scale, Uses.Count: 1 }
        && (RuleValues.Scalar(scale.Inputs[1]) is not null || scale.OperatorType == "Mul" && RuleValues.Scalar(scale.Inputs[0]) is not null);

    private static Pattern Scaled() => Pattern.Op("Mul|Div", Pattern.Any("x"), Pattern.Constant("factor")).EitherOrder().As("scale");
}
