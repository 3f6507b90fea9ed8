using Octet.Kernels.Threading;

namespace Octet.Tests.Kernels.Threading;

internal sealed class WorkerPoolTests
{
    private struct Marks : IPieces
    {
        public int[] Done;
        public int[] Threads;
        public int FailAt;

        public readonly void Run(int piece, int worker)
        {
            if (piece == FailAt) throw new InvalidOperationException("piece " + piece);
            Interlocked.Increment(ref Done[piece]);
            Threads[piece] = Environment.CurrentManagedThreadId;
        }
    }

    private static Marks Work(int pieces, int failAt = -1) => new() { Done = new int[pieces], Threads = new int[pieces], FailAt = failAt };

    [Test]
    public void OneThreadIsTheCallersAndStartsNoOther()
    {
        var pool = new WorkerPool(3);
        Marks work = Work(100);
        new Parallelism(pool, 1).For(ref work, 100);
        pool.For(ref work, 100, 1);
        pool.For(ref work, 1, 4);
        Assert.That(pool.Started, Is.False);
        Assert.That(work.Threads, Is.All.EqualTo(Environment.CurrentManagedThreadId));

        pool.For(ref work, 100, 2);
        Assert.That(pool.Started, Is.True);
    }

    [Test]
    public void EveryPieceIsDoneOnce([Values(2, 3, 4, 9)] int threads, [Values(1, 2, 7, 1000)] int pieces)
    {
        var pool = new WorkerPool(3);
        for (int repeat = 1; repeat <= 50; repeat++)
        {
            Marks work = Work(pieces);
            pool.For(ref work, pieces, threads);
            Assert.That(work.Done, Is.All.EqualTo(1));
        }
    }

    [Test]
    public void CallersDoNotMeet()
    {
        var pool = new WorkerPool(3);
        int wrong = 0;
        Thread[] callers = [.. Enumerable.Range(0, 6).Select(_ => new Thread(() =>
        {
            for (int repeat = 0; repeat < 200; repeat++)
            {
                Marks work = Work(50);
                pool.For(ref work, 50, 4);
                if (work.Done.Any(count => count != 1)) Interlocked.Increment(ref wrong);
            }
        }))];
        foreach (Thread caller in callers) caller.Start();
        foreach (Thread caller in callers) Assert.That(caller.Join(TimeSpan.FromMinutes(2)), "a caller waits for ever");
        Assert.That(wrong, Is.Zero, "pieces were lost or done twice");
    }

    [Test]
    public void AFailureReachesTheCallerAndThePoolGoesOn()
    {
        var pool = new WorkerPool(3);
        for (int repeat = 0; repeat < 100; repeat++)
        {
            Marks bad = Work(64, failAt: repeat % 64);
            Assert.That(() => pool.For(ref bad, 64, 4), Throws.InvalidOperationException);
        }
        Marks good = Work(64);
        pool.For(ref good, 64, 4);
        Assert.That(good.Done, Is.All.EqualTo(1));
    }

    [Test]
    public void HelpersOfARunWatchForItsNextJobAndParkWhenItEnds([Values(2, 4)] int threads)
    {
        var pool = new WorkerPool(3);
        for (int run = 0; run < 20; run++)
        {
            pool.Attend(threads);
            for (int job = 0; job < 200; job++)
            {
                Marks work = Work(job % 7 + 1);
                pool.For(ref work, work.Done.Length, threads);
                Assert.That(work.Done, Is.All.EqualTo(1));
            }
            pool.Dismiss(threads);
        }
        Assert.That(SpinWait.SpinUntil(() => pool.Parked == 3, TimeSpan.FromSeconds(30)), "a helper goes on spinning after the last run");

        pool.Attend(threads);   // a run that stays in a serial step for long
        Marks first = Work(8);
        pool.For(ref first, 8, threads);
        Assert.That(SpinWait.SpinUntil(() => pool.Parked == 3, TimeSpan.FromSeconds(30)), "a helper goes on spinning though nothing comes");
        Marks second = Work(8);
        pool.For(ref second, 8, threads);
        pool.Dismiss(threads);
        Assert.That(second.Done, Is.All.EqualTo(1));
    }
}
