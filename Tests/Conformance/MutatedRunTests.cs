using System.Diagnostics;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Graphs;
using Octet.Runtime.Onnx;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Octet.Tests.Runtime.Onnx;
using Octet.Tests.Support;

namespace Octet.Tests.Conformance;

/// <summary>Models with random changes in their fields load and run, or are refused with a typed error, in bounded time: nothing else may happen.</summary>
[Category("Conformance")]
internal sealed class MutatedRunTests
{
    /// <summary>Time after which a run is ended; a run checks between two operators.</summary>
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    /// <summary>Inputs larger than this are not made: they would test the machine's memory.</summary>
    private const long MostElements = 1 << 16;

    /// <summary>Seconds of the test; <c>OCTET_FUZZ_SECONDS</c> asks for more.</summary>
    private static TimeSpan Time => TimeSpan.FromSeconds(int.TryParse(Environment.GetEnvironmentVariable("OCTET_FUZZ_SECONDS"), out int seconds) ? seconds : 10);

    [Test]
    public void MutatedCasesRunOrAreRefused()
    {
        string[] files = [.. Directory.GetDirectories(TestData.Require(Path.Combine("onnx-backend-tests", "node"))).Select(folder => Path.Combine(folder, "model.onnx")).Where(File.Exists).Order(StringComparer.Ordinal)];
        int seed = int.TryParse(Environment.GetEnvironmentVariable("OCTET_FUZZ_SEED"), out int given) ? given : 7;
        var random = new Random(seed);
        var total = Stopwatch.StartNew();
        int tried = 0, ran = 0, refused = 0;
        var slow = new List<string>();
        var unforeseen = new SortedSet<string>(StringComparer.Ordinal);
        for (; total.Elapsed < Time; tried++)
        {
            string file = files[random.Next(files.Length)];
            byte[] source = File.ReadAllBytes(file);
            if (source.Length > 20_000) continue;
            byte[] mutated = HostileFileTests.MutateFields(source, random);
            string which = $"{Path.GetFileName(Path.GetDirectoryName(file))}, seed {seed}, file {tried}";
            var one = Stopwatch.StartNew();
            try
            {
                Try(mutated, random);
                ran++;
            }
            catch (OctetException refusal)
            {
                refused++;
                if (refusal.InnerException is { } cause && OperatorFailure.Covers(cause)) unforeseen.Add($"{cause.GetType().Name} {cause.StackTrace?.Split('\n').FirstOrDefault(line => line.Contains("Octet.Runtime.Operators", StringComparison.Ordinal))?.Trim()}");
            }
            catch (OperationCanceledException)
            {
                slow.Add(which);
            }
            catch (Exception e) when (e is not AssertionException)
            {
                string kept = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"mutated-{seed}-{tried}.onnx");
                File.WriteAllBytes(kept, mutated);
                Assert.Fail($"{which} (kept as {kept}): {e}");
            }
            Assert.That(one.Elapsed, Is.LessThan(TimeSpan.FromSeconds(60)), which);
        }
        TestContext.Out.WriteLine($"{tried} models, {ran} ran, {refused} were refused, {slow.Count} were ended after {Limit.TotalSeconds} s: {string.Join("; ", slow)}");
        foreach (string place in unforeseen) TestContext.Out.WriteLine($"  not foreseen by its operator: {place}");
        Assert.That(ran, Is.Positive);
        Assert.That(refused, Is.Positive);
    }

    private static void Try(byte[] file, Random random)
    {
        Model model = Model.Load(file);
        var session = new InferenceSession(model, new SessionOptions { Threads = 1 });
        var inputs = new Dictionary<string, RuntimeValue?>();
        foreach (ValueInfo input in session.Inputs)
        {
            if (input.Type.Container != Container.None || input.Type.Element is DataType.Undefined or DataType.String) throw new DataException($"'{input.Name}' is {input.Type}, which the test does not make");
            int[] shape = input.Type.Shape is { } dims ? [.. dims.Select(dim => dim.IsKnown ? (int)Math.Min(dim.Value, int.MaxValue) : random.Next(0, 4))] : [2, 3];
            long elements = 1;
            foreach (int extent in shape) elements = Math.Min(elements * extent, long.MaxValue / int.MaxValue);
            if (elements > MostElements || shape.Any(extent => extent > MostElements)) throw new DataException($"'{input.Name}' is {input.Type}, too large for the test");
            var tensor = new Tensor(input.Type.Element, shape);
            if (tensor.Type.IsFloat() && tensor.Type == DataType.Float32) foreach (ref float value in tensor.Span<float>()) value = random.NextSingle() * 8 - 4;
            else if (tensor.Type == DataType.Int64) foreach (ref long value in tensor.Span<long>()) value = random.Next(-3, 5);
            else if (tensor.Type == DataType.Int32) foreach (ref int value in tensor.Span<int>()) value = random.Next(-3, 5);
            else if (tensor.Type is DataType.UInt8 or DataType.Int8) random.NextBytes(tensor.Bytes.Span);
            inputs[input.Name] = tensor;
        }
        using var timeout = new CancellationTokenSource(Limit);
        session.RunValues(inputs, timeout.Token);
    }
}
