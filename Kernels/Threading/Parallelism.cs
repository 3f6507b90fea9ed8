namespace Octet.Kernels.Threading;

/// <summary>How many threads a kernel may use, and which pool lends them. The default value means the caller's thread alone.</summary>
/// <param name="Pool">Who helps; null for nobody.</param>
/// <param name="Threads">Threads that may take part, the caller included.</param>
internal readonly record struct Parallelism(WorkerPool? Pool, int Threads)
{
    /// <summary>The caller's thread alone.</summary>
    public static Parallelism None => default;

    /// <summary>Threads that may take part: scratch space is needed this many times.</summary>
    public int MaxWorkers => Pool is null ? 1 : Math.Clamp(Threads, 1, Pool.MaxThreads);

    /// <summary>Announces a sequence of jobs, ended by <see cref="End"/>; see <see cref="WorkerPool.Attend"/>.</summary>
    public void Begin()
    {
        if (MaxWorkers > 1) Pool!.Attend(MaxWorkers);
    }

    /// <summary>Ends the sequence that <see cref="Begin"/> announced.</summary>
    public void End()
    {
        if (MaxWorkers > 1) Pool!.Dismiss(MaxWorkers);
    }

    /// <summary>Runs all pieces of <paramref name="work"/>; see <see cref="WorkerPool.For"/>.</summary>
    public void For<TWork>(ref TWork work, int pieces) where TWork : struct, IPieces
    {
        if (Pool is not null && Threads > 1 && pieces > 1)
        {
            Pool.For(ref work, pieces, Threads);
            return;
        }
        for (int piece = 0; piece < pieces; piece++) work.Run(piece, 0);
    }
}
