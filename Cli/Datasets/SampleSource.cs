namespace Octet.Cli.Datasets;

/// <summary>Where samples come from. Opening checks every file that is named; reading streams and may be repeated.</summary>
internal abstract class SampleSource
{
    /// <summary>Samples in all.</summary>
    public abstract long Count { get; }

    /// <summary>Whether every sample has a label.</summary>
    public abstract bool HasLabels { get; }

    /// <summary>Whether samples are images, which are preprocessed and go to one input.</summary>
    public abstract bool HasImages { get; }

    /// <summary>Samples from number <paramref name="skip"/> on.</summary>
    /// <exception cref="Octet.Runtime.DataException">A file is broken or does not fit the model.</exception>
    public abstract IEnumerable<Sample> Read(DatasetBinding binding, long skip);
}
