using System.Diagnostics;

namespace Octet.Runtime.Execution;

/// <summary>
/// Whether the runs of a plan take helpers, decided by how long they take with and without: on a machine whose other processors are busy, helpers can cost more than they save.
/// </summary>
/// <remarks>
/// Each way has a moving average <c>t ← t + (min(x, 2t) − t)/4</c> of its times x, so that one disturbed run does not decide. The slower way is tried again after <see cref="FewestRuns"/> runs, then after
/// twice as many each time it loses, up to <see cref="MostRuns"/>: a lost decision costs at most a few per cent. Results do not depend on it, because they do not depend on the number of threads.
/// Used by concurrent runs without locks: a lost time changes speed for a moment, nothing else.
/// </remarks>
internal sealed class ThreadChoice
{
    /// <summary>Runs at first that are not counted: their code is not yet optimized.</summary>
    public const int Unmeasured = 8;

    /// <summary>Runs after which the way that was slower is first tried again.</summary>
    public const int FewestRuns = 16;

    /// <summary>Runs after which it is tried again at the latest.</summary>
    public const int MostRuns = 128;

    /// <summary>Runs of a trial; the faster counts, since the first must wake the helpers.</summary>
    public const int TrialRuns = 2;

    private readonly long[] _average = new long[2];   // alone, helped; in ticks of the stopwatch
    private int _runs;
    private int _preferred = 1;
    private int _wait = FewestRuns;
    private int _untilTrial = 1;
    private int _trialLeft;
    private long _trialBest;

    /// <summary>Whether the next run is to take helpers.</summary>
    public bool TakesHelpers => (_trialLeft > 0 ? 1 - _preferred : _preferred) == 1;

    /// <summary>Books a run.</summary>
    /// <param name="helped">Whether it had helpers.</param>
    /// <param name="ticks">How long it took, in ticks of <see cref="Stopwatch"/>.</param>
    public void Book(bool helped, long ticks)
    {
        if (_runs < Unmeasured)
        {
            _runs++;
            return;
        }
        int way = helped ? 1 : 0;
        if (way == _preferred)
        {
            long average = _average[way];
            _average[way] = average == 0 ? ticks : average + (Math.Min(ticks, 2 * average) - average) / 4;
            if (--_untilTrial <= 0) (_trialLeft, _trialBest) = (TrialRuns, long.MaxValue);
            return;
        }
        if (_trialLeft <= 0) return;
        _trialBest = Math.Min(_trialBest, ticks);
        if (--_trialLeft > 0) return;
        _average[way] = _trialBest;
        bool wins = _trialBest < _average[_preferred];
        if (wins) _preferred = way;
        _wait = wins ? FewestRuns : Math.Min(2 * _wait, MostRuns);
        _untilTrial = _wait;
    }
}
