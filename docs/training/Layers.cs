namespace Octet.Training;

/// <summary>A batch of activations and their gradients, channels last: <c>[image][y][x][channel]</c>.</summary>
internal sealed class Activation(string name, int batch, int height, int width, int channels)
{
    public string Name { get; } = name;
    public int Height { get; } = height;
    public int Width { get; } = width;
    public int Channels { get; } = channels;
    public int ImageLength { get; } = height * width * channels;
    public float[] Data { get; } = new float[batch * height * width * channels];
    public float[] Gradient { get; } = new float[batch * height * width * channels];

    public Span<float> Image(int i) => Data.AsSpan(i * ImageLength, ImageLength);
    public Span<float> ImageGradient(int i) => Gradient.AsSpan(i * ImageLength, ImageLength);
}

/// <summary>Trained numbers, with the state of SGD with Nesterov momentum.</summary>
internal sealed class Parameter(int length, bool decays)
{
    private readonly float[] _velocity = new float[length];

    public float[] Value { get; } = new float[length];
    public float[] Gradient { get; } = new float[length];

    /// <summary><c>g += decay·w; v = momentum·v + g; w −= rate·(g + momentum·v)</c>, then clears the gradient.</summary>
    public void Step(float rate, float momentum, float decay)
    {
        for (int i = 0; i < Value.Length; i++)
        {
            float g = Gradient[i] + (decays ? decay * Value[i] : 0);
            _velocity[i] = momentum * _velocity[i] + g;
            Value[i] -= rate * (g + momentum * _velocity[i]);
            Gradient[i] = 0;
        }
    }

    /// <summary>He initialisation: normal with variance <c>2 / fanIn</c>.</summary>
    public void Randomize(Random random, int fanIn)
    {
        double deviation = Math.Sqrt(2.0 / fanIn);
        for (int i = 0; i < Value.Length; i++)
            Value[i] = (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
    }
}

/// <summary>
/// Splits a batch into a fixed number of parts, each worked on by one thread. The parts do not depend on the number of threads,
/// and partial sums are added in the order of the parts, so training gives the same bytes with any number of threads.
/// </summary>
internal sealed class Batch(int size, int threads)
{
    public const int Parts = 8;
    private readonly ParallelOptions _options = new() { MaxDegreeOfParallelism = threads };

    /// <summary>Images in use, at most the size the activations were made for.</summary>
    public int Count { get; set; } = size;
    public int Size { get; } = size;

    /// <summary>Calls <paramref name="body"/> with (part, first image, end) for each part.</summary>
    public void For(Action<int, int, int> body) =>
        Parallel.For(0, Parts, _options, part => body(part, Count * part / Parts, Count * (part + 1) / Parts));

    public static float[][] Partials(int length)
    {
        float[][] parts = new float[Parts][];
        for (int i = 0; i < Parts; i++) parts[i] = new float[length];
        return parts;
    }

    public static void Reduce(float[][] parts, float[] sum)
    {
        foreach (float[] part in parts)
        {
            for (int i = 0; i < sum.Length; i++) sum[i] += part[i];
            Array.Clear(part);
        }
    }
}

/// <summary>One step of the network: computes <see cref="Output"/> from its inputs, and adds to the gradients of the inputs.</summary>
internal abstract class Layer(string name, Batch batch, Activation output)
{
    public string Name { get; } = name;
    public Activation Output { get; } = output;
    protected Batch Batch { get; } = batch;

    public virtual IEnumerable<Parameter> Parameters => [];

    /// <summary>Multiplications per image.</summary>
    public virtual long Macs => 0;

    public abstract void Forward(bool training);
    public abstract void Backward();
    public abstract void Write(OnnxWriter onnx);

    protected static int Extent(int input, int kernel, int stride, int padding) => (input + 2 * padding - kernel) / stride + 1;
}

/// <summary>Convolution without bias. Weights are <c>[ky][kx][in][out]</c>; output channels are a multiple of 16.</summary>
internal sealed class Convolution : Layer
{
    private readonly Activation _input;
    private readonly int _kernel, _stride, _padding, _depth;
    private readonly bool _needsInputGradient;
    private readonly Parameter _weight;
    private readonly float[] _transposed;
    private readonly float[][] _weightGradients, _columns;

    public Convolution(string name, Batch batch, Activation input, int channels, int kernel, int stride, Random random, bool needsInputGradient = true)
        : base(name, batch, new Activation(name, batch.Size, Extent(input.Height, kernel, stride, kernel / 2), Extent(input.Width, kernel, stride, kernel / 2), channels))
    {
        (_input, _kernel, _stride, _padding, _needsInputGradient) = (input, kernel, stride, kernel / 2, needsInputGradient);
        _depth = kernel * kernel * input.Channels;
        _weight = new Parameter(_depth * channels, decays: true);
        _weight.Randomize(random, _depth);
        _transposed = new float[_weight.Value.Length];
        _weightGradients = Batch.Partials(_weight.Value.Length);
        _columns = Batch.Partials(Direct ? 0 : Pixels * _depth);
    }

    private int Pixels => Output.Height * Output.Width;
    private bool Direct => _kernel == 1 && _stride == 1;
    public override IEnumerable<Parameter> Parameters => [_weight];
    public override long Macs => (long)Pixels * _depth * Output.Channels;

    public override void Forward(bool training) => Batch.For((part, from, to) =>
    {
        for (int i = from; i < to; i++)
            Gemm.Multiply(Pixels, Output.Channels, _depth, Columns(part, i), _depth, 1, _weight.Value, Output.Image(i), accumulate: false);
    });

    public override void Backward()
    {
        int channels = Output.Channels;
        for (int p = 0; p < _depth; p++)
            for (int c = 0; c < channels; c++) _transposed[c * _depth + p] = _weight.Value[p * channels + c];

        Batch.For((part, from, to) =>
        {
            for (int i = from; i < to; i++)
            {
                Span<float> dy = Output.ImageGradient(i);
                Gemm.Multiply(_depth, channels, Pixels, Columns(part, i), 1, _depth, dy, _weightGradients[part], accumulate: true);
                if (!_needsInputGradient) continue;
                if (Direct)
                {
                    Gemm.Multiply(Pixels, _depth, channels, dy, channels, 1, _transposed, _input.ImageGradient(i), accumulate: true);
                }
                else
                {
                    Gemm.Multiply(Pixels, _depth, channels, dy, channels, 1, _transposed, _columns[part], accumulate: false);
                    Gather(_columns[part], _input.ImageGradient(i));
                }
            }
        });
        Batch.Reduce(_weightGradients, _weight.Gradient);
    }

    /// <summary>The matrix whose row is the window of one output pixel.</summary>
    private ReadOnlySpan<float> Columns(int part, int image)
    {
        ReadOnlySpan<float> input = _input.Image(image);
        if (Direct) return input;
        float[] columns = _columns[part];
        int channels = _input.Channels, at = 0;
        for (int oy = 0; oy < Output.Height; oy++)
        {
            for (int ox = 0; ox < Output.Width; ox++)
            {
                for (int ky = 0; ky < _kernel; ky++)
                {
                    int y = oy * _stride + ky - _padding;
                    for (int kx = 0; kx < _kernel; kx++, at += channels)
                    {
                        int x = ox * _stride + kx - _padding;
                        Span<float> target = columns.AsSpan(at, channels);
                        if ((uint)y < (uint)_input.Height && (uint)x < (uint)_input.Width) input.Slice((y * _input.Width + x) * channels, channels).CopyTo(target);
                        else target.Clear();
                    }
                }
            }
        }

        return columns;
    }

    /// <summary>The transpose of <see cref="Columns"/>: adds every window back to the pixels it came from.</summary>
    private void Gather(float[] columns, Span<float> gradient)
    {
        int channels = _input.Channels, at = 0;
        for (int oy = 0; oy < Output.Height; oy++)
        {
            for (int ox = 0; ox < Output.Width; ox++)
            {
                for (int ky = 0; ky < _kernel; ky++)
                {
                    int y = oy * _stride + ky - _padding;
                    for (int kx = 0; kx < _kernel; kx++, at += channels)
                    {
                        int x = ox * _stride + kx - _padding;
                        if ((uint)y >= (uint)_input.Height || (uint)x >= (uint)_input.Width) continue;
                        Rows.Add(columns.AsSpan(at, channels), gradient.Slice((y * _input.Width + x) * channels, channels));
                    }
                }
            }
        }
    }

    public override void Write(OnnxWriter onnx)
    {
        int input = _input.Channels, output = Output.Channels, area = _kernel * _kernel;
        float[] oihw = new float[_weight.Value.Length];
        for (int k = 0; k < area; k++)
            for (int i = 0; i < input; i++)
                for (int o = 0; o < output; o++) oihw[(o * input + i) * area + k] = _weight.Value[(k * input + i) * output + o];
        onnx.Initializer(Name + ".weight", oihw, output, input, _kernel, _kernel);
        onnx.Node("Conv", Name, [_input.Name, Name + ".weight"], Output.Name, OnnxWriter.Ints("kernel_shape", _kernel, _kernel),
            OnnxWriter.Ints("strides", _stride, _stride), OnnxWriter.Ints("pads", _padding, _padding, _padding, _padding));
    }
}

/// <summary>3 × 3 convolution of each channel by itself, without bias. Weights are <c>[ky][kx][channel]</c>.</summary>
internal sealed class DepthwiseConvolution : Layer
{
    private const int Kernel = 3, Padding = 1;
    private readonly Activation _input;
    private readonly int _stride;
    private readonly Parameter _weight;
    private readonly float[][] _weightGradients;

    public DepthwiseConvolution(string name, Batch batch, Activation input, int stride, Random random)
        : base(name, batch, new Activation(name, batch.Size, Extent(input.Height, Kernel, stride, Padding), Extent(input.Width, Kernel, stride, Padding), input.Channels))
    {
        (_input, _stride) = (input, stride);
        _weight = new Parameter(Kernel * Kernel * input.Channels, decays: true);
        _weight.Randomize(random, Kernel * Kernel);
        _weightGradients = Batch.Partials(_weight.Value.Length);
    }

    public override IEnumerable<Parameter> Parameters => [_weight];
    public override long Macs => (long)Output.ImageLength * Kernel * Kernel;

    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++)
        {
            Output.Image(i).Clear();
            float[] x = _input.Data, y = Output.Data, w = _weight.Value;
            Windows(i, (input, output, weight, channels) => Rows.MultiplyAdd(x.AsSpan(input, channels), w.AsSpan(weight, channels), y.AsSpan(output, channels)));
        }
    });

    public override void Backward()
    {
        Batch.For((part, from, to) =>
        {
            float[] x = _input.Data, dx = _input.Gradient, dy = Output.Gradient, w = _weight.Value, dw = _weightGradients[part];
            for (int i = from; i < to; i++)
            {
                Windows(i, (input, output, weight, channels) =>
                {
                    ReadOnlySpan<float> g = dy.AsSpan(output, channels);
                    Rows.MultiplyAdd(x.AsSpan(input, channels), g, dw.AsSpan(weight, channels));
                    Rows.MultiplyAdd(w.AsSpan(weight, channels), g, dx.AsSpan(input, channels));
                });
            }
        });
        Batch.Reduce(_weightGradients, _weight.Gradient);
    }

    /// <summary>Visits every (input pixel, output pixel, tap) of one image, as offsets of their first channel.</summary>
    private void Windows(int image, Action<int, int, int, int> visit)
    {
        int channels = Output.Channels;
        for (int oy = 0; oy < Output.Height; oy++)
        {
            for (int ox = 0; ox < Output.Width; ox++)
            {
                int output = image * Output.ImageLength + (oy * Output.Width + ox) * channels;
                for (int ky = 0; ky < Kernel; ky++)
                {
                    int y = oy * _stride + ky - Padding;
                    if ((uint)y >= (uint)_input.Height) continue;
                    for (int kx = 0; kx < Kernel; kx++)
                    {
                        int x = ox * _stride + kx - Padding;
                        if ((uint)x >= (uint)_input.Width) continue;
                        visit(image * _input.ImageLength + (y * _input.Width + x) * channels, output, (ky * Kernel + kx) * channels, channels);
                    }
                }
            }
        }
    }

    public override void Write(OnnxWriter onnx)
    {
        int channels = Output.Channels, area = Kernel * Kernel;
        float[] oihw = new float[_weight.Value.Length];
        for (int k = 0; k < area; k++)
            for (int c = 0; c < channels; c++) oihw[c * area + k] = _weight.Value[k * channels + c];
        onnx.Initializer(Name + ".weight", oihw, channels, 1, Kernel, Kernel);
        onnx.Node("Conv", Name, [_input.Name, Name + ".weight"], Output.Name, OnnxWriter.Int("group", channels), OnnxWriter.Ints("kernel_shape", Kernel, Kernel),
            OnnxWriter.Ints("strides", _stride, _stride), OnnxWriter.Ints("pads", Padding, Padding, Padding, Padding));
    }
}

/// <summary>Batch normalization: <c>y = scale·(x − mean)/√(variance + ε) + shift</c>, statistics per channel over batch and pixels.</summary>
internal sealed class BatchNormalization : Layer
{
    private const float Epsilon = 1e-5f, Momentum = 0.95f;
    private readonly Activation _input;
    private readonly Parameter _scale, _shift;
    private readonly float[] _mean, _deviation, _runningMean, _runningVariance;
    private readonly float[][] _first, _second;

    public BatchNormalization(string name, Batch batch, Activation input)
        : base(name, batch, new Activation(name, batch.Size, input.Height, input.Width, input.Channels))
    {
        int channels = input.Channels;
        _input = input;
        _scale = new Parameter(channels, decays: false);
        _shift = new Parameter(channels, decays: false);
        Array.Fill(_scale.Value, 1f);
        (_mean, _deviation, _runningMean, _runningVariance) = (new float[channels], new float[channels], new float[channels], new float[channels]);
        Array.Fill(_runningVariance, 1f);
        (_first, _second) = (Batch.Partials(channels), Batch.Partials(channels));
    }

    public override IEnumerable<Parameter> Parameters => [_scale, _shift];

    public override void Forward(bool training)
    {
        int channels = Output.Channels;
        if (training)
        {
            int pixels = Batch.Count * Output.Height * Output.Width;
            Array.Clear(_mean);
            Array.Clear(_deviation);
            Batch.For((part, from, to) => Rows.Total(Images(_input.Data, from, to), _first[part]));
            Batch.Reduce(_first, _mean);
            for (int c = 0; c < channels; c++) _mean[c] /= pixels;
            Batch.For((part, from, to) => Rows.TotalSquares(Images(_input.Data, from, to), _mean, _second[part]));
            Batch.Reduce(_second, _deviation);
            for (int c = 0; c < channels; c++)
            {
                float variance = _deviation[c] / pixels;
                _runningMean[c] = Momentum * _runningMean[c] + (1 - Momentum) * _mean[c];
                _runningVariance[c] = Momentum * _runningVariance[c] + (1 - Momentum) * variance;
                _deviation[c] = MathF.Sqrt(variance + Epsilon);
            }
        }
        else
        {
            _runningMean.CopyTo(_mean, 0);
            for (int c = 0; c < channels; c++) _deviation[c] = MathF.Sqrt(_runningVariance[c] + Epsilon);
        }

        float[] factor = new float[channels], offset = new float[channels];
        for (int c = 0; c < channels; c++)
        {
            factor[c] = _scale.Value[c] / _deviation[c];
            offset[c] = _shift.Value[c] - _mean[c] * factor[c];
        }

        Batch.For((_, from, to) => Rows.Affine(Images(_input.Data, from, to), factor, offset, Images(Output.Data, from, to)));
    }

    /// <summary>
    /// With x̂ = (x − mean)/deviation and n pixels: <c>d shift = Σ dy; d scale = Σ dy·x̂;
    /// dx = scale/deviation · (dy − Σ dy / n − x̂ · Σ dy·x̂ / n)</c>.
    /// </summary>
    public override void Backward()
    {
        int channels = Output.Channels, pixels = Batch.Count * Output.Height * Output.Width;
        Batch.For((part, from, to) =>
        {
            Rows.Total(Images(Output.Gradient, from, to), _first[part]);
            Rows.TotalProducts(Images(Output.Gradient, from, to), Images(_input.Data, from, to), _mean, _second[part]);
        });
        float[] sum = new float[channels], product = new float[channels];
        Batch.Reduce(_first, sum);
        Batch.Reduce(_second, product);
        float[] dyFactor = new float[channels], xFactor = new float[channels], offset = new float[channels];
        for (int c = 0; c < channels; c++)
        {
            float normalized = product[c] / _deviation[c];
            _shift.Gradient[c] += sum[c];
            _scale.Gradient[c] += normalized;
            dyFactor[c] = _scale.Value[c] / _deviation[c];
            xFactor[c] = -dyFactor[c] * normalized / (pixels * _deviation[c]);
            offset[c] = -dyFactor[c] * sum[c] / pixels - xFactor[c] * _mean[c];
        }

        Batch.For((_, from, to) => Rows.AffineGradient(Images(Output.Gradient, from, to), Images(_input.Data, from, to),
            dyFactor, xFactor, offset, Images(_input.Gradient, from, to)));
    }

    private Span<float> Images(float[] values, int from, int to) => values.AsSpan(from * Output.ImageLength, (to - from) * Output.ImageLength);

    public override void Write(OnnxWriter onnx)
    {
        onnx.Initializer(Name + ".scale", _scale.Value, Output.Channels);
        onnx.Initializer(Name + ".bias", _shift.Value, Output.Channels);
        onnx.Initializer(Name + ".mean", _runningMean, Output.Channels);
        onnx.Initializer(Name + ".variance", _runningVariance, Output.Channels);
        onnx.Node("BatchNormalization", Name, [_input.Name, Name + ".scale", Name + ".bias", Name + ".mean", Name + ".variance"], Output.Name,
            OnnxWriter.Float("epsilon", Epsilon));
    }
}

/// <summary><c>y = min(max(x, 0), ceiling)</c>: Relu for an infinite ceiling, else Clip.</summary>
internal sealed class Activate(string name, Batch batch, Activation input, float ceiling)
    : Layer(name, batch, new Activation(name, batch.Size, input.Height, input.Width, input.Channels))
{
    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++) Rows.Clamp(input.Image(i), ceiling, Output.Image(i));
    });

    public override void Backward() => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++) Rows.ClampGradient(Output.ImageGradient(i), input.Image(i), ceiling, input.ImageGradient(i));
    });

    public override void Write(OnnxWriter onnx)
    {
        if (float.IsPositiveInfinity(ceiling))
        {
            onnx.Node("Relu", Name, [input.Name], Output.Name);
            return;
        }

        onnx.Initializer(Name + ".min", [0f]);
        onnx.Initializer(Name + ".max", [ceiling]);
        onnx.Node("Clip", Name, [input.Name, Name + ".min", Name + ".max"], Output.Name);
    }
}

/// <summary>Element-wise sum of two activations of one shape.</summary>
internal sealed class Sum(string name, Batch batch, Activation left, Activation right)
    : Layer(name, batch, new Activation(name, batch.Size, left.Height, left.Width, left.Channels))
{
    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++)
        {
            left.Image(i).CopyTo(Output.Image(i));
            Rows.Add(right.Image(i), Output.Image(i));
        }
    });

    public override void Backward() => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++)
        {
            Rows.Add(Output.ImageGradient(i), left.ImageGradient(i));
            Rows.Add(Output.ImageGradient(i), right.ImageGradient(i));
        }
    });

    public override void Write(OnnxWriter onnx) => onnx.Node("Add", Name, [left.Name, right.Name], Output.Name);
}

/// <summary>Channels of one activation followed by those of another.</summary>
internal sealed class Concatenation(string name, Batch batch, Activation left, Activation right)
    : Layer(name, batch, new Activation(name, batch.Size, left.Height, left.Width, left.Channels + right.Channels))
{
    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        for (int p = from * left.Height * left.Width; p < to * left.Height * left.Width; p++)
        {
            Span<float> y = Output.Data.AsSpan(p * Output.Channels, Output.Channels);
            left.Data.AsSpan(p * left.Channels, left.Channels).CopyTo(y);
            right.Data.AsSpan(p * right.Channels, right.Channels).CopyTo(y[left.Channels..]);
        }
    });

    public override void Backward() => Batch.For((_, from, to) =>
    {
        for (int p = from * left.Height * left.Width; p < to * left.Height * left.Width; p++)
        {
            ReadOnlySpan<float> dy = Output.Gradient.AsSpan(p * Output.Channels, Output.Channels);
            Rows.Add(dy[..left.Channels], left.Gradient.AsSpan(p * left.Channels, left.Channels));
            Rows.Add(dy[left.Channels..], right.Gradient.AsSpan(p * right.Channels, right.Channels));
        }
    });

    public override void Write(OnnxWriter onnx) => onnx.Node("Concat", Name, [left.Name, right.Name], Output.Name, OnnxWriter.Int("axis", 1));
}

/// <summary>Largest of each 2 × 2 square; of equal values the first wins the gradient.</summary>
internal sealed class MaxPool(string name, Batch batch, Activation input)
    : Layer(name, batch, new Activation(name, batch.Size, input.Height / 2, input.Width / 2, input.Channels))
{
    private readonly int[] _source = new int[batch.Size * input.ImageLength / 4];

    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        int channels = input.Channels, row = input.Width * channels;
        ReadOnlySpan<int> taps = [channels, row, row + channels];
        for (int i = from; i < to; i++)
        {
            for (int oy = 0; oy < Output.Height; oy++)
            {
                for (int ox = 0; ox < Output.Width; ox++)
                {
                    int first = i * input.ImageLength + 2 * oy * row + 2 * ox * channels;
                    int target = i * Output.ImageLength + (oy * Output.Width + ox) * channels;
                    for (int c = 0; c < channels; c++)
                    {
                        int best = first + c;
                        foreach (int tap in taps)
                            if (input.Data[first + c + tap] > input.Data[best]) best = first + c + tap;
                        Output.Data[target + c] = input.Data[best];
                        _source[target + c] = best;
                    }
                }
            }
        }
    });

    public override void Backward() => Batch.For((_, from, to) =>
    {
        for (int i = from * Output.ImageLength; i < to * Output.ImageLength; i++) input.Gradient[_source[i]] += Output.Gradient[i];
    });

    public override void Write(OnnxWriter onnx) =>
        onnx.Node("MaxPool", Name, [input.Name], Output.Name, OnnxWriter.Ints("kernel_shape", 2, 2), OnnxWriter.Ints("strides", 2, 2));
}

/// <summary>Mean of each channel over the image.</summary>
internal sealed class GlobalAveragePool(string name, Batch batch, Activation input)
    : Layer(name, batch, new Activation(name, batch.Size, 1, 1, input.Channels))
{
    public override void Forward(bool training) => Batch.For((_, from, to) =>
    {
        for (int i = from; i < to; i++)
        {
            Span<float> mean = Output.Image(i);
            mean.Clear();
            for (int at = 0; at < input.ImageLength; at += input.Channels) Rows.Add(input.Image(i).Slice(at, input.Channels), mean);
            foreach (ref float m in mean) m /= input.Height * input.Width;
        }
    });

    public override void Backward() => Batch.For((_, from, to) =>
    {
        float[] share = new float[input.Channels];
        for (int i = from; i < to; i++)
        {
            for (int c = 0; c < share.Length; c++) share[c] = Output.ImageGradient(i)[c] / (input.Height * input.Width);
            for (int at = 0; at < input.ImageLength; at += input.Channels) Rows.Add(share, input.ImageGradient(i).Slice(at, input.Channels));
        }
    });

    public override void Write(OnnxWriter onnx)
    {
        onnx.Node("GlobalAveragePool", Name, [input.Name], Output.Name + ".pooled");
        onnx.Node("Flatten", Name + ".flatten", [Output.Name + ".pooled"], Output.Name, OnnxWriter.Int("axis", 1));
    }
}

/// <summary>Fully connected layer with bias; weights are <c>[class][feature]</c>.</summary>
internal sealed class Linear : Layer
{
    private readonly Activation _input;
    private readonly Parameter _weight, _bias;

    public Linear(string name, Batch batch, Activation input, int classes, Random random) : base(name, batch, new Activation(name, batch.Size, 1, 1, classes))
    {
        _input = input;
        _weight = new Parameter(classes * input.Channels, decays: true);
        _weight.Randomize(random, input.Channels);
        _bias = new Parameter(classes, decays: false);
    }

    public override IEnumerable<Parameter> Parameters => [_weight, _bias];
    public override long Macs => _weight.Value.Length;

    public override void Forward(bool training)
    {
        int features = _input.Channels;
        for (int i = 0; i < Batch.Count; i++)
        {
            for (int k = 0; k < Output.Channels; k++)
            {
                float sum = _bias.Value[k];
                for (int f = 0; f < features; f++) sum += _input.Image(i)[f] * _weight.Value[k * features + f];
                Output.Image(i)[k] = sum;
            }
        }
    }

    public override void Backward()
    {
        int features = _input.Channels;
        for (int i = 0; i < Batch.Count; i++)
        {
            for (int k = 0; k < Output.Channels; k++)
            {
                float dy = Output.ImageGradient(i)[k];
                _bias.Gradient[k] += dy;
                for (int f = 0; f < features; f++)
                {
                    _weight.Gradient[k * features + f] += dy * _input.Image(i)[f];
                    _input.ImageGradient(i)[f] += dy * _weight.Value[k * features + f];
                }
            }
        }
    }

    public override void Write(OnnxWriter onnx)
    {
        onnx.Initializer(Name + ".weight", _weight.Value, Output.Channels, _input.Channels);
        onnx.Initializer(Name + ".bias", _bias.Value, Output.Channels);
        onnx.Node("Gemm", Name, [_input.Name, Name + ".weight", Name + ".bias"], Output.Name, OnnxWriter.Int("transB", 1));
    }
}
