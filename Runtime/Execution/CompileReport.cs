
namespace Octet.Runtime.Execution;

/// <summary>What compiling did to a graph, for <c>octet explain</c> and tests.</summary>
internal sealed class CompileReport
{

    /// <summary>How long compiling took.</summary>
    public TimeSpan Elapsed { get; set; }
}
