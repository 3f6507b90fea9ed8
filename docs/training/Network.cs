using Octet.Cli.Demo;

namespace Octet.Training;

/// <summary>
/// The demo network: a stem, a residual block, a depthwise-separable reduction, a second residual block, two branches joined by
/// concatenation, an inverted residual block, a head. Every convolution is followed by batch normalization.
/// </summary>
internal sealed class Network
{
    private const float Relu6 = 6f, Relu = float.PositiveInfinity;
    private readonly List<Layer> _layers = [];
    private readonly Batch _batch;
    private readonly Random _random;

    public Network(int batchSize, int threads, int seed)
    {
        _batch = new Batch(batchSize, threads);
        _random = new Random(seed);
        Input = new Activation("image", batchSize, ShapeImages.Height, ShapeImages.Width, ShapeImages.Channels);

        Activation x = Convolve("stem", Input, 16, kernel: 3, stride: 1, Relu, needsInputGradient: false);
        x = Append(new MaxPool("stem_pool", _batch, x));
        x = Residual("block1", x);
        x = Convolve("reduce_expand", x, 48, kernel: 1, stride: 1, Relu6);
        x = Depthwise("reduce_depthwise", x, stride: 2);
        x = Convolve("reduce_project", x, 32, kernel: 1, stride: 1, Relu);
        x = Residual("block2", x);
        Activation left = Convolve("left", x, 32, kernel: 1, stride: 1, Relu);
        Activation right = Convolve("right_project", Depthwise("right_depthwise", x, stride: 1), 32, kernel: 1, stride: 1, Relu);
        x = Append(new Concatenation("join", _batch, left, right));
        Activation inner = Convolve("inverted_expand", x, 128, kernel: 1, stride: 1, Relu6);
        inner = Convolve("inverted_project", Depthwise("inverted_depthwise", inner, stride: 1), 64, kernel: 1, stride: 1, ceiling: null);
        x = Append(new Sum("inverted_add", _batch, x, inner));
        x = Convolve("head", x, 80, kernel: 3, stride: 2, Relu);
        x = Append(new GlobalAveragePool("pool", _batch, x));
        Logits = Append(new Linear("logits", _batch, x, ShapeImages.ClassNames.Count, _random));
    }

    public Activation Input { get; }
    public Activation Logits { get; }
    public int BatchSize => _batch.Size;
    public long Macs => _layers.Sum(layer => layer.Macs);
    public IEnumerable<Parameter> Parameters => _layers.SelectMany(layer => layer.Parameters);

    /// <summary>Draws the images [first, first + count) of a stream into the input, and their labels.</summary>
    public void Load(int first, int count, ulong seed, Span<int> labels)
    {
        _batch.Count = count;
        int[] drawn = new int[count];
        _batch.For((_, from, to) =>
        {
            float[] chw = new float[ShapeImages.Length];
            for (int i = from; i < to; i++)
            {
                drawn[i] = ShapeImages.Generate(first + i, seed, chw);
                Span<float> image = Input.Image(i);
                for (int p = 0; p < Input.Height * Input.Width; p++)
                    for (int c = 0; c < Input.Channels; c++) image[p * Input.Channels + c] = chw[c * Input.Height * Input.Width + p];
            }
        });
        drawn.CopyTo(labels);
    }

    public void Forward(bool training)
    {
        foreach (Layer layer in _layers) layer.Forward(training);
    }

    /// <summary>Mean softmax cross entropy of the current logits and the number of correct answers; leaves its gradient at the logits.</summary>
    public (double Loss, int Correct) Loss(ReadOnlySpan<int> labels)
    {
        double loss = 0;
        int correct = 0;
        for (int i = 0; i < _batch.Count; i++)
        {
            ReadOnlySpan<float> z = Logits.Image(i);
            Span<float> dz = Logits.ImageGradient(i);
            float max = z[0];
            foreach (float value in z) max = Math.Max(max, value);
            double sum = 0;
            foreach (float value in z) sum += Math.Exp(value - max);
            for (int k = 0; k < z.Length; k++) dz[k] = (float)((Math.Exp(z[k] - max) / sum - (k == labels[i] ? 1 : 0)) / _batch.Count);
            loss -= z[labels[i]] - max - Math.Log(sum);
            if (Best(z) == labels[i]) correct++;
        }

        return (loss / _batch.Count, correct);
    }

    /// <summary>Adds the gradient of the last <see cref="Loss"/> to every parameter.</summary>
    public void Backward()
    {
        foreach (Layer layer in _layers)
            if (layer.Output != Logits) Array.Clear(layer.Output.Gradient);
        for (int l = _layers.Count - 1; l >= 0; l--) _layers[l].Backward();
    }

    /// <summary>
    /// Compares, for each parameter, the length of its gradient with the slope of the loss along it, measured by a central difference.
    /// Returns the largest relative difference; a wrong formula in any layer shows as a difference near 1.
    /// </summary>
    public double CheckGradients(int[] labels)
    {
        const double StepLength = 5e-4;
        Forward(training: true);
        Loss(labels);
        Backward();
        double worst = 0;
        foreach (Parameter parameter in Parameters)
        {
            double length = Math.Sqrt(parameter.Gradient.Sum(g => (double)g * g));
            float[] original = [.. parameter.Value];
            double Moved(double distance)
            {
                for (int i = 0; i < original.Length; i++) parameter.Value[i] = (float)(original[i] + distance * parameter.Gradient[i] / length);
                Forward(training: true);
                return Loss(labels).Loss;
            }

            double slope = (Moved(StepLength) - Moved(-StepLength)) / (2 * StepLength);
            original.CopyTo(parameter.Value, 0);
            Array.Clear(parameter.Gradient);
            worst = Math.Max(worst, Math.Abs(slope - length) / length);
        }

        return worst;
    }

    /// <summary>Share of the images [0, count) of a stream that the network names correctly, and the share per class.</summary>
    public (double Accuracy, double[] PerClass) Evaluate(int count, ulong seed)
    {
        int[] labels = new int[BatchSize], right = new int[ShapeImages.ClassNames.Count], seen = new int[ShapeImages.ClassNames.Count];
        for (int first = 0; first < count; first += BatchSize)
        {
            int size = Math.Min(BatchSize, count - first);
            Load(first, size, seed, labels);
            Forward(training: false);
            for (int i = 0; i < size; i++)
            {
                seen[labels[i]]++;
                if (Best(Logits.Image(i)) == labels[i]) right[labels[i]]++;
            }
        }

        return ((double)right.Sum() / count, [.. right.Select((r, k) => (double)r / Math.Max(seen[k], 1))]);
    }

    /// <summary>The network as an ONNX model, batch normalization unfolded.</summary>
    public byte[] ToOnnx()
    {
        OnnxWriter onnx = new();
        foreach (Layer layer in _layers) layer.Write(onnx);
        return onnx.Model("shapes", "Ten shapes, 32 x 32 RGB in [0, 1]: " + string.Join(", ", ShapeImages.ClassNames),
            Input.Name, [Input.Channels, Input.Height, Input.Width], Logits.Name, [Logits.Channels]);
    }

    private static int Best(ReadOnlySpan<float> z)
    {
        int best = 0;
        for (int k = 1; k < z.Length; k++)
            if (z[k] > z[best]) best = k;
        return best;
    }

    private Activation Append(Layer layer)
    {
        _layers.Add(layer);
        return layer.Output;
    }

    private Activation Normalize(string name, Activation x, float? ceiling)
    {
        x = Append(new BatchNormalization(name + "_bn", _batch, x));
        return ceiling is float top ? Append(new Activate(name + (float.IsPositiveInfinity(top) ? "_relu" : "_relu6"), _batch, x, top)) : x;
    }

    private Activation Convolve(string name, Activation x, int channels, int kernel, int stride, float? ceiling, bool needsInputGradient = true) =>
        Normalize(name, Append(new Convolution(name, _batch, x, channels, kernel, stride, _random, needsInputGradient)), ceiling);

    private Activation Depthwise(string name, Activation x, int stride) =>
        Normalize(name, Append(new DepthwiseConvolution(name, _batch, x, stride, _random)), Relu6);

    private Activation Residual(string name, Activation x)
    {
        Activation y = Convolve(name + "_conv1", x, x.Channels, kernel: 3, stride: 1, Relu);
        y = Convolve(name + "_conv2", y, x.Channels, kernel: 3, stride: 1, ceiling: null);
        y = Append(new Sum(name + "_add", _batch, x, y));
        return Append(new Activate(name + "_relu", _batch, y, Relu));
    }
}
