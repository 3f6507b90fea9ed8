using Octet.Runtime.Graphs;
using Octet.Tests.Support;

namespace Octet.Tests.Runtime.Passes.Fusion;

internal sealed class ProductFusionTests
{
    [Test]
    public void MatMulAndBiasBecomeGemm()
    {
        var g = new TestGraph();
        g.Output(g.Node("Add", [g.Random("b", 2, 5), g.Node("MatMul", [g.Input("x", 3, 4), g.Random("w", 1, 4, 5)])]), "y");
        Assert.That(new FusionCheck(g, portable: true).Agrees().Types, Is.EqualTo(new[] { "Gemm" }));
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Gemm" }));
    }

    [Test]
    public void ABiasPerRowIsRefused()
    {
        var g = new TestGraph();
        g.Output(g.Node("Add", [g.Node("MatMul", [g.Input("x", 3, 4), g.Random("w", 1, 4, 5)]), g.Random("b", 2, 3, 1)]), "y");
        var check = new FusionCheck(g, portable: true).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "MatMul", "Add" }));
        Assert.That(check.Refusal("matmul-add"), Is.EqualTo("the addend float32[3,1] is not one value per column"));
    }

    [Test]
    public void AnyRankTakesBiasSumAndActivation()
    {
        var g = new TestGraph(opset: 13);
        Value x = g.Input("x", 2, 3, 4), z = g.Input("z", 2, 3, 5);
        Value product = g.Node("Add", [g.Node("MatMul", [x, g.Random("w", 1, 4, 5)], name: "mm"), g.Random("b", 2, 5)], name: "bias");
        g.Output(g.Node("Relu", [g.Node("Add", [z, product], name: "sum")], name: "relu"), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "octet.Gemm" }));
        Assert.That(check.Fused.Nodes[0].Origins, Is.EqualTo(new[] { "mm", "bias", "sum", "relu" }));
    }

    [Test]
    public void GemmFactorsGoIntoTheConstants([Values(false, true)] bool transposed, [Values("none", "row", "scalar", "matrix")] string addend)
    {
        var g = new TestGraph();
        Value? c = addend switch { "row" => g.Random("c", 3, 1, 5), "scalar" => g.Random("c", 3, 1), "matrix" => g.Random("c", 3, 3, 5), _ => null };
        var attributes = new AttributeMap { { "alpha", 0.5f }, { "beta", addend == "matrix" ? 1f : 2f }, { "transB", transposed ? 1L : 0L } };
        g.Output(g.Node("Gemm", [g.Input("x", 3, 4), transposed ? g.Random("w", 1, 5, 4) : g.Random("w", 1, 4, 5), c], attributes), "y");
        Assert.That(new FusionCheck(g).Agrees().Types, Is.EqualTo(new[] { "octet.Gemm" }));
    }

    [Test]
    public void BatchNormFoldsIntoGemm([Values(false, true)] bool transposed)
    {
        var g = new TestGraph();
        Value gemm = g.Node("Gemm", [g.Input("x", 3, 4), transposed ? g.Random("w", 1, 5, 4) : g.Random("w", 1, 4, 5), g.Random("c", 2, 5)], new AttributeMap { { "transB", transposed ? 1L : 0L }, { "beta", 2f } });
        g.Output(g.Node("BatchNormalization", [gemm, g.Random("gamma", 3, 5), g.Random("beta", 4, 5), g.Random("mean", 5, 5), g.Floats("var", [1f, 2f, 3f, 4f, 5f])]), "y");
        Assert.That(new FusionCheck(g, portable: true).Agrees().Types, Is.EqualTo(new[] { "Gemm" }));
    }

    [Test]
    public void BatchNormAfterABiasPerRowIsRefused()
    {
        var g = new TestGraph();
        Value gemm = g.Node("Gemm", [g.Input("x", 3, 4), g.Random("w", 1, 4, 5), g.Random("c", 2, 3, 1)]);
        g.Output(g.Node("BatchNormalization", [gemm, g.Random("gamma", 3, 5), g.Random("beta", 4, 5), g.Random("mean", 5, 5), g.Floats("var", [1f, 2f, 3f, 4f, 5f])]), "y");
        Assert.That(new FusionCheck(g, portable: true).Refusal("gemm-batchnorm"), Is.EqualTo("the product's bias differs between rows"));
    }

    [Test]
    public void TransposesAndScaleGoIntoTheProductOfTwoActivations()
    {
        var g = new TestGraph();
        Value a = g.Input("a", 2, 4, 3), b = g.Input("b", 2, 5, 4);
        Value swappedA = g.Node("Transpose", [a], new AttributeMap { { "perm", new long[] { 0, 2, 1 } } }, "ta"), swappedB = g.Node("Transpose", [b], new AttributeMap { { "perm", new long[] { 0, 2, 1 } } }, "tb");
        g.Output(g.Node("Div", [g.Node("MatMul", [swappedA, swappedB]), g.Scalar("d", 8f)]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Types, Is.EqualTo(new[] { "com.microsoft.FusedMatMul" }));
        Assert.That(check.Fused.Nodes[0].Attributes.Float("alpha"), Is.EqualTo(0.125f));
    }

    [Test]
    public void ATransposeOfOtherAxesIsRefused()
    {
        var g = new TestGraph();
        Value swapped = g.Node("Transpose", [g.Input("a", 4, 2, 3)], new AttributeMap { { "perm", new long[] { 1, 0, 2 } } }, "t");
        g.Output(g.Node("MatMul", [swapped, g.Input("b", 2, 3, 5)]), "y");
        var check = new FusionCheck(g).Agrees();
        Assert.That(check.Refusal("transpose-matmul"), Is.EqualTo("Transpose 't' moves other axes than the last two"));
    }

    [Test]
    public void ReshapesAndTransposesMerge()
    {
        var g = new TestGraph();
        Value x = g.Input("x", 2, 3, 4);
        Value flat = g.Node("Reshape", [g.Node("Reshape", [x, g.Ints("s1", 6, 4)], name: "inner"), g.Ints("s2", 3, 8)], name: "outer");
        Value back = g.Node("Transpose", [g.Node("Transpose", [flat], name: "t1")], name: "t2");
        g.Output(g.Node("Relu", [back]), "y");
        Assert.That(new FusionCheck(g, portable: true).Agrees(exact: true).Types, Is.EqualTo(new[] { "Reshape", "Relu" }));
    }
}
