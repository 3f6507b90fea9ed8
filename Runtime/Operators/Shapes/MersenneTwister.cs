namespace Octet.Runtime.Operators;

/// <summary>The generator MT19937, seeded and read as NumPy's <c>RandomState</c> does, so that seeded results equal those of ONNX's reference.</summary>
/// <remarks>
/// Its state lives in memory that the caller lends: <see cref="StateLength"/> words. Source: Matsumoto and Nishimura, "Mersenne Twister", ACM TOMACS 8(1), 1998.
/// </remarks>
internal ref struct MersenneTwister
{
    private const int Words = 624, Middle = 397;

    private readonly Span<uint> _state;
    private int _next;
    private double _spare;
    private bool _hasSpare;

    /// <summary>Words of state.</summary>
    public const int StateLength = Words;

    /// <summary>Seeds the generator.</summary>
    public MersenneTwister(Span<uint> state, uint seed)
    {
        _state = state[..Words];
        _next = Words;
        for (int i = 0; i < Words; i++)
        {
            _state[i] = seed;
            seed = 1812433253u * (seed ^ (seed >> 30)) + (uint)i + 1;
        }
    }

    /// <summary>Uniform in [0, 1), 53 random bits.</summary>
    public double NextDouble()
    {
        uint high = NextWord() >> 5, low = NextWord() >> 6;
        return (high * 67108864.0 + low) / 9007199254740992.0;
    }

    /// <summary>Normally distributed with mean 0 and deviation 1, by the polar method.</summary>
    public double NextGaussian()
    {
        if (_hasSpare)
        {
            _hasSpare = false;
            return _spare;
        }
        double x, y, square;
        do
        {
            x = 2 * NextDouble() - 1;
            y = 2 * NextDouble() - 1;
            square = x * x + y * y;
        }
        while (square >= 1 || square == 0);
        double factor = Math.Sqrt(-2 * Math.Log(square) / square);
        (_spare, _hasSpare) = (factor * x, true);
        return factor * y;
    }

    private uint NextWord()
    {
        if (_next == Words)
        {
            for (int i = 0; i < Words; i++)
            {
                uint joined = (_state[i] & 0x80000000u) | (_state[(i + 1) % Words] & 0x7FFFFFFFu);
                _state[i] = _state[(i + Middle) % Words] ^ (joined >> 1) ^ ((joined & 1) == 0 ? 0 : 0x9908B0DFu);
            }
            _next = 0;
        }
        uint word = _state[_next++];
        word ^= word >> 11;
        word ^= (word << 7) & 0x9D2C5680u;
        word ^= (word << 15) & 0xEFC60000u;
        return word ^ (word >> 18);
    }
}
