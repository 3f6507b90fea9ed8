using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Reduce;

/// <summary>What calibration asks of a tensor: its range and its histogram, at memory speed.</summary>
internal static unsafe class RangeKernels
{
    /// <summary>
    /// Counters per bin of a long pass, so that equal values in a row do not wait for each other's increment. Those of one bin lie side by side: a stride of a power of two would make
    /// them compete for one cache line's place.
    /// </summary>
    public const int Stripes = 4;

    /// <summary>Further counts of a pass, one per lane, for zeros: of these a ReLU leaves runs.</summary>
    public const int ZeroCounts = 16;

    /// <summary>Smallest and largest element.</summary>
    /// <param name="x">Values. A NaN is no value and is ignored; infinities count.</param>
    /// <param name="cpu">The CPU.</param>
    /// <returns><c>(+∞, −∞)</c> where x has no element but NaN.</returns>
    public static (float Min, float Max) MinMax(ReadOnlySpan<float> x, CpuFeatures cpu)
    {
        float low, high;
        Find(x, &low, &high, cpu);
        return (low, high);
    }

    /// <summary>Smallest and largest element, the same bits on every CPU: both NaN where an element is, and a zero is +0.</summary>
    /// <param name="x">Values; at least one.</param>
    /// <param name="cpu">The CPU.</param>
    public static (float Min, float Max) Extremes(ReadOnlySpan<float> x, CpuFeatures cpu)
    {
        float low, high;
        // −0 + 0 = +0; which of the two zeros a minimum is would depend on the order of the elements.
        return Find(x, &low, &high, cpu) ? (low + 0f, high + 0f) : (float.NaN, float.NaN);
    }

    /// <summary>Counts every element in its bin <c>⌊x · factor⌋</c>.</summary>
    /// <param name="x">Finite values.</param>
    /// <param name="factor">A power of two, normal: the product is exact but for negative numbers that become zero, whose bin is −1 all the same.</param>
    /// <param name="first">No element lies in a lower bin; ≤ 0.</param>
    /// <param name="last">No element lies in a higher bin; ≥ 0.</param>
    /// <param name="bins">Counts to add to; entry i is bin i + <paramref name="first"/>. Its last <see cref="ZeroCounts"/> entries are no bins, and zero before and after.</param>
    /// <param name="counters"><see cref="Stripes"/> times as many entries as bins, and <see cref="ZeroCounts"/> more; zero before and after.</param>
    /// <param name="cpu">The CPU.</param>
    /// <exception cref="ArgumentException">A span is too short, or bin 0 is not between first and last.</exception>
    public static void CountBins(ReadOnlySpan<float> x, float factor, int first, int last, Span<long> bins, Span<int> counters, CpuFeatures cpu)
    {
        int count = last - first + 1;
        if (first > 0 || last < 0 || bins.Length < count + ZeroCounts || counters.Length < Stripes * count + ZeroCounts)
            throw new ArgumentException($"bins {first} to {last} in {bins.Length} counts with {counters.Length} counters; rule: first ≤ 0 ≤ last, {count + ZeroCounts} counts, {Stripes * count + ZeroCounts} counters");
        fixed (float* xp = x)
        fixed (long* bp = bins)
        fixed (int* cp = counters)
        {
            // Adding the counters of a bin up costs as much as a few increments.
            int* stripes = x.Length >= 8 * count ? cp : null;
            switch (VectorWidths.Select(cpu))
            {
                case VectorWidth.V512: RangeLoop<Lanes512, Vector512<float>>.Count(xp, x.Length, factor, first, last, bp, bins.Length, stripes); break;
                case VectorWidth.V256: RangeLoop<Lanes256, Vector256<float>>.Count(xp, x.Length, factor, first, last, bp, bins.Length, stripes); break;
                case VectorWidth.V128: RangeLoop<Lanes128, Vector128<float>>.Count(xp, x.Length, factor, first, last, bp, bins.Length, stripes); break;
                default: RangeLoop<ScalarLanes, float>.Count(xp, x.Length, factor, first, last, bp, bins.Length, stripes); break;
            }
        }
    }

    /// <returns>Whether no element is NaN.</returns>
    private static bool Find(ReadOnlySpan<float> x, float* low, float* high, CpuFeatures cpu)
    {
        fixed (float* xp = x)
        {
            return VectorWidths.Select(cpu) switch
            {
                VectorWidth.V512 => RangeLoop<Lanes512, Vector512<float>>.MinMax(xp, x.Length, low, high),
                VectorWidth.V256 => RangeLoop<Lanes256, Vector256<float>>.MinMax(xp, x.Length, low, high),
                VectorWidth.V128 => RangeLoop<Lanes128, Vector128<float>>.MinMax(xp, x.Length, low, high),
                _ => RangeLoop<ScalarLanes, float>.MinMax(xp, x.Length, low, high),
            };
        }
    }

    private static class RangeLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
    {
        /// <returns>Whether no element is NaN.</returns>
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static bool MinMax(float* x, nint length, float* low, float* high)
        {
            // Max(x, acc) keeps acc where x is NaN.
            V min0 = TLanes.Create(float.PositiveInfinity), max0 = TLanes.Create(float.NegativeInfinity);
            V min1 = min0, max1 = max0, numbers = TLanes.CreateBits(-1);
            nint i = 0;
            for (; i <= length - 2 * TLanes.Count; i += 2 * TLanes.Count)
            {
                V a = TLanes.Load(x + i), b = TLanes.Load(x + i + TLanes.Count);
                numbers = TLanes.And(numbers, TLanes.And(TLanes.Equals(a, a), TLanes.Equals(b, b)));
                min0 = TLanes.Min(a, min0);
                max0 = TLanes.Max(a, max0);
                min1 = TLanes.Min(b, min1);
                max1 = TLanes.Max(b, max1);
            }
            float lowest = TLanes.MinLane(TLanes.Min(min0, min1)), highest = TLanes.MaxLane(TLanes.Max(max0, max1));
            bool all = TLanes.MinLane(TLanes.Select(numbers, TLanes.Create(1), TLanes.Create(0))) == 1;
            for (; i < length; i++)
            {
                all &= !float.IsNaN(x[i]);
                lowest = ScalarLanes.Min(x[i], lowest);
                highest = ScalarLanes.Max(x[i], highest);
            }
            (*low, *high) = (lowest, highest);
            return all;
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static void Count(float* x, nint length, float factor, int first, int last, long* bins, int entries, int* counters)
        {
            const int block = 256;
            int* index = stackalloc int[block];
            // Element i counts at stripes · bin + i mod stripes, a zero of lane l at zeros + l.
            int stripes = counters != null ? Stripes : 1, zeros = counters != null ? Stripes * (last - first + 1) : entries - ZeroCounts;
            float* lane = stackalloc float[2 * ZeroCounts];
            for (int l = 0; l < ZeroCounts; l++) (lane[l], lane[ZeroCounts + l]) = (l % stripes - (float)stripes * first, zeros + l);
            V offset = TLanes.Load(lane), zero = TLanes.Load(lane + ZeroCounts), factors = TLanes.Create(factor), least = TLanes.Create(first), greatest = TLanes.Create(last), step = TLanes.Create(stripes);
            for (nint done = 0; done < length; done += block)
            {
                int n = (int)Math.Min(block, length - done), i = 0;
                for (; i <= n - TLanes.Count; i += TLanes.Count) TLanes.Store32(Bin<TLanes, V>(TLanes.Load(x + done + i), factors, least, greatest, step, offset, zero), index + i);
                for (; i < n; i++) index[i] = (int)Bin<ScalarLanes, float>(x[done + i], factor, first, last, stripes, lane[0], zeros);
                if (counters != null) Increment(counters, index, n);
                else Increment(bins, index, n);
            }
            if (counters != null)
            {
                for (int b = 0; b <= last - first; b++)
                {
                    int* c = counters + Stripes * b;
                    bins[b] += (long)c[0] + c[1] + c[2] + c[3];
                    Vector128<int>.Zero.Store(c);
                }
            }
            for (int l = 0; l < ZeroCounts; l++)
            {
                bins[-first] += counters != null ? counters[zeros + l] : bins[zeros + l];
                if (counters != null) counters[zeros + l] = 0;
                else bins[zeros + l] = 0;
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Increment<T>(T* counts, int* index, int n) where T : unmanaged, System.Numerics.IIncrementOperators<T>
        {
            int i = 0;
            for (; i <= n - 4; i += 4)
            {
                counts[index[i]]++;
                counts[index[i + 1]]++;
                counts[index[i + 2]]++;
                counts[index[i + 3]]++;
            }
            for (; i < n; i++) counts[index[i]]++;
        }

        /// <summary>Where an element counts, as an integral float.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static W Bin<L, W>(W x, W factor, W first, W last, W stripes, W offset, W zero) where L : struct, ILanes<W> where W : unmanaged
        {
            W at = L.Floor(L.Multiply(x, factor));
            // A negative number lies below bin 0 even where its product is too small for a float32.
            at = L.Select(L.LessThan(x, L.Create(0f)), L.Min(at, L.Create(-1f)), at);
            // Whatever x holds, counts stay where they belong; of NaN, Max keeps its second operand.
            at = L.Min(L.Max(at, first), last);
            return L.Select(L.Equals(x, L.Create(0f)), zero, L.Add(L.Multiply(at, stripes), offset));
        }
    }
}
