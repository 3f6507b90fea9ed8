namespace Octet.Runtime.Execution;

/// <summary>Gives each place in memory an offset such that places that are alive at the same time do not overlap.</summary>
internal static class MemoryPlanner
{
    /// <summary>Offsets are multiples of this: one cache line.</summary>
    private const int Alignment = 64;

    /// <summary>A stretch of memory and the steps, first and last included, during which it is in use.</summary>
    internal sealed class Place(int bytes, int first)
    {
        /// <summary>Size.</summary>
        public int Bytes { get; } = bytes;

        /// <summary>Step that writes it.</summary>
        public int First { get; } = first;

        /// <summary>Last step that reads it.</summary>
        public int Last { get; set; } = first;

        /// <summary>Where it lies in the arena.</summary>
        public int Offset { get; set; }
    }

    /// <summary>Sets every <see cref="Place.Offset"/>, the largest places first, each as low as it fits.</summary>
    /// <returns>Bytes of the arena.</returns>
    public static long Assign(IReadOnlyList<Place> places)
    {
        var placed = new List<Place>(places.Count);
        var neighbours = new List<Place>();
        long total = 0;
        var order = new List<Place>(places);
        order.Sort((a, b) => a.Bytes != b.Bytes ? b.Bytes.CompareTo(a.Bytes) : a.First != b.First ? a.First.CompareTo(b.First) : a.Last.CompareTo(b.Last));
        foreach (Place place in order)
        {
            neighbours.Clear();
            foreach (Place other in placed)
            {
                if (other.First <= place.Last && place.First <= other.Last) neighbours.Add(other);
            }
            neighbours.Sort((a, b) => a.Offset.CompareTo(b.Offset));

            long offset = 0;
            foreach (Place other in neighbours)
            {
                if (offset + place.Bytes <= other.Offset) break;
                offset = Math.Max(offset, Aligned((long)other.Offset + other.Bytes));
            }
            if (offset + place.Bytes > int.MaxValue - Alignment)
                throw new UnsupportedModelException($"the values of one run need more than {int.MaxValue} bytes; rule: at most 2 GiB per run");
            place.Offset = (int)offset;
            placed.Add(place);
            total = Math.Max(total, Aligned(offset + place.Bytes));
        }
        return total;
    }

    private static long Aligned(long offset) => (offset + Alignment - 1) / Alignment * Alignment;
}
