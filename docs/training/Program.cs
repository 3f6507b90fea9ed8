using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography;
using Octet.Cli.Demo;
using Octet.Training;

// Trains the demo model and writes it as ONNX. Arguments: OUTPUT [STEPS] [THREADS].
// Every step draws fresh images, so no image is seen twice and nothing is left to overfit.
const int BatchSize = 64, WarmupSteps = 200, InitialisationSeed = 1, EvaluationImages = 2000, ReportEvery = 200;
const float PeakRate = 0.5f, MomentumFactor = 0.9f, WeightDecay = 2e-4f;

// The difference quotient crosses kinks of Relu and MaxPool, so it agrees to a few percent only.
const double LargestGradientError = 0.1;

if (args.Length is < 1 or > 3)
{
    Console.Error.WriteLine("usage: train OUTPUT.onnx [STEPS] [THREADS]");
    return 2;
}

string output = args[0];
int steps = args.Length > 1 ? int.Parse(args[1], CultureInfo.InvariantCulture) : 6000;
int threads = args.Length > 2 ? int.Parse(args[2], CultureInfo.InvariantCulture) : Environment.ProcessorCount;

Network network = new(BatchSize, threads, InitialisationSeed);
Parameter[] parameters = [.. network.Parameters];
Console.WriteLine($"{parameters.Sum(p => p.Value.Length)} parameters, {network.Macs} multiplications per image, {steps} steps of {BatchSize} images, {threads} threads");

int[] labels = new int[BatchSize];
network.Load(0, BatchSize, ShapeImages.TrainingSeed, labels);
double gradientError = network.CheckGradients(labels);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"backpropagation against central differences: relative difference at most {gradientError:G2}"));
if (gradientError > LargestGradientError)
{
    Console.Error.WriteLine("the gradients are wrong; not training");
    return 1;
}

Stopwatch clock = Stopwatch.StartNew();
double loss = 0;
int correct = 0;
for (int step = 0; step < steps; step++)
{
    network.Load(step * BatchSize, BatchSize, ShapeImages.TrainingSeed, labels);
    network.Forward(training: true);
    (double stepLoss, int stepCorrect) = network.Loss(labels);
    network.Backward();
    loss += stepLoss;
    correct += stepCorrect;

    double cosine = 0.5 * (1 + Math.Cos(Math.PI * step / steps));
    float rate = (float)(PeakRate * cosine * Math.Min(1.0, (step + 1.0) / WarmupSteps));
    foreach (Parameter parameter in parameters) parameter.Step(rate, MomentumFactor, WeightDecay);

    if ((step + 1) % ReportEvery != 0) continue;
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
        $"step {step + 1,6}  loss {loss / ReportEvery:F4}  training accuracy {100.0 * correct / (ReportEvery * BatchSize):F2} %  {clock.Elapsed.TotalSeconds:F0} s"));
    (loss, correct) = (0, 0);
}

TimeSpan trained = clock.Elapsed;
(double accuracy, double[] perClass) = network.Evaluate(EvaluationImages, ShapeImages.EvaluationSeed);
byte[] model = network.ToOnnx();
File.WriteAllBytes(output, model);
Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"accuracy {100 * accuracy:F2} % on {EvaluationImages} evaluation images, trained in {trained.TotalSeconds:F0} s"));
for (int k = 0; k < perClass.Length; k++)
    Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {ShapeImages.ClassNames[k],-14} {100 * perClass[k]:F1} %"));
Console.WriteLine($"{output}: {model.Length} bytes, SHA-256 {Convert.ToHexStringLower(SHA256.HashData(model))}");
return 0;
