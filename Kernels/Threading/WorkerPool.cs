using System.Diagnostics;

namespace Octet.Kernels.Threading;

/// <summary>Work cut into pieces that any thread may take; implemented by structs so that handing it out allocates nothing.</summary>
internal interface IPieces
{
    /// <summary>Does one piece.</summary>
    /// <param name="piece">Which piece, 0 … count − 1; each is done exactly once.</param>
    /// <param name="worker">Who does it, 0 … threads − 1; no two threads share a number at the same time, so it indexes scratch space.</param>
    void Run(int piece, int worker);
}

/// <summary>
/// The threads that help a caller: one pool per process, started on first need, parked when idle. Pieces are taken, never
/// assigned; the caller takes pieces too and finishes what nobody took, so a helper that the system does not schedule costs
/// nothing, and one that is descheduled holds the caller up by no more than its current piece.
/// </summary>
/// <remarks>
/// Results cannot depend on the number of threads because pieces may not communicate. Waking a parked thread takes as long as many a layer, so between <see cref="Attend"/> and
/// <see cref="Dismiss"/>, the bounds of a run, as many helpers as it asked for wait for <see cref="WatchMicroseconds"/> before they park; outside them nobody spins.
/// </remarks>
internal sealed unsafe class WorkerPool
{
    /// <summary>The pool of this process: one helper fewer than the processors that the process may use (cgroup limits count).</summary>
    public static WorkerPool Shared { get; } = new(Environment.ProcessorCount - 1);

    /// <summary>Jobs that may run at the same time; one more runs on its caller's thread alone.</summary>
    private const int JobSlots = 32;

    /// <summary>How long a helper looks for the next job of a run before it parks: about what waking it costs, so that looking in vain at most doubles that.</summary>
    private const int WatchMicroseconds = 50;

    private static readonly long s_watchTicks = Math.Max(1, Stopwatch.Frequency * WatchMicroseconds / 1_000_000);

    private readonly int _helpers;
    private readonly Job[] _jobs = new Job[JobSlots];
    private readonly Lock _startGate = new();
    private readonly object _parking = new();
    private Thread[]? _threads;
    private int _posted;   // changes with every job; a helper parks only if nothing was posted since it last looked
    private int _parked;
    private int _wanted;   // helpers that the runs in progress asked for
    private int _watching;   // helpers that look for the next job without being parked

    internal WorkerPool(int helpers)
    {
        _helpers = Math.Max(0, helpers);
        for (int i = 0; i < _jobs.Length; i++) _jobs[i] = new Job();
    }

    /// <summary>Threads that can work on one job, the caller included.</summary>
    public int MaxThreads => _helpers + 1;

    /// <summary>Whether helper threads exist; a process that only ever asked for one thread has none.</summary>
    public bool Started => Volatile.Read(ref _threads) is not null;

    /// <summary>Helpers that sleep until they are woken.</summary>
    public int Parked => Volatile.Read(ref _parked);

    /// <summary>Runs all pieces and returns when the last is done.</summary>
    /// <param name="work">The work; stays on the caller's stack.</param>
    /// <param name="pieces">How many pieces there are.</param>
    /// <param name="threads">How many threads may take part, the caller included. 1 runs on the caller alone and starts no thread.</param>
    public void For<TWork>(ref TWork work, int pieces, int threads) where TWork : struct, IPieces
    {
        threads = Math.Min(Math.Min(threads, MaxThreads), pieces);
        Job? job = threads > 1 ? Claim() : null;
        if (job is null)
        {
            for (int piece = 0; piece < pieces; piece++) work.Run(piece, 0);
            return;
        }

        EnsureStarted();
#pragma warning disable CS8500   // the struct stays on this stack frame until every helper has left the job
        fixed (TWork* pointer = &work)
#pragma warning restore CS8500
        {
            job.Open(pointer, &Invoke<TWork>, pieces, threads);
            Interlocked.Increment(ref _posted);
            Wake(threads - 1);
            try
            {
                job.TakePieces(0);
            }
            finally
            {
                job.Close();
            }
        }
        job.Release();
    }

    /// <summary>Says that jobs will follow each other until <see cref="Dismiss"/>, so that helpers do not park between them. Starts and wakes nobody.</summary>
    /// <param name="threads">How many threads the jobs may use, the caller included.</param>
    public void Attend(int threads) => Interlocked.Add(ref _wanted, threads - 1);

    /// <summary>Ends what <see cref="Attend"/> began, with the same number.</summary>
    public void Dismiss(int threads) => Interlocked.Add(ref _wanted, 1 - threads);

    private static void Invoke<TWork>(void* work, int piece, int worker) where TWork : struct, IPieces
    {
#pragma warning disable CS8500
        ((TWork*)work)->Run(piece, worker);
#pragma warning restore CS8500
    }

    private Job? Claim()
    {
        foreach (Job job in _jobs)
        {
            if (job.TryClaim()) return job;
        }
        return null;
    }

    private void EnsureStarted()
    {
        if (Volatile.Read(ref _threads) is not null) return;
        lock (_startGate)
        {
            if (_threads is not null) return;
            var threads = new Thread[_helpers];
            for (int i = 0; i < threads.Length; i++)
            {
                threads[i] = new Thread(HelperLoop) { IsBackground = true, Name = $"Octet worker {i + 1}" };
                threads[i].Start();
            }
            Volatile.Write(ref _threads, threads);
        }
    }

    private void Wake(int helpers)
    {
        helpers -= Volatile.Read(ref _watching);
        if (helpers <= 0 || Volatile.Read(ref _parked) == 0) return;
        lock (_parking)
        {
            if (helpers >= _parked) Monitor.PulseAll(_parking);
            else for (int i = 0; i < helpers; i++) Monitor.Pulse(_parking);
        }
    }

    private void HelperLoop()
    {
        while (true)
        {
            int seen = Volatile.Read(ref _posted);
            bool worked = false;
            foreach (Job job in _jobs) worked |= job.Help();
            if (worked || seen != Volatile.Read(ref _posted) || Watch(seen)) continue;
            lock (_parking)
            {
                Interlocked.Increment(ref _parked);   // a full fence: a job posted after this sees a parked helper and wakes it
                if (seen == Volatile.Read(ref _posted)) Monitor.Wait(_parking);
                Interlocked.Decrement(ref _parked);
            }
        }
    }

    /// <summary>Looks for a job posted after <paramref name="seen"/>, as long as a run in progress wants this helper and the time is not up; false if none came.</summary>
    private bool Watch(int seen)
    {
        if (Volatile.Read(ref _wanted) <= 0) return false;
        bool posted = false;
        if (Interlocked.Increment(ref _watching) <= Volatile.Read(ref _wanted))
        {
            long until = Stopwatch.GetTimestamp() + s_watchTicks;
            while (!(posted = seen != Volatile.Read(ref _posted)) && Volatile.Read(ref _wanted) > 0 && Stopwatch.GetTimestamp() < until) Thread.SpinWait(8);
        }
        // A full fence before the caller of this looks at _posted again: who posted and counted this helper among the watching is seen there.
        Interlocked.Decrement(ref _watching);
        return posted;
    }

    /// <summary>
    /// One call of <see cref="For"/>. <c>_gate</c> counts the helpers inside while it is open (≥ 0) and is
    /// <see cref="Closed"/> + count while closed, so that nobody enters once the caller is leaving.
    /// </summary>
    private sealed class Job
    {
        private const int Closed = int.MinValue / 2;

        private int _claimed;
        private int _gate = Closed;
        private void* _work;
        private delegate*<void*, int, int, void> _invoke;
        private int _pieces;
        private int _threads;
        private int _next;
        private int _workers;
        private Exception? _failure;

        public bool TryClaim() => Volatile.Read(ref _claimed) == 0 && Interlocked.CompareExchange(ref _claimed, 1, 0) == 0;

        public void Open(void* work, delegate*<void*, int, int, void> invoke, int pieces, int threads)
        {
            _work = work;
            _invoke = invoke;
            _pieces = pieces;
            _threads = threads;
            _failure = null;
            _next = 0;
            _workers = 0;   // the caller is worker 0, helpers take 1, 2, …
            Interlocked.Add(ref _gate, -Closed);   // added, not written: a helper may be about to take back its count
        }

        /// <summary>Takes pieces as a helper; false if there was nothing to take.</summary>
        public bool Help()
        {
            if (Volatile.Read(ref _gate) < 0 || Volatile.Read(ref _next) >= _pieces) return false;
            if (Interlocked.Increment(ref _gate) < 0)
            {
                Interlocked.Decrement(ref _gate);
                return false;
            }
            bool worked = false;
            if (Volatile.Read(ref _next) < _pieces)
            {
                int worker = Interlocked.Increment(ref _workers);
                if (worker < _threads)
                {
                    try
                    {
                        worked = TakePieces(worker);
                    }
                    catch (Exception failure)
                    {
                        Volatile.Write(ref _next, _pieces);
                        Interlocked.CompareExchange(ref _failure, failure, null);
                    }
                }
            }
            Interlocked.Decrement(ref _gate);
            return worked;
        }

        public bool TakePieces(int worker)
        {
            bool worked = false;
            while (true)
            {
                int piece = Interlocked.Increment(ref _next) - 1;
                if (piece >= _pieces || piece < 0) return worked;
                _invoke(_work, piece, worker);
                worked = true;
            }
        }

        /// <summary>Lets nobody in any more and waits for those inside: at most one piece each.</summary>
        public void Close()
        {
            Volatile.Write(ref _next, _pieces);
            Interlocked.Add(ref _gate, Closed);
            var spinner = new SpinWait();
            while (Volatile.Read(ref _gate) != Closed) spinner.SpinOnce(sleep1Threshold: -1);
        }

        public void Release()
        {
            Exception? failure = _failure;
            Volatile.Write(ref _claimed, 0);
            if (failure is not null) System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failure);
        }
    }
}
