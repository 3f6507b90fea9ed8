namespace Octet.Tests.Kernels.Emit;

/// <summary>Layer 2: what emitted kernels compute, on every machine, in the interpreter.</summary>
internal sealed class EmittedBehaviourTests
{
    [TestCaseSource(typeof(EmittedFunctions), nameof(EmittedFunctions.All))]
    public void ComputesTheDefinition(EmittedFunctions.Case one) => Assert.That(one.Check(one.Function.Bytes), Is.Null);
}
