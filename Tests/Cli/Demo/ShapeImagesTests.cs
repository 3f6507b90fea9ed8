using System.Security.Cryptography;
using Octet.Cli.Demo;

namespace Octet.Tests.Cli.Demo;

[TestFixture]
internal sealed class ShapeImagesTests
{
    // SHA-256 of the 3072 bytes of single images: the demo model was trained on these streams, so a change here asks for a new model.
    [TestCase(0, ShapeImages.TrainingSeed, "c787f642aa33e9f90dddcbfdae13b529819937c894aad9bcd0407a74c6e35154")]
    [TestCase(5, ShapeImages.TrainingSeed, "51ed9735487989931f2db1d9a7c2ac8f5558d5ee70075f6247fb767f60bdaa6b")]
    [TestCase(1999, ShapeImages.TrainingSeed, "cd0177d7c50a89e8a33c80a09042f5bd6772aeb8ecdca7bee03848990da4d7aa")]
    [TestCase(0, ShapeImages.EvaluationSeed, "3090651aa651bd8b27ee44d2005621ebf2a40176710927503c10bfeff8a481da")]
    [TestCase(9, ShapeImages.EvaluationSeed, "844a653b3607ebff194c2e4c3afd0fb4c63f085b3e4360ec80cd66f8dfee73d7")]
    [TestCase(1999, ShapeImages.EvaluationSeed, "e10351661dcdacf9de6a78f8486bd6e920aa76b6f64fc8d3cf40899e18df9601")]
    public void ImagesAreTheSameOnEveryMachine(int index, ulong seed, string sha256)
    {
        byte[] image = new byte[ShapeImages.Length];
        ShapeImages.Generate(index, seed, image.AsSpan());
        Assert.That(Convert.ToHexStringLower(SHA256.HashData(image)), Is.EqualTo(sha256));
    }

    [Test]
    public void FloatsAreTheBytesOver255AndNothingBeyondTheImageIsWritten()
    {
        byte[] bytes = new byte[ShapeImages.Length];
        float[] floats = new float[ShapeImages.Length + 1];
        floats[^1] = -7;
        for (int index = 0; index < 50; index++)
        {
            int label = ShapeImages.Generate(index, ShapeImages.EvaluationSeed, bytes.AsSpan());
            Assert.That(ShapeImages.Generate(index, ShapeImages.EvaluationSeed, floats.AsSpan()), Is.EqualTo(label));
            Assert.That(floats[..^1], Is.EqualTo(bytes.Select(b => b / 255f)));
            Assert.That(floats[..^1], Is.All.InRange(0f, 1f));
        }

        Assert.That(floats[^1], Is.EqualTo(-7));
    }

    [Test]
    public void TenSuccessiveImagesShowEveryClassOnce([Values(0, 10, 1230)] int first)
    {
        float[] image = new float[ShapeImages.Length];
        int[] labels = [.. Enumerable.Range(first, 10).Select(index => ShapeImages.Generate(index, ShapeImages.TrainingSeed, image.AsSpan()))];
        Assert.That(labels, Is.EquivalentTo(Enumerable.Range(0, 10)));
        Assert.That(ShapeImages.ClassNames, Has.Count.EqualTo(10).And.Unique);
    }

    [Test]
    public void NoImageOccursTwice()
    {
        HashSet<string> seen = [];
        byte[] image = new byte[ShapeImages.Length];
        foreach (ulong seed in new[] { ShapeImages.TrainingSeed, ShapeImages.EvaluationSeed })
        {
            for (int index = 0; index < 500; index++)
            {
                ShapeImages.Generate(index, seed, image.AsSpan());
                Assert.That(seen.Add(Convert.ToHexString(SHA256.HashData(image))), $"image {index} of stream {seed:x} occurred before");
            }
        }
    }

    [Test]
    public void EveryImageUsesAWideRangeOfValues()
    {
        byte[] image = new byte[ShapeImages.Length];
        for (int index = 0; index < 500; index++)
        {
            ShapeImages.Generate(index, ShapeImages.EvaluationSeed, image.AsSpan());
            Assert.That(image.Max() - image.Min(), Is.GreaterThanOrEqualTo(24), $"image {index} is almost uniform");
        }
    }

    [Test]
    public void RefusesANegativeIndexAndAShortSpan()
    {
        Assert.That(() => ShapeImages.Generate(-1, ShapeImages.TrainingSeed, new float[ShapeImages.Length].AsSpan()), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => ShapeImages.Generate(0, ShapeImages.TrainingSeed, new float[ShapeImages.Length - 1].AsSpan()), Throws.ArgumentException);
        Assert.That(() => ShapeImages.Generate(0, ShapeImages.TrainingSeed, new byte[ShapeImages.Length - 1].AsSpan()), Throws.ArgumentException);
    }
}
