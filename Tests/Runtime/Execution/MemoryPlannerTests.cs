using CsCheck;
using Octet.Runtime.Execution;

namespace Octet.Tests.Runtime.Execution;

internal sealed class MemoryPlannerTests
{
    private static readonly Gen<MemoryPlanner.Place[]> Places =
        Gen.Select(Gen.Int[0, 5000], Gen.Int[0, 40], Gen.Int[0, 12]).Select((bytes, first, length) => new MemoryPlanner.Place(bytes, first) { Last = first + length }).Array[0, 60];

    [Test]
    public void PlacesThatLiveTogetherDoNotOverlap() => Places.Sample(places =>
    {
        long total = MemoryPlanner.Assign(places);
        foreach (MemoryPlanner.Place a in places)
        {
            Assert.That(a.Offset % 64, Is.Zero);
            Assert.That(a.Offset + (long)a.Bytes, Is.LessThanOrEqualTo(total));
            foreach (MemoryPlanner.Place b in places)
            {
                if (ReferenceEquals(a, b) || a.First > b.Last || b.First > a.Last || a.Bytes == 0 || b.Bytes == 0) continue;
                Assert.That(a.Offset + a.Bytes <= b.Offset || b.Offset + b.Bytes <= a.Offset, $"[{a.Offset}, +{a.Bytes}) and [{b.Offset}, +{b.Bytes}) overlap");
            }
        }
    }, iter: 300);

    [Test]
    public void MemoryIsUsedAgain()
    {
        MemoryPlanner.Place[] chain = [.. Enumerable.Range(0, 10).Select(i => new MemoryPlanner.Place(6400, i) { Last = i + 1 })];
        Assert.That(MemoryPlanner.Assign(chain), Is.EqualTo(2 * 6400));
    }

    [Test]
    public void TooMuchMemoryIsRefused()
    {
        MemoryPlanner.Place[] places = [new(int.MaxValue - 100, 0), new(int.MaxValue - 100, 0)];
        Assert.That(() => MemoryPlanner.Assign(places), Throws.TypeOf<Octet.Runtime.UnsupportedModelException>().With.Message.Contains("2 GiB"));
    }
}
