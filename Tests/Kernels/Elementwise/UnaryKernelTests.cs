using Octet.Kernels.Cpu;
using Octet.Kernels.Elementwise;
using Octet.Kernels.Lanes;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.Elementwise;

internal sealed class UnaryKernelTests
{
    private const float Alpha = 0.3f, Beta = 0.7f;

    private static readonly UnaryOperation[] Operations = Enum.GetValues<UnaryOperation>();

    private static readonly float[] Special =
    [
        0f, -0f, 1f, -1f, 0.5f, -0.5f, 1.5f, 2.5f, float.Epsilon, -float.Epsilon, 1e-38f, 1e-30f, -1e-30f, 1e-5f, 88f, 88.73f, 89f, 104f, -87f, -88f, -104f, -110f,
        1e10f, -1e10f, float.MaxValue, float.MinValue, float.PositiveInfinity, float.NegativeInfinity, float.NaN,
    ];

    /// <summary>The function in double.</summary>
    private static double Exact(UnaryOperation operation, double x) => operation switch
    {
        UnaryOperation.Identity => x,
        UnaryOperation.Relu => Math.Max(0, x),
        UnaryOperation.Clip => double.IsNaN(x) ? x : Math.Clamp(x, Alpha, Beta),
        UnaryOperation.LeakyRelu => x < 0 ? Alpha * x : x,
        UnaryOperation.ThresholdedRelu => x > Alpha ? x : 0,
        UnaryOperation.Sigmoid => 1 / (1 + Math.Exp(-x)),
        UnaryOperation.Tanh => Math.Tanh(x),
        UnaryOperation.HardSigmoid => double.IsNaN(x) ? x : Math.Clamp(Alpha * x + Beta, 0, 1),
        UnaryOperation.HardSwish => x == double.NegativeInfinity ? double.NaN : x * Math.Clamp(x / 6 + 0.5, 0, 1),
        UnaryOperation.GeluErf => 0.5 * x * (1 + Erf(x / Math.Sqrt(2))),
        UnaryOperation.GeluTanh => 0.5 * x * (1 + Math.Tanh(Math.Sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x))),
        UnaryOperation.Swish => x / (1 + Math.Exp(-Alpha * x)),
        UnaryOperation.Elu => x < 0 ? Alpha * ExpMinusOne(x) : x,
        UnaryOperation.Selu => Beta * (x < 0 ? Alpha * ExpMinusOne(x) : x),
        UnaryOperation.Celu => x < 0 ? Alpha * ExpMinusOne(x / Alpha) : x,
        UnaryOperation.Softplus => Math.Max(0, x) + LogOnePlus(Math.Exp(-Math.Abs(x))),
        UnaryOperation.LogSigmoid => Math.Min(0, x) - LogOnePlus(Math.Exp(-Math.Abs(x))),
        UnaryOperation.Softsign => x / (1 + Math.Abs(x)),
        UnaryOperation.Mish => x * Math.Tanh(Math.Max(0, x) + LogOnePlus(Math.Exp(-Math.Abs(x)))),
        UnaryOperation.Abs => Math.Abs(x),
        UnaryOperation.Negate => -x,
        UnaryOperation.Square => x * x,
        UnaryOperation.Sqrt => Math.Sqrt(x),
        UnaryOperation.Reciprocal => 1 / x,
        UnaryOperation.Exp => Math.Exp(x),
        UnaryOperation.Log => Math.Log(x),
        UnaryOperation.Erf => Erf(x),
        UnaryOperation.Floor => Math.Floor(x),
        UnaryOperation.Ceiling => Math.Ceiling(x),
        UnaryOperation.Round => Math.Round(x),
        UnaryOperation.Sign => double.IsNaN(x) ? x : Math.Sign(x),
        UnaryOperation.Affine => Alpha * x + Beta,
        _ => throw new ArgumentOutOfRangeException(nameof(operation)),
    };

    /// <summary>Units in the last place, for functions without cancellation; null for those bounded absolutely.</summary>
    private static double? Ulps(UnaryOperation operation) => operation switch
    {
        UnaryOperation.Exp => Tolerance.FunctionUlps.Exp,
        UnaryOperation.Log => Tolerance.FunctionUlps.Log,
        UnaryOperation.Tanh => Tolerance.FunctionUlps.Tanh,
        UnaryOperation.Sigmoid => Tolerance.FunctionUlps.Sigmoid,
        UnaryOperation.Erf => Tolerance.FunctionUlps.Erf,
        UnaryOperation.Softplus or UnaryOperation.LogSigmoid => Tolerance.FunctionUlps.Softplus,
        UnaryOperation.Elu or UnaryOperation.Celu or UnaryOperation.Selu => Tolerance.FunctionUlps.ExpMinusOne + 2,
        UnaryOperation.HardSigmoid or UnaryOperation.HardSwish or UnaryOperation.Affine or UnaryOperation.GeluErf or UnaryOperation.GeluTanh
            or UnaryOperation.Swish or UnaryOperation.Mish => null,
        UnaryOperation.Softsign => Tolerance.FunctionUlps.TwoOperations,
        _ => Tolerance.FunctionUlps.Exact,
    };

    private static double ExpMinusOne(double x) => Math.Abs(x) < 1e-5 ? x + x * x / 2 : Math.Exp(x) - 1;

    private static double LogOnePlus(double u) => u < 1e-5 ? u - u * u / 2 : Math.Log(1 + u);

    /// <summary>Taylor series near 0, continued fraction of erfc beyond.</summary>
    private static double Erf(double x)
    {
        if (double.IsNaN(x)) return x;
        double t = Math.Abs(x);
        if (t > 6) return Math.Sign(x);
        if (t < 2.5)
        {
            double term = x, sum = x;
            for (int n = 1; n < 200; n++)
            {
                term *= -x * x / n;
                sum += term / (2 * n + 1);
            }
            return sum * 2 / Math.Sqrt(Math.PI);
        }
        double fraction = 0;
        for (int k = 200; k > 0; k--) fraction = k / 2.0 / (t + fraction);
        return Math.Sign(x) * (1 - Math.Exp(-t * t) / Math.Sqrt(Math.PI) / (t + fraction));
    }

    private static float[] Arguments()
    {
        var random = new Random(5);
        var values = new List<float>(Special);
        for (int i = 0; i < 6000; i++) values.Add((random.NextSingle() * 2 - 1) * 12f);
        for (int i = 0; i < 3000; i++) values.Add((random.NextSingle() * 2 - 1) * 110f);
        for (int i = 0; i < 3000; i++) values.Add(MathF.Pow(10, random.NextSingle() * 70 - 37) * (random.Next(2) * 2 - 1));
        for (int i = 0; i < 2001; i++) values.Add((i - 1000) * 0.00137f);
        return [.. values];
    }

    [Test]
    public void StaysWithinTheStatedError([ValueSource(nameof(Operations))] UnaryOperation operation, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        UnaryKernel kernel = UnaryKernel.Select(operation, Widths.Require(width));
        Assert.That(kernel.Width, Is.EqualTo(width));
        float[] x = Arguments(), y = new float[x.Length];
        kernel.Run(x, y, Alpha, Beta);
        for (int i = 0; i < x.Length; i++)
        {
            double exact = Exact(operation, x[i]);
            if (Ulps(operation) is { } ulps)
            {
                Assert.That(Tolerance.Ulps(y[i], exact), Is.LessThanOrEqualTo(ulps), $"{operation}({x[i]:r}) = {y[i]:r}, exact {exact:r}");
            }
            else if (Math.Abs(x[i]) < 1e4)
            {
                Assert.That(y[i], Is.EqualTo(exact).Within(Tolerance.Activation(x[i])), $"{operation}({x[i]:r})");
            }
        }
    }

    [Test]
    public void EveryWidthTailAndPositionGivesTheSameBits([ValueSource(nameof(Operations))] UnaryOperation operation, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        CpuFeatures cpu = Widths.Require(width);
        float[] x = Arguments(), expected = new float[x.Length], y = new float[x.Length];
        UnaryKernel.Create(operation, VectorWidth.Scalar).Run(x, expected, Alpha, Beta);
        UnaryKernel kernel = UnaryKernel.Select(operation, cpu);
        kernel.Run(x, y, Alpha, Beta);
        for (int i = 0; i < x.Length; i++)
        {
            if (float.IsNaN(expected[i]) && float.IsNaN(y[i])) continue;
            Assert.That(BitConverter.SingleToInt32Bits(y[i]), Is.EqualTo(BitConverter.SingleToInt32Bits(expected[i])), $"{operation}({x[i]:r}) = {y[i]:r}, scalar {expected[i]:r}");
        }
        for (int length = 0; length <= 40; length++)
        {
            var part = new float[length + 1];
            part[length] = 123f;
            kernel.Run(x.AsSpan(29, length), part, Alpha, Beta);
            Assert.That(part[..length], Is.EqualTo(expected[29..(29 + length)]));
            Assert.That(part[length], Is.EqualTo(123f), "wrote behind the end");
        }
        var many = new float[x.Length];
        kernel.Run(x, many, Alpha, Beta, new Parallelism(TestPool.Four, 4));
        Assert.That(many, Is.EqualTo(y));
    }

    [Test]
    public void NaNStaysNaN([ValueSource(nameof(Operations))] UnaryOperation operation, [ValueSource(typeof(Widths), nameof(Widths.All))] VectorWidth width)
    {
        UnaryKernel kernel = UnaryKernel.Select(operation, Widths.Require(width));
        var x = new float[33];
        Array.Fill(x, float.NaN);
        kernel.Run(x, x, Alpha, Beta);
        Assert.That(x, Is.All.EqualTo(operation == UnaryOperation.ThresholdedRelu ? 0f : float.NaN));
    }

    [Test]
    public void ShortOutputsAreRefused() =>
        Assert.That(() => UnaryKernel.Select(UnaryOperation.Relu, CpuFeatures.None).Run(new float[3], new float[2]), Throws.ArgumentException);
}
