using Octet.Kernels.Cpu;
using Octet.Kernels.Memory;
using Octet.Kernels.SGemm;
using Octet.Kernels.Threading;
using Octet.Tests.Support;

namespace Octet.Tests.Kernels.SGemm;

[TestFixtureSource(typeof(SGemmKernels), nameof(SGemmKernels.All))]
internal sealed class SGemmDynamicTests(SGemmKernel kernel)
{
    [SetUp]
    public void SkipIfUnsupported()
    {
        if ((kernel.Requires & ~CpuInfo.Detected) != 0) Assert.Ignore($"{kernel.Name} needs {kernel.Requires}");
    }

    [Test]
    public void EqualsPackedWeightsBitForBit([Values(1, 3, 13, 40)] int m, [Values(1, 8, 17, 33, 70)] int n, [Values(1, 5, 64)] int k, [Values(false, true)] bool transposed, [Values(1, 3)] int threads)
    {
        float[] a = TestGraph.RandomTensor(m, m * k).ToFloat32Array(), b = TestGraph.RandomTensor(n, k * n).ToFloat32Array(), sum = TestGraph.RandomTensor(7, m * n).ToFloat32Array();
        var parallelism = new Parallelism(new WorkerPool(2), threads);
        SEpilogue epilogue = SEpilogue.None(n);
        var expected = new float[m * n];
        var actual = new float[m * n];
        SGemmDriver.Run(a, k, m, SGemmWeights.Pack(b, k, n, transposed, kernel), epilogue, sum, expected, n, [], Parallelism.None);
        SGemmDynamic.Run(a, m, b, k, n, transposed, 1f, kernel, epilogue, sum, actual, new AlignedBuffer(SGemmDynamic.ScratchBytes(k, n, kernel)).Memory.Span, parallelism);
        Assert.That(actual, Is.EqualTo(expected));
    }

    [Test]
    public void MultipliesByAPowerOfTwoExactly()
    {
        float[] a = TestGraph.PowersOfTwo(1, 6).ToFloat32Array(), b = TestGraph.PowersOfTwo(2, 15).ToFloat32Array();
        var one = new float[10];
        var quarter = new float[10];
        byte[] scratch = new byte[SGemmDynamic.ScratchBytes(3, 5, kernel)];
        SGemmDynamic.Run(a, 2, b, 3, 5, false, 1f, kernel, SEpilogue.None(5), [], one, scratch, Parallelism.None);
        SGemmDynamic.Run(a, 2, b, 3, 5, false, 0.25f, kernel, SEpilogue.None(5), [], quarter, scratch, Parallelism.None);
        Assert.That(quarter, Is.EqualTo(one.Select(value => value * 0.25f)));
    }

    [Test]
    public void RefusesShortSpans()
    {
        byte[] scratch = new byte[SGemmDynamic.ScratchBytes(3, 5, kernel)];
        Assert.Throws<ArgumentException>(() => SGemmDynamic.Run(new float[6], 2, new float[14], 3, 5, false, 1f, kernel, SEpilogue.None(5), [], new float[10], scratch, Parallelism.None));
        Assert.Throws<ArgumentException>(() => SGemmDynamic.Run(new float[6], 2, new float[15], 3, 5, false, 1f, kernel, SEpilogue.None(5), [], new float[9], scratch, Parallelism.None));
        Assert.Throws<ArgumentException>(() => SGemmDynamic.Run(new float[6], 2, new float[15], 3, 5, false, 1f, kernel, SEpilogue.None(5), [], new float[10], scratch.AsSpan(1), Parallelism.None));
    }
}
