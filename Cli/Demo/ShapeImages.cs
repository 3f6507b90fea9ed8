namespace Octet.Cli.Demo;

/// <summary>
/// Labelled 32 × 32 RGB images of ten shapes, drawn from a seed: the data of the demo, for training and for evaluation.
/// </summary>
/// <remarks>
/// An image is a function of <c>(seed, index)</c> alone, and the same bytes on every machine: the random numbers are
/// SplitMix64, all geometry is integer (below), and the only floating-point operation is the final division of a byte by 255,
/// which IEEE 754 defines exactly.
/// <code>
///   sample point   4 × 4 per pixel, in 1/8 pixel, relative to the centre of the shape
///   (u, v)         = M · point / 2^14: rotation, scale and stretch in one integer matrix; 1024 is the nominal radius
///   coverage       = samples inside the shape, 0..16
///   pixel          = clamp(background + (foreground − background) · coverage / 16 + noise, 0, 255)
/// </code>
/// Small discs of other colours lie on top as distractors. Position, size, stretch, rotation, colours, contrast, gradient and
/// noise are random. Directions come in 64 steps from a table of sines, so no platform's <c>sin</c> takes part.
/// </remarks>
internal static class ShapeImages
{
    /// <summary>Extent of an image, channels first.</summary>
    public const int Channels = 3, Height = 32, Width = 32, Length = Channels * Height * Width;

    /// <summary>Seed of the images the demo model was trained on; calibration images come from here too.</summary>
    public const ulong TrainingSeed = 0x5EED_0001;

    /// <summary>Seed of the images that only evaluation uses; training never sees them.</summary>
    public const ulong EvaluationSeed = 0x5EED_0002;

    /// <summary>Names of the classes; the label is the position.</summary>
    public static IReadOnlyList<string> ClassNames => Names;

    private static readonly string[] Names =
        ["circle", "ring", "semicircle", "crescent", "square", "triangle", "star", "cross", "stripes", "checkerboard"];

    private const int SubSamples = 4, UnitsPerPixel = 8, Unit = 1024, FractionBits = 14;

    /// <summary>The farthest point of any shape (1330, a corner of the square window) plus 5 units at the smallest radius and largest stretch (134).</summary>
    private const int Reach = 1500;

    /// <summary>Quarter wave: round(2^14 · sin(i · π / 32)), i = 0..16.</summary>
    private static ReadOnlySpan<short> QuarterSine =>
        [0, 1606, 3196, 4756, 6270, 7723, 9102, 10394, 11585, 12665, 13623, 14449, 15137, 15679, 16069, 16305, 16384];

    /// <summary>Unit normals of the regular pentagon, times 1024: angles 90° + 72°·k.</summary>
    private static ReadOnlySpan<short> PentagonX => [0, -974, -602, 602, 974];
    private static ReadOnlySpan<short> PentagonY => [1024, 316, -828, -828, 316];

    /// <summary>Draws image <paramref name="index"/> of the stream <paramref name="seed"/>.</summary>
    /// <param name="index">Position in the stream, at least 0. The label is <c>index mod 10</c>, so any ten successive images show every class once.</param>
    /// <param name="seed">Which stream, for example <see cref="EvaluationSeed"/>.</param>
    /// <param name="chw">Receives <see cref="Length"/> values <c>byte / 255</c> in [0, 1], planes R, G, B, rows top to bottom; may be longer.</param>
    /// <returns>The label, 0..9.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is negative.</exception>
    /// <exception cref="ArgumentException"><paramref name="chw"/> is too short.</exception>
    public static int Generate(int index, ulong seed, Span<float> chw)
    {
        if (chw.Length < Length) throw new ArgumentException($"The image has {Length} values but the span has room for {chw.Length}.", nameof(chw));
        Span<byte> bytes = stackalloc byte[Length];
        int label = Generate(index, seed, bytes);
        for (int i = 0; i < Length; i++) chw[i] = bytes[i] / 255f;
        return label;
    }

    /// <summary>As <see cref="Generate(int, ulong, Span{float})"/>, before the division by 255.</summary>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="index"/> is negative.</exception>
    /// <exception cref="ArgumentException"><paramref name="chw"/> is too short.</exception>
    public static int Generate(int index, ulong seed, Span<byte> chw)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        if (chw.Length < Length) throw new ArgumentException($"The image has {Length} values but the span has room for {chw.Length}.", nameof(chw));

        int label = index % Names.Length;
        SplitMix64 random = new(SplitMix64.Mix(seed) ^ SplitMix64.Mix((ulong)index + 1));

        // Geometry, in 1/8 pixel. The centre keeps most of the shape inside the image.
        int radius = random.Next(48, 100);
        int margin = radius * 3 / 4;
        int centreX = random.Next(margin, Width * UnitsPerPixel - margin);
        int centreY = random.Next(margin, Height * UnitsPerPixel - margin);
        int direction = random.Next(0, 64);
        int cos = Sine(direction + 16), sin = Sine(direction);
        int stretchX = random.Next(800, 1250), stretchY = 1_000_000 / stretchX;   // thousandths, product 1: area is kept
        int m00 = cos * Unit / radius * stretchX / 1000, m01 = sin * Unit / radius * stretchX / 1000;
        int m10 = -sin * Unit / radius * stretchY / 1000, m11 = cos * Unit / radius * stretchY / 1000;
        int variant = random.Next(0, 4);

        // Colours: the background runs from 'near' to 'far' along a direction; the foreground differs from their mean by a random contrast.
        Span<int> near = stackalloc int[Channels], far = stackalloc int[Channels], foreground = stackalloc int[Channels];
        int contrast = random.Next(70, 240);
        for (int c = 0; c < Channels; c++) near[c] = random.Next(0, 256);
        for (int c = 0; c < Channels; c++) far[c] = Math.Clamp(near[c] + random.Next(-70, 71), 0, 255);
        PickForeground(ref random, near, far, contrast, foreground);
        int gradient = random.Next(0, 64);
        int gradientX = Sine(gradient + 16), gradientY = Sine(gradient);
        int noise = random.Next(2, 34);

        // Distractors: x, y, radius in 1/8 pixel, then a colour.
        const int MaxDistractors = 4, DistractorFields = 6;
        Span<int> distractors = stackalloc int[MaxDistractors * DistractorFields];
        int distractorCount = random.Next(0, MaxDistractors + 1);
        for (int d = 0; d < distractorCount; d++)
        {
            Span<int> disc = distractors.Slice(d * DistractorFields, DistractorFields);
            disc[0] = random.Next(0, Width * UnitsPerPixel);
            disc[1] = random.Next(0, Height * UnitsPerPixel);
            disc[2] = random.Next(8, 24);
            for (int c = 0; c < Channels; c++) disc[3 + c] = random.Next(0, 256);
        }

        Span<int> hidden = stackalloc int[MaxDistractors];
        for (int y = 0; y < Height; y++)
        {
            for (int x = 0; x < Width; x++)
            {
                // The samples lie within 5 units of the middle of the pixel, so a shape or a disc that is farther away has coverage 0.
                int middleX = x * UnitsPerPixel + UnitsPerPixel / 2, middleY = y * UnitsPerPixel + UnitsPerPixel / 2;
                int middleU = (m00 * (middleX - centreX) + m01 * (middleY - centreY)) >> FractionBits;
                int middleV = (m10 * (middleX - centreX) + m11 * (middleY - centreY)) >> FractionBits;
                int coverage = 0;
                if (middleU * middleU + middleV * middleV <= Reach * Reach)
                {
                    for (int s = 0; s < SubSamples * SubSamples; s++)
                    {
                        int dx = SampleX(x, s) - centreX, dy = SampleY(y, s) - centreY;
                        if (Inside(label, variant, (m00 * dx + m01 * dy) >> FractionBits, (m10 * dx + m11 * dy) >> FractionBits)) coverage++;
                    }
                }

                for (int d = 0; d < distractorCount; d++)
                {
                    hidden[d] = 0;
                    int discX = distractors[d * DistractorFields], discY = distractors[d * DistractorFields + 1], r = distractors[d * DistractorFields + 2];
                    if (Squared(middleX - discX, middleY - discY) > (r + 5) * (r + 5)) continue;
                    for (int s = 0; s < SubSamples * SubSamples; s++)
                        if (Squared(SampleX(x, s) - discX, SampleY(y, s) - discY) <= r * r) hidden[d]++;
                }

                // Position along the gradient, 0..256: the projection of the pixel on the direction, ±32·√½ pixels at most.
                int along = Math.Clamp(128 + (gradientX * (x - Width / 2) + gradientY * (y - Height / 2)) * 6 / (1 << FractionBits), 0, 256);
                for (int c = 0; c < Channels; c++)
                {
                    int value = near[c] + (far[c] - near[c]) * along / 256;
                    value += (foreground[c] - value) * coverage / (SubSamples * SubSamples);
                    for (int d = 0; d < distractorCount; d++)
                        value += (distractors[d * DistractorFields + 3 + c] - value) * hidden[d] / (SubSamples * SubSamples);
                    value += random.Next(-noise, noise + 1) + random.Next(-noise, noise + 1);
                    chw[(c * Height + y) * Width + x] = (byte)Math.Clamp(value, 0, 255);
                }
            }
        }

        return label;
    }

    /// <summary>Horizontal position of one of the 16 samples of a pixel, in 1/8 pixel.</summary>
    private static int SampleX(int x, int sample) => x * UnitsPerPixel + 2 * (sample % SubSamples) + 1;

    /// <summary>Vertical position of one of the 16 samples of a pixel, in 1/8 pixel.</summary>
    private static int SampleY(int y, int sample) => y * UnitsPerPixel + 2 * (sample / SubSamples) + 1;

    private static int Squared(int x, int y) => x * x + y * y;

    /// <summary>Whether the point belongs to the shape; the nominal radius is 1024, the y axis points down.</summary>
    private static bool Inside(int label, int variant, int u, int v)
    {
        int squared = u * u + v * v;
        switch (label)
        {
            case 0: return squared <= 900 * 900;
            case 1: return squared <= 980 * 980 && squared >= 560 * 560;
            case 2: return v >= -430 && u * u + (v + 430) * (v + 430) <= 1060 * 1060;
            case 3: return squared <= 980 * 980 && (u - 460) * (u - 460) + v * v >= 840 * 840;
            case 4: return Math.Abs(u) <= 800 && Math.Abs(v) <= 800;
            case 5: return v <= 560 && 887 * Math.Abs(u) - 512 * v <= 560 * Unit;   // three half-planes with normals 120° apart
            case 6: return InsideStar(u, v);
            case 7: return Math.Max(Math.Abs(u), Math.Abs(v)) <= 960 && Math.Min(Math.Abs(u), Math.Abs(v)) <= 310;
            default:
                bool window = (variant & 1) == 0 ? squared <= 1060 * 1060 : Math.Abs(u) <= 940 && Math.Abs(v) <= 940;
                if (!window) return false;
                int cell = (variant & 2) == 0 ? 400 : 520, phase = 16 * cell + cell / 2;   // the phase keeps the division of positive numbers
                int column = (u + phase) / cell, row = (v + phase) / cell;
                return ((label == 8 ? column : column + row) & 1) == 0;
        }
    }

    /// <summary>A pentagram: the points inside at least four of the five half-planes at distance 380 = cos 72° · 1230.</summary>
    private static bool InsideStar(int u, int v)
    {
        int inside = 0;
        for (int k = 0; k < 5; k++)
            if (PentagonX[k] * u + PentagonY[k] * v <= 380 * Unit) inside++;
        return inside >= 4;
    }

    /// <summary>Tries up to 32 colours for one whose summed distance to the mean background is at least <paramref name="contrast"/>; keeps the farthest.</summary>
    private static void PickForeground(ref SplitMix64 random, ReadOnlySpan<int> near, ReadOnlySpan<int> far, int contrast, Span<int> foreground)
    {
        Span<int> candidate = stackalloc int[Channels];
        int best = -1;
        for (int attempt = 0; attempt < 32 && best < contrast; attempt++)
        {
            int distance = 0;
            for (int c = 0; c < Channels; c++)
            {
                candidate[c] = random.Next(0, 256);
                distance += Math.Abs(candidate[c] - (near[c] + far[c]) / 2);
            }
            if (distance <= best) continue;
            best = distance;
            candidate.CopyTo(foreground);
        }
    }

    /// <summary>round(2^14 · sin(2π · step / 64)) for any step of at least 0.</summary>
    private static int Sine(int step)
    {
        int position = step & 31;
        int magnitude = QuarterSine[position <= 16 ? position : 32 - position];
        return (step & 32) == 0 ? magnitude : -magnitude;
    }

    /// <summary>SplitMix64 (Steele, Lea, Flood 2014): a counter and a finalizer, all modulo 2^64.</summary>
    private struct SplitMix64(ulong state)
    {
        private ulong _state = state;

        public static ulong Mix(ulong z)
        {
            z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
            z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
            return z ^ (z >> 31);
        }

        /// <summary>A number in [low, high): the high half of a 32 × 32-bit product.</summary>
        public int Next(int low, int high)
        {
            _state += 0x9E3779B97F4A7C15;
            return low + (int)((Mix(_state) >> 32) * (ulong)(high - low) >> 32);
        }
    }
}
