using Octet.Runtime.Rewriting;

namespace Octet.Runtime.Execution;

/// <summary>What compiling did to a graph, for <c>octet explain</c> and tests.</summary>
internal sealed class CompileReport
{
    /// <summary>What each fusion rule did or refused to do, in order.</summary>
    public List<RewriteReport> Rewrites { get; } = [];

    /// <summary>How long compiling took.</summary>
    public TimeSpan Elapsed { get; set; }
}
