using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Operators;

/// <summary>Products against the definition in float64, on values for which float32 is exact.</summary>
internal sealed class ProductOperatorTests
{
    private static readonly object[] Shapes =
    [
        new object[] { new[] { 3, 4 }, new[] { 4, 5 }, new[] { 3, 5 } },
        new object[] { new[] { 4 }, new[] { 4, 5 }, new[] { 5 } },
        new object[] { new[] { 3, 4 }, new[] { 4 }, new[] { 3 } },
        new object[] { new[] { 4 }, new[] { 4 }, Array.Empty<int>() },
        new object[] { new[] { 2, 3, 4 }, new[] { 4, 5 }, new[] { 2, 3, 5 } },
        new object[] { new[] { 2, 1, 3, 4 }, new[] { 6, 4, 5 }, new[] { 2, 6, 3, 5 } },
        new object[] { new[] { 6, 3, 4 }, new[] { 2, 1, 4, 5 }, new[] { 2, 6, 3, 5 } },
        new object[] { new[] { 3, 0 }, new[] { 0, 5 }, new[] { 3, 5 } },
        new object[] { new[] { 0, 4 }, new[] { 4, 5 }, new[] { 0, 5 } },
    ];

    [TestCaseSource(nameof(Shapes))]
    public void MatMulEqualsTheDefinition(int[] aShape, int[] bShape, int[] yShape)
    {
        Tensor a = TestGraph.PowersOfTwo(1, aShape), b = TestGraph.PowersOfTwo(2, bShape);
        Tensor y = OperatorRunner.Run("MatMul", [a, b])[0];
        Tensor expected = OperatorRunner.Run("MatMul", [ToDouble(a), ToDouble(b)])[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(yShape));
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected.ToFloat32Array()));
    }

    [Test]
    public void GemmEqualsItsDefinition([Values(false, true)] bool transA, [Values(false, true)] bool transB, [Values("none", "scalar", "row", "column", "matrix")] string addend)
    {
        (int m, int n, int k) = (3, 5, 4);
        Tensor a = TestGraph.PowersOfTwo(1, transA ? [k, m] : [m, k]), b = TestGraph.PowersOfTwo(2, transB ? [n, k] : [k, n]);
        Tensor? c = addend switch { "scalar" => TestGraph.PowersOfTwo(3), "row" => TestGraph.PowersOfTwo(3, n), "column" => TestGraph.PowersOfTwo(3, m, 1), "matrix" => TestGraph.PowersOfTwo(3, m, n), _ => null };
        var attributes = new AttributeMap { { "alpha", 0.5f }, { "beta", 2f }, { "transA", transA ? 1L : 0L }, { "transB", transB ? 1L : 0L } };
        float[] y = OperatorRunner.Run("Gemm", [a, b, c], attributes)[0].ToFloat32Array();
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double expected = addend switch { "scalar" => c!.Span<float>()[0], "row" => c!.Span<float>()[j], "column" => c!.Span<float>()[i], "matrix" => c!.Span<float>()[i * n + j], _ => 0.0 } * 2;
                for (int t = 0; t < k; t++) expected += 0.5 * a.Span<float>()[transA ? t * m + i : i * k + t] * b.Span<float>()[transB ? j * k + t : t * n + j];
                Assert.That(y[i * n + j], Is.EqualTo((float)expected));
            }
        }
    }

    [Test]
    public void IntegerMatricesWrap()
    {
        Tensor a = Tensor.Create(new[] { int.MaxValue, 2 }, 1, 2), b = Tensor.Create(new[] { 2, 3 }, 2, 1);
        Assert.That(OperatorRunner.Run("MatMul", [a, b])[0].Span<int>()[0], Is.EqualTo(unchecked(int.MaxValue * 2 + 6)));
    }

    [Test]
    public void OctetGemmAppliesItsEpilogueInOrder([Values(false, true)] bool activationFirst)
    {
        // x·w + bias = 6 − 9 = −3
        var attributes = new AttributeMap { { "activation", "Relu" }, { "activation_first", activationFirst ? 1L : 0L } };
        Tensor y = OperatorRunner.Run("Gemm", [Tensor.Create([2f], 1, 1), Tensor.Create([3f], 1, 1), Tensor.Create([-9f], 1), Tensor.Create([11f], 1, 1)], attributes, "octet")[0];
        Assert.That(y.Span<float>()[0], Is.EqualTo(activationFirst ? 11f : 8f));
    }

    [Test]
    public void OctetGemmTakesAnyRank()
    {
        Tensor x = TestGraph.PowersOfTwo(1, 2, 3, 4), w = TestGraph.PowersOfTwo(2, 5, 4);
        Tensor y = OperatorRunner.Run("Gemm", [x, w], new AttributeMap { { "transB", 1L } }, "octet")[0];
        Tensor expected = OperatorRunner.Run("FusedMatMul", [x, w], new AttributeMap { { "transB", 1L } }, "com.microsoft")[0];
        Assert.That(y.Shape.ToArray(), Is.EqualTo(new[] { 2, 3, 5 }));
        Assert.That(y.Span<float>().ToArray(), Is.EqualTo(expected.Span<float>().ToArray()));
    }

    [Test]
    public void RefusesDepthsThatDoNotFit()
    {
        ModelException? error = Assert.Throws<ModelException>(() => OperatorRunner.Run("MatMul", [TestGraph.RandomTensor(1, 2, 3), TestGraph.RandomTensor(1, 4, 2)]));
        Assert.That(error!.Message, Does.Contain("A has depth 3 but B has depth 4").And.Contain("rule:"));
    }

    private static Tensor ToDouble(Tensor tensor) => Tensor.Create(Array.ConvertAll(tensor.ToFloat32Array(), value => (double)value), tensor.Shape.ToArray());
}
