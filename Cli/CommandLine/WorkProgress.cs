using Spectre.Console;

namespace Octet.Cli.CommandLine;

/// <summary>Progress of long work: a bar with the remaining time where somebody looks, nothing elsewhere.</summary>
internal sealed class WorkProgress
{
    private readonly ProgressTask? _task;

    private WorkProgress(ProgressTask? task) => _task = task;

    /// <summary>Does <paramref name="work"/> under a bar.</summary>
    /// <param name="host">Decides whether a bar is shown.</param>
    /// <param name="title">What is being done.</param>
    /// <param name="work">The work; reports through the argument.</param>
    public static T Show<T>(VerbHost host, string title, Func<WorkProgress, T> work)
    {
        if (!host.ShowsProgress) return work(new WorkProgress(null));
        return host.ErrorConsole().Progress().AutoClear(true)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new RemainingTimeColumn(), new SpinnerColumn())
            .Start(context => work(new WorkProgress(context.AddTask(Markup.Escape(title), maxValue: 1))));
    }

    /// <summary>Says how far the work is.</summary>
    /// <param name="done">Units done.</param>
    /// <param name="total">Units in all, or null while unknown.</param>
    /// <param name="title">What is being done, where that changes.</param>
    public void Report(long done, long? total, string? title = null)
    {
        if (_task is null) return;
        if (title is not null) _task.Description = Markup.Escape(title);
        _task.IsIndeterminate = total is null;
        _task.MaxValue = Math.Max(1, total ?? 1);
        _task.Value = Math.Min(done, total ?? 1);
    }
}
