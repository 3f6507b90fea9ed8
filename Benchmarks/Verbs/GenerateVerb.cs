using System.CommandLine;
using Octet.Benchmarks.Networks;
using Octet.Quantization;
using Octet.Runtime;

namespace Octet.Benchmarks.Verbs;

/// <summary><c>generate NAME -o FILE</c>: a network with fixed random weights, float or INT8.</summary>
internal static class GenerateVerb
{
    /// <summary>Calibration samples for <c>--int8</c>: random data needs few. Activations are all uint8: ONNX Runtime leaves a convolution between different types float.</summary>
    private const int Samples = 4;

    public static Command Create()
    {
        var name = new Argument<string>("NAME") { Description = $"One of {string.Join(", ", NetworkZoo.All.Keys)}." };
        name.AcceptOnlyFromAmong([.. NetworkZoo.All.Keys]);
        var output = new Option<FileInfo>("--output", "-o") { Description = "File to write.", Required = true };
        var int8 = new Option<bool>("--int8") { Description = "Quantize with naive calibration on random data." };
        var command = new Command("generate", "Writes a network with fixed random weights.") { name, output, int8 };
        command.SetAction(result =>
        {
            Model model = NetworkZoo.All[result.GetValue(name)!]();
            if (result.GetValue(int8))
                model = Quantizer.Quantize(model, SampleInputs.Samples(model, Samples), new QuantizationOptions { Calibration = CalibrationMode.Naive, Type = ActivationType.UInt8 }).Model;
            model.Save(result.GetValue(output)!.FullName);
            return 0;
        });
        return command;
    }
}
