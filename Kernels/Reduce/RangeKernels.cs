using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Octet.Kernels.Cpu;
using Octet.Kernels.Lanes;

namespace Octet.Kernels.Reduce;

/// <summary>What calibration asks of a tensor: its range and its histogram, at memory speed.</summary>
internal static unsafe class RangeKernels
{
    /// <summary>Counters of one histogram pass, so that equal values in a row do not wait for each other's increment.</summary>
    private const int Stripes = 4;

    /// <summary>Bins up to which the stripes fit on the stack and in L1.</summary>
    private const int StripedBins = 2048;

    /// <summary>Smallest and largest element.</summary>
    /// <param name="x">Values. A NaN is no value and is ignored; infinities count.</param>
    /// <param name="cpu">The CPU.</param>
    /// <returns><c>(+∞, −∞)</c> where x has no element but NaN.</returns>
    public static (float Min, float Max) MinMax(ReadOnlySpan<float> x, CpuFeatures cpu)
    {
        float low, high;
        fixed (float* xp = x)
        {
            switch (VectorWidths.Select(cpu))
            {
                case VectorWidth.V512: RangeLoop<Lanes512, Vector512<float>>.MinMax(xp, x.Length, &low, &high); break;
                case VectorWidth.V256: RangeLoop<Lanes256, Vector256<float>>.MinMax(xp, x.Length, &low, &high); break;
                case VectorWidth.V128: RangeLoop<Lanes128, Vector128<float>>.MinMax(xp, x.Length, &low, &high); break;
                default: RangeLoop<ScalarLanes, float>.MinMax(xp, x.Length, &low, &high); break;
            }
        }
        return (low, high);
    }

    /// <summary>
    /// Adds every element to a histogram of equal bins over [<paramref name="low"/>, <paramref name="high"/>]:
    /// bin <c>⌊(x − low) · bins / (high − low)⌋</c>, computed in float32, clamped to the first and last bin. NaN is not counted.
    /// </summary>
    /// <param name="x">Values.</param>
    /// <param name="absolute">Whether |x| is counted instead of x.</param>
    /// <param name="low">Lower end of bin 0.</param>
    /// <param name="high">Upper end of the last bin; above <paramref name="low"/>.</param>
    /// <param name="bins">Counts to add to; at least one.</param>
    /// <param name="cpu">The CPU.</param>
    /// <returns>How many elements were counted.</returns>
    /// <exception cref="ArgumentException">The range is empty or not finite, or there is no bin.</exception>
    public static long Histogram(ReadOnlySpan<float> x, bool absolute, float low, float high, Span<long> bins, CpuFeatures cpu)
    {
        if (!(high > low) || !float.IsFinite(high - low) || bins.IsEmpty)
            throw new ArgumentException($"histogram of {bins.Length} bins over [{low}, {high}]; rule: at least one bin, finite low < high");
        float factor = bins.Length / (high - low);
        if (!float.IsFinite(factor)) throw new ArgumentException($"range [{low}, {high}] is too narrow for {bins.Length} bins");
        fixed (float* xp = x)
        fixed (long* bp = bins)
        {
            return VectorWidths.Select(cpu) switch
            {
                VectorWidth.V512 => RangeLoop<Lanes512, Vector512<float>>.Histogram(xp, x.Length, absolute, low, factor, bp, bins.Length),
                VectorWidth.V256 => RangeLoop<Lanes256, Vector256<float>>.Histogram(xp, x.Length, absolute, low, factor, bp, bins.Length),
                VectorWidth.V128 => RangeLoop<Lanes128, Vector128<float>>.Histogram(xp, x.Length, absolute, low, factor, bp, bins.Length),
                _ => RangeLoop<ScalarLanes, float>.Histogram(xp, x.Length, absolute, low, factor, bp, bins.Length),
            };
        }
    }

    private static class RangeLoop<TLanes, V> where TLanes : struct, ILanes<V> where V : unmanaged
    {
        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static void MinMax(float* x, nint length, float* low, float* high)
        {
            // Max(x, acc) keeps acc where x is NaN.
            V min0 = TLanes.Create(float.PositiveInfinity), max0 = TLanes.Create(float.NegativeInfinity);
            V min1 = min0, max1 = max0;
            nint i = 0;
            for (; i <= length - 2 * TLanes.Count; i += 2 * TLanes.Count)
            {
                V a = TLanes.Load(x + i), b = TLanes.Load(x + i + TLanes.Count);
                min0 = TLanes.Min(a, min0);
                max0 = TLanes.Max(a, max0);
                min1 = TLanes.Min(b, min1);
                max1 = TLanes.Max(b, max1);
            }
            float lowest = TLanes.MinLane(TLanes.Min(min0, min1)), highest = TLanes.MaxLane(TLanes.Max(max0, max1));
            for (; i < length; i++)
            {
                lowest = ScalarLanes.Min(x[i], lowest);
                highest = ScalarLanes.Max(x[i], highest);
            }
            (*low, *high) = (lowest, highest);
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public static long Histogram(float* x, nint length, bool absolute, float low, float factor, long* bins, int count)
        {
            const int block = 256;
            int* index = stackalloc int[block];
            bool striped = count <= StripedBins;
            int* stripes = stackalloc int[striped ? Stripes * (count + 1) : 1];
            int stride = count + 1;   // the last bin collects NaN
            if (striped) new Span<int>(stripes, Stripes * stride).Clear();
            long nan = 0;
            for (nint done = 0; done < length; done += block)
            {
                int n = (int)Math.Min(block, length - done), i = 0;
                for (; i <= n - TLanes.Count; i += TLanes.Count) TLanes.Store32(Bin<TLanes, V>(TLanes.Load(x + done + i), absolute, low, factor, count), index + i);
                for (; i < n; i++) index[i] = (int)Bin<ScalarLanes, float>(x[done + i], absolute, low, factor, count);
                if (striped)
                {
                    for (i = 0; i <= n - Stripes; i += Stripes)
                    {
                        stripes[index[i]]++;
                        stripes[stride + index[i + 1]]++;
                        stripes[2 * stride + index[i + 2]]++;
                        stripes[3 * stride + index[i + 3]]++;
                    }
                    for (; i < n; i++) stripes[index[i]]++;
                }
                else
                {
                    for (i = 0; i < n; i++)
                    {
                        if (index[i] == count) nan++;
                        else bins[index[i]]++;
                    }
                }
            }
            if (striped)
            {
                for (int s = 0; s < Stripes; s++)
                {
                    for (int b = 0; b < count; b++) bins[b] += stripes[s * stride + b];
                    nan += stripes[s * stride + count];
                }
            }
            return length - nan;
        }

        /// <summary>The bin as an integral float; <paramref name="count"/> for NaN.</summary>
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static W Bin<L, W>(W x, bool absolute, float low, float factor, int count) where L : struct, ILanes<W> where W : unmanaged
        {
            if (absolute) x = L.And(x, L.CreateBits(int.MaxValue));
            W at = L.Floor(L.Multiply(L.Subtract(x, L.Create(low)), L.Create(factor)));
            at = L.Min(L.Create(count - 1), L.Max(L.Create(0f), at));
            return L.Select(L.Equals(x, x), at, L.Create(count));
        }
    }
}
