using System.CommandLine;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Benchmarks.Networks;
using Octet.Benchmarks.Peers;
using Octet.Runtime;
using Octet.Runtime.Execution;
using Octet.Runtime.Tensors;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>threads MODEL</c>: Octet with several threads against itself with one, alternating, with or without competing busy threads; beside what as many threads of arithmetic alone gain in the same rounds.</summary>
/// <remarks>A virtual machine's processors may be two threads of one core for minutes: then nothing gains from the second, which the last figure shows.</remarks>
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
            double[] manyMs = new double[oneMs.Length], machine = new double[oneMs.Length];
            Arithmetic();
            for (int round = 0; round < oneMs.Length; round++)
            {
                oneMs[round] = Comparison.Time(one, oneRepeats);
                manyMs[round] = Comparison.Time(many, manyRepeats);
                machine[round] = MachineSpeedUp(result.GetValue(threads));
            }
            stop.Cancel();
            double[] ratios = [.. oneMs.Zip(manyMs, (a, b) => a / b)];
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"1 thread {Comparison.Quantile(oneMs, 0.5):F3} ms, {result.GetValue(threads)} threads {Comparison.Quantile(manyMs, 0.5):F3} ms, speed-up {Comparison.Quantile(ratios, 0.5):F2} [{Comparison.Quantile(ratios, 0.25):F2}, {Comparison.Quantile(ratios, 0.75):F2}] over {ratios.Length} rounds, {result.GetValue(busy)} busy thread(s) beside; arithmetic in registers: {Comparison.Quantile(machine, 0.5):F2} [{Comparison.Quantile(machine, 0.25):F2}, {Comparison.Quantile(machine, 0.75):F2}]"));
            return 0;
        });
        return command;
    }

    /// <summary>How much more arithmetic some threads do in the time that one takes for its share.</summary>
    private static double MachineSpeedUp(int threads)
    {
        double one = Comparison.Time(Arithmetic, 1), many = Comparison.Time(() =>
        {
            var others = new Thread[threads - 1];
            for (int i = 0; i < others.Length; i++) (others[i] = new Thread(Arithmetic) { IsBackground = true }).Start();
            Arithmetic();
            foreach (Thread other in others) other.Join();
        }, 1);
        return threads * one / many;
    }

    /// <summary>Independent multiplications and additions that keep the vector units busy for some ten milliseconds.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Arithmetic()
    {
        Vector256<float> a = Vector256.Create(1.0001f), b = Vector256.Create(0.5f), s0 = b, s1 = b, s2 = b, s3 = b, s4 = b, s5 = b, s6 = b, s7 = b;
        for (int i = 0; i < 4_000_000; i++)
        {
            s0 = s0 * a;
            s1 = s1 + b;
            s2 = s2 * a;
            s3 = s3 + b;
            s4 = s4 * a;
            s5 = s5 + b;
            s6 = s6 * a;
            s7 = s7 + b;
        }
        if (Vector256.Sum(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7) == 0) throw new InvalidOperationException("sums of positive numbers are not 0");
    }

    private static Action Runner(Model model, int threads)
    {
        var session = new InferenceSession(model, new SessionOptions { Threads = threads });
        Tensor[] inputs = SampleInputs.For(session, 1), outputs = session.CreateOutputs(inputs);
        return () => session.Run(inputs, outputs);
    }
}
