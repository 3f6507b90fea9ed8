using Octet.Kernels.Threading;

namespace Octet.Tests.Support;

/// <summary>Worker threads for tests of thread independence, whatever the machine has.</summary>
internal static class TestPool
{
    /// <summary>Four threads, the caller included.</summary>
    public static WorkerPool Four { get; } = new(3);
}
