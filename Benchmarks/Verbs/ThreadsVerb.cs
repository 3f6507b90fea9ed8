using System.CommandLine;
using System.Globalization;
using Octet.Benchmarks.Networks;
using Octet.Benchmarks.Peers;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>threads MODEL</c>: Octet with several threads against itself with one, alternating, with or without competing busy threads.</summary>
internal static class ThreadsVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "The ONNX model." };
        var threads = new Option<int>("--threads") { Description = "Threads of the second session.", DefaultValueFactory = _ => 2 };
        var rounds = new Option<int>("--rounds") { Description = "Alternating rounds.", DefaultValueFactory = _ => 21 };
        var busy = new Option<int>("--busy") { Description = "Threads that do nothing but spin meanwhile.", DefaultValueFactory = _ => 0 };
        var command = new Command("threads", "Times a model with several threads and with one.") { model, threads, rounds, busy };
        command.SetAction(result =>
        {
            Model loaded = Model.Load(result.GetValue(model)!.FullName);
            Action one = Runner(loaded, 1), many = Runner(loaded, result.GetValue(threads));
            using var stop = new CancellationTokenSource();
            for (int i = 0; i < result.GetValue(busy); i++)
            {
                new Thread(() =>
                {
                    while (!stop.IsCancellationRequested) Thread.SpinWait(1000);
                })
                { IsBackground = true }.Start();
            }
            Comparison.WarmUp(one);
            Comparison.WarmUp(many);
            int oneRepeats = Comparison.Repeats(one), manyRepeats = Comparison.Repeats(many);
            var oneMs = new double[result.GetValue(rounds)];
            var manyMs = new double[oneMs.Length];
            for (int round = 0; round < oneMs.Length; round++)
            {
                oneMs[round] = Comparison.Time(one, oneRepeats);
                manyMs[round] = Comparison.Time(many, manyRepeats);
            }
            stop.Cancel();
            double[] ratios = [.. oneMs.Zip(manyMs, (a, b) => a / b)];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"1 thread {Comparison.Quantile(oneMs, 0.5):F3} ms, {result.GetValue(threads)} threads {Comparison.Quantile(manyMs, 0.5):F3} ms, speed-up {Comparison.Quantile(ratios, 0.5):F2} [{Comparison.Quantile(ratios, 0.25):F2}, {Comparison.Quantile(ratios, 0.75):F2}] over {ratios.Length} rounds, {result.GetValue(busy)} busy thread(s) beside"));
            return 0;
        });
        return command;
    }

    private static Action Runner(Model model, int threads)
    {
        var session = new InferenceSession(model, new SessionOptions { Threads = threads });
        Tensor[] inputs = SampleInputs.For(session, 1), outputs = session.CreateOutputs(inputs);
        return () => session.Run(inputs, outputs);
    }
}
