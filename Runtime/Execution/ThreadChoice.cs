namespace Octet.Runtime.Execution;

/// <summary>
/// Whether the runs of a plan take helpers, decided by how long they take with and without: on a machine whose other processors are busy, helpers can cost more than they save.
/// </summary>
/// <remarks>
/// Times are those of the faster of <see cref="TrialRuns"/> runs in a row (the first must wake the helpers, and others disturb), for the way in use averaged as <c>t ← t + (min(x, 2t) − t)/4</c>. Helpers are given up
/// after two trials in a row that were faster without, which follow each other soon. The way not in use is tried again after <see cref="FewestRuns"/> runs, then after twice as many each time it loses, up to
/// <see cref="MostRuns"/>, and at once after these if that is working alone and a quarter slower: so a machine that has become idle is noticed, and trials cost a few per cent at most. Results do not
/// depend on the choice, because they do not depend on the number of threads.
/// Used by concurrent runs without locks: a lost time changes speed for a moment, nothing else.
/// </remarks>
internal sealed class ThreadChoice
{
    /// <summary>Runs at first that are not counted: their code is not yet optimized.</summary>
    public const int Unmeasured = 16;

    /// <summary>Runs after which a trial is repeated, at the earliest.</summary>
    public const int FewestRuns = 8;

    /// <summary>Runs after which it is repeated, at the latest.</summary>
    public const int MostRuns = 128;

    /// <summary>Runs that make one time.</summary>
    public const int TrialRuns = 2;

    private int _runs;
    private bool _helpers = true;   // the way in use
    private long _average, _best = long.MaxValue;   // its time, and the fastest of the runs that make the next
    private int _counted;
    private bool _tries;   // whether the other way is on trial
    private int _untilTrial = FewestRuns, _wait = FewestRuns;
    private bool _lostBefore;   // whether the last trial went against helpers

    /// <summary>Whether the next run is to take helpers.</summary>
    public bool TakesHelpers => _helpers != _tries;

    /// <summary>Books a run.</summary>
    /// <param name="helped">Whether it had helpers.</param>
    /// <param name="ticks">How long it took, in ticks of the stopwatch.</param>
    public void Book(bool helped, long ticks)
    {
        if (_runs < Unmeasured)
        {
            _runs++;
            return;
        }
        if (helped != TakesHelpers) return;   // began before the way changed
        _best = Math.Min(_best, ticks);
        if (!_tries) _untilTrial--;
        if (++_counted < TrialRuns) return;
        long time = _best;
        (_counted, _best) = (0, long.MaxValue);
        if (_tries) Judge(time);
        else
        {
            _average = _average == 0 ? time : _average + (Math.Min(time, 2 * _average) - _average) / 4;
            _tries = _untilTrial <= 0;
        }
    }

    private void Judge(long other)
    {
        _tries = false;
        bool faster = other < _average;
        if (_helpers && faster && !_lostBefore)
        {
            (_lostBefore, _untilTrial) = (true, FewestRuns);
            return;
        }
        _lostBefore = false;
        if (faster) (_helpers, _average, _wait) = (!_helpers, other, FewestRuns);
        else _wait = _helpers && other > _average + _average / 4 ? MostRuns : Math.Min(2 * _wait, MostRuns);
        _untilTrial = _wait;
    }
}
