using Octet.Runtime.Execution;

namespace Octet.Tests.Runtime.Execution;

internal sealed class ThreadChoiceTests
{
    /// <summary>Share of <paramref name="runs"/> runs that took helpers, when they take that long with and without.</summary>
    private static double Helped(ThreadChoice choice, int runs, Func<int, long> with, Func<int, long> alone)
    {
        int helped = 0;
        for (int run = 0; run < runs; run++)
        {
            bool helpers = choice.TakesHelpers;
            if (helpers) helped++;
            choice.Book(helpers, helpers ? with(run) : alone(run));
        }
        return (double)helped / runs;
    }

    [Test]
    public void HelpersThatPayAreTakenAndThoseThatCostAreNot()
    {
        Assert.That(Helped(new(), 4000, _ => 520, _ => 1000), Is.GreaterThan(0.97));
        Assert.That(Helped(new(), 4000, _ => 1200, _ => 1000), Is.LessThan(0.03));
    }

    [Test]
    public void TheChoiceFollowsTheMachine()
    {
        var choice = new ThreadChoice();
        Helped(choice, 1000, _ => 520, _ => 1000);
        Assert.That(Helped(choice, 1000, _ => 1300, _ => 1000), Is.LessThan(0.2), "it became busy");
        Assert.That(Helped(choice, 1000, _ => 520, _ => 1000), Is.GreaterThan(0.8), "it became idle");
    }

    [Test]
    public void DisturbedRunsDoNotDecide()
    {
        var random = new Random(1);
        Assert.That(Helped(new(), 4000, _ => random.Next(20) == 0 ? 50_000 : 520, _ => random.Next(20) == 0 ? 50_000 : 1000), Is.GreaterThan(0.95));
        // The first helped run of each trial wakes them and takes long.
        int since = 0;
        var choice = new ThreadChoice();
        Helped(choice, 500, _ => 1300, _ => 1000);
        Assert.That(Helped(choice, 1000, _ => since++ == 0 ? 3000 : 520, _ => { since = 0; return 1000; }), Is.GreaterThan(0.8));
    }

    [Test]
    public void OneBadSecondAtTheStartIsForgotten()
    {
        // While the JIT optimizes on another processor helpers seem to cost.
        Assert.That(Helped(new(), 200, run => run < 50 ? 1300 : 520, _ => 1000), Is.GreaterThan(0.8));
    }

    [Test]
    public void WhatATrialCostsIsBounded()
    {
        long total = 0;
        var choice = new ThreadChoice();
        Helped(choice, 500, _ => 2000, _ => 1000);   // far from its first decision
        Helped(choice, 2000, _ => { total += 2000; return 2000; }, _ => { total += 1000; return 1000; });
        Assert.That(total, Is.LessThan(2000 * 1000 * 1.03));
    }
}
