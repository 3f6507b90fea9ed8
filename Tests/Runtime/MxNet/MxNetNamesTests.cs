using Octet.Runtime;
using Octet.Runtime.MxNet;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.MxNet;

/// <summary>Every pointwise, element-wise, broadcast and scalar name means its formula, in Octet and in ONNX Runtime on the saved model.</summary>
internal sealed class MxNetNamesTests
{
    /// <summary>Outputs are of order 1 and either runtime's functions are within a few units in the last place.</summary>
    private const double Bound = 1e-5;

    private static readonly float[] A = [-1.75f, -0.5f, 0.25f, 0.5f, 1, 1.5f], B = [0.5f, -1.25f, 2, 0.75f, -2, 3];

    private static readonly (string[] Names, Func<double, double> Formula)[] OfOne =
    [
        (["relu"], x => Math.Max(x, 0)), (["sigmoid", "LogisticRegressionOutput"], x => 1 / (1 + Math.Exp(-x))), (["tanh"], Math.Tanh), (["softsign"], x => x / (1 + Math.Abs(x))), (["exp"], Math.Exp),
        (["log"], x => Math.Log(x)), (["sqrt"], Math.Sqrt), (["rsqrt"], x => 1 / Math.Sqrt(x)), (["abs"], Math.Abs), (["negative"], x => -x), (["floor"], Math.Floor), (["ceil"], Math.Ceiling), (["sin"], Math.Sin),
        (["cos"], Math.Cos), (["reciprocal"], x => 1 / x), (["sign"], x => Math.Sign(x)), (["rint"], x => Math.Round(x, MidpointRounding.ToEven)), (["square"], x => x * x),
        (["identity", "_copy", "BlockGrad", "stop_gradient", "make_loss", "MakeLoss", "Dropout", "LinearRegressionOutput", "MAERegressionOutput", "IdentityAttachKLSparseReg"], x => x),
    ];

    private static readonly (string Type, Func<double, double> Formula)[] Activations =
    [
        ("relu", x => Math.Max(x, 0)), ("sigmoid", x => 1 / (1 + Math.Exp(-x))), ("tanh", Math.Tanh), ("softrelu", x => Math.Log(1 + Math.Exp(x))), ("softsign", x => x / (1 + Math.Abs(x))),
        ("log_sigmoid", x => -Math.Log(1 + Math.Exp(-x))), ("mish", x => x * Math.Tanh(Math.Log(1 + Math.Exp(x)))),
    ];

    private static readonly (string[] Names, Func<double, double, double> Formula)[] OfTwo =
    [
        (["elemwise_add", "_plus", "_Plus", "_add", "broadcast_add", "broadcast_plus", "_grad_add", "add_n", "ElementWiseSum", "_sum_n"], (a, b) => a + b), (["elemwise_sub", "_minus", "_Minus", "_sub", "broadcast_sub", "broadcast_minus"], (a, b) => a - b),
        (["elemwise_mul", "_mul", "_Mul", "broadcast_mul"], (a, b) => a * b), (["elemwise_div", "_div", "_Div", "broadcast_div"], (a, b) => a / b), (["_maximum", "_Maximum", "broadcast_maximum"], Math.Max),
        (["broadcast_equal", "_equal", "_Equal"], (a, b) => a == b ? 1 : 0), (["broadcast_not_equal", "_not_equal", "_Not_Equal"], (a, b) => a != b ? 1 : 0),
        (["broadcast_greater", "_greater", "_Greater"], (a, b) => a > b ? 1 : 0), (["broadcast_greater_equal", "_greater_equal", "_Greater_Equal"], (a, b) => a >= b ? 1 : 0),
        (["broadcast_lesser", "_lesser", "_Lesser"], (a, b) => a < b ? 1 : 0), (["broadcast_lesser_equal", "_lesser_equal", "_Lesser_Equal"], (a, b) => a <= b ? 1 : 0),
        (["_minimum", "_Minimum", "broadcast_minimum"], Math.Min), (["_power", "_Power", "broadcast_power"], (a, b) => Math.Pow(a, b)),
    ];

    private static readonly (string[] Names, Func<double, double> Formula)[] Scalars =
    [
        (["_plus_scalar", "_PlusScalar"], x => x + 2), (["_minus_scalar", "_MinusScalar"], x => x - 2), (["_rminus_scalar", "_RMinusScalar"], x => 2 - x), (["_mul_scalar", "_MulScalar"], x => x * 2),
        (["_div_scalar", "_DivScalar"], x => x / 2), (["_rdiv_scalar", "_RDivScalar"], x => 2 / x), (["_power_scalar", "_PowerScalar"], x => x * x), (["_rpower_scalar", "_RPowerScalar"], x => Math.Pow(2, x)),
        (["_equal_scalar", "_EqualScalar"], x => x == 2 ? 1 : 0), (["_not_equal_scalar", "_NotEqualScalar"], x => x != 2 ? 1 : 0), (["_greater_scalar", "_GreaterScalar"], x => x > 2 ? 1 : 0),
        (["_greater_equal_scalar", "_GreaterEqualScalar"], x => x >= 2 ? 1 : 0), (["_lesser_scalar", "_LesserScalar"], x => x < 2 ? 1 : 0), (["_lesser_equal_scalar", "_LesserEqualScalar"], x => x <= 2 ? 1 : 0),
        (["_maximum_scalar", "_MaximumScalar"], x => Math.Max(x, 2)), (["_minimum_scalar", "_MinimumScalar"], x => Math.Min(x, 2)),
    ];

    private static IEnumerable<TestCaseData> Cases()
    {
        foreach ((string[] names, Func<double, double> formula) in OfOne)
            foreach (string name in names) yield return Case(name, s => s.Variable("x").Add(name, "y", ["x"]), formula);
        foreach ((string type, Func<double, double> formula) in Activations) yield return Case($"Activation {type}", s => s.Variable("x").Add("Activation", "y", ["x"], ("act_type", type)), formula);
        foreach ((string[] names, Func<double, double> formula) in Scalars)
            foreach (string name in names) yield return Case(name, s => s.Variable("x").Add(name, "y", ["x"], ("scalar", "2")), formula);
        yield return Case("hard_sigmoid", s => s.Variable("x").Add("hard_sigmoid", "y", ["x"]), x => Math.Clamp(0.2 * x + 0.5, 0, 1));
        yield return Case("LeakyReLU elu", s => s.Variable("x").Add("LeakyReLU", "y", ["x"], ("act_type", "elu"), ("slope", "0.5")), x => x > 0 ? x : 0.5 * (Math.Exp(x) - 1));
        yield return Case("LeakyReLU selu", s => s.Variable("x").Add("LeakyReLU", "y", ["x"], ("act_type", "selu")), x => 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * (Math.Exp(x) - 1)));
        foreach ((string[] names, Func<double, double, double> formula) in OfTwo)
            foreach (string name in names) yield return new TestCaseData(name, formula).SetArgDisplayNames(name);
    }

    [TestCaseSource(nameof(Cases))]
    public void NameMeansItsFormula(object what, object formula)
    {
        if (what is Func<Symbols, Symbols> write)
        {
            var one = (Func<double, double>)formula;
            Check(write(new Symbols()), [.. A.Select(a => one(a))]);
            return;
        }
        var two = (Func<double, double, double>)formula;
        Symbols symbols = new Symbols().Variable("x").Variable("w", Symbols.Floats(B, 2, 3)).Add((string)what, "y", ["x", "w"]);
        Check(symbols, [.. A.Zip(B, (a, b) => two(a, b))]);
    }

    [TestCase(2)]
    [TestCase(3)]
    public void BilinearUpSampling(int scale)
    {
        // The weight that MXNet's initializer writes: (1 − |i/f − c|)·(1 − |j/f − c|) with f = scale, c = (2f − 1 − f mod 2)/(2f). In the middle of the image, where no tap
        // falls on padding, the result is the interpolation at half pixels.
        int kernel = 2 * scale - scale % 2;
        double factor = Math.Ceiling(kernel / 2.0), centre = (2 * factor - 1 - factor % 2) / (2 * factor);
        float[] weight = [.. Enumerable.Range(0, kernel * kernel).Select(i => (float)((1 - Math.Abs(i % kernel / factor - centre)) * (1 - Math.Abs(i / kernel / factor - centre))))];
        Symbols symbols = new Symbols().Variable("x", null, ("__shape__", "(1, 1, 4, 4)")).Variable("w", Symbols.Floats(weight, 1, 1, kernel, kernel))
            .Add("UpSampling", "y", ["x", "w"], ("scale", $"{scale}"), ("sample_type", "bilinear"), ("num_filter", "1"));
        float[] image = [.. Enumerable.Range(0, 16).Select(i => (float)(i % 4 + i / 4 * 3))];
        float[] y = Outputs(symbols, Symbols.Floats(image, 1, 1, 4, 4), out int[] shape);
        Assert.That(shape, Is.EqualTo(new[] { 1, 1, 4 * scale, 4 * scale }));
        for (int row = scale; row < 3 * scale; row++)
            for (int column = scale; column < 3 * scale; column++)
                Assert.That(y[row * 4 * scale + column], Is.EqualTo((column + 0.5) / scale - 0.5 + ((row + 0.5) / scale - 0.5) * 3).Within(Bound));
    }

    [TestCase("edge", new float[] { 1, 1, 2, 3, 3 })]
    [TestCase("reflect", new float[] { 2, 1, 2, 3, 2 })]
    [TestCase("constant", new float[] { 0, 1, 2, 3, 0 })]
    public void PadModes(string mode, float[] expected)
    {
        Symbols symbols = new Symbols().Variable("x", null, ("__shape__", "(1, 1, 1, 3)")).Add("Pad", "y", ["x"], ("mode", mode), ("pad_width", "(0, 0, 0, 0, 0, 0, 1, 1)"));
        Assert.That(Outputs(symbols, Symbols.Floats([1, 2, 3], 1, 1, 1, 3), out _), Is.EqualTo(expected));
    }

    private static void Check(Symbols symbols, double[] expected)
    {
        float[] y = Outputs(symbols, Symbols.Floats(A, 2, 3), out _);
        for (int i = 0; i < expected.Length; i++)
        {
            if (double.IsNaN(expected[i])) Assert.That(y[i], Is.NaN);
            else Assert.That(y[i], Is.EqualTo(expected[i]).Within(Bound * Math.Max(1, Math.Abs(expected[i]))), $"f({A[i]})");
        }
    }

    /// <summary>Octet's output, after ONNX Runtime has given the same on the saved model.</summary>
    private static float[] Outputs(Symbols symbols, Tensor input, out int[] shape)
    {
        Model model = MxNetImporter.Import(symbols.Json("y"), symbols.Parameters, "m");
        string name = model.Graph.Inputs.Single(value => !value.IsConstant).Name;
        var inputs = new Dictionary<string, Tensor> { [name] = input };
        Oracle.Compare(model.Graph, inputs, (float)Bound);
        Tensor y = new Octet.Runtime.Execution.InferenceSession(model).Run(inputs).Values.First();
        shape = y.Shape.ToArray();
        return y.ToFloat32Array();
    }

    private static TestCaseData Case(string name, Func<Symbols, Symbols> write, Func<double, double> formula) => new TestCaseData(write, formula).SetArgDisplayNames(name);
}
