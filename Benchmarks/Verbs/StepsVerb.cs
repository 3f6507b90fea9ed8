using System.CommandLine;
using System.Globalization;
using Octet.Benchmarks.Networks;
using Octet.Runtime;
using Octet.Runtime.Execution;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>steps MODEL</c>: the fastest time of each step of a model's plan, with its kernel; the fastest, because a shared machine slows single runs.</summary>
internal static class StepsVerb
{
    public static Command Create()
    {
        var model = new Argument<FileInfo>("MODEL") { Description = "The ONNX model." };
        var threads = new Option<int>("--threads") { Description = "Threads.", DefaultValueFactory = _ => 1 };
        var runs = new Option<int>("--runs") { Description = "Runs; each step shows its fastest.", DefaultValueFactory = _ => 100 };
        var command = new Command("steps", "Times the steps of a model's plan.") { model, threads, runs };
        command.SetAction(result =>
        {
            var session = new InferenceSession(Model.Load(result.GetValue(model)!.FullName), new SessionOptions { Threads = result.GetValue(threads) });
            Runtime.Tensors.Tensor[] inputs = SampleInputs.For(session, 1);
            SessionProfile profile = session.Profile(inputs, 1);
            double[] best = [.. profile.Operators.Select(op => op.MeanMilliseconds)];
            for (int run = 1; run < result.GetValue(runs); run++)
            {
                IReadOnlyList<OpProfile> operators = session.Profile(inputs, 1).Operators;
                for (int s = 0; s < best.Length; s++) best[s] = Math.Min(best[s], operators[s].MeanMilliseconds);
            }
            for (int s = 0; s < best.Length; s++)
            {
                OpProfile op = profile.Operators[s];
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                    $"{best[s] * 1000,9:F1} us {(op.MultiplyAccumulates > 0 ? op.MultiplyAccumulates / best[s] / 1e6 : 0),7:F1} GMAC/s  {op.OperatorType,-22} {op.OutputType,-28} {op.Kernel}"));
            }
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{best.Sum() * 1000,9:F1} us in {best.Length} steps"));
            return 0;
        });
        return command;
    }
}
