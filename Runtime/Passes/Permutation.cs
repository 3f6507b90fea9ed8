using Octet.Runtime.Graphs;

namespace Octet.Runtime.Passes;

/// <summary>Orders of axes: axis i of the result is axis <c>p[i]</c> of the source.</summary>
internal static class Permutation
{
    /// <summary>That of a Transpose node; null where none is given and the rank is not known.</summary>
    public static int[]? Of(Node transpose)
    {
        if (transpose.Attributes.Ints("perm") is { } perm) return Array.ConvertAll(perm, axis => (int)axis);
        int rank = transpose.Input(0)?.Type.Rank ?? -1;
        if (rank < 0) return null;
        var reversed = new int[rank];
        for (int i = 0; i < rank; i++) reversed[i] = rank - 1 - i;
        return reversed;
    }

    /// <summary>First one, then the other.</summary>
    public static int[] Compose(int[] first, int[] second) => Array.ConvertAll(second, axis => first[axis]);

    /// <summary>The order that undoes another.</summary>
    public static int[] Inverse(int[] order)
    {
        int[] inverse = new int[order.Length];
        for (int i = 0; i < order.Length; i++) inverse[order[i]] = i;
        return inverse;
    }

    /// <summary>Whether nothing moves.</summary>
    public static bool IsIdentity(int[] order)
    {
        for (int i = 0; i < order.Length; i++)
        {
            if (order[i] != i) return false;
        }
        return true;
    }

    /// <summary>Whether the elements keep their order in memory: only axes of extent 1 move.</summary>
    public static bool KeepsMemory(int[] order, ReadOnlySpan<int> shape)
    {
        int last = -1;
        foreach (int axis in order)
        {
            if (shape[axis] == 1) continue;
            if (axis < last) return false;
            last = axis;
        }
        return true;
    }

    /// <summary>From <c>[N, C, …]</c> to <c>[N, …, C]</c>.</summary>
    public static int[] ToChannelsLast(int rank)
    {
        var order = new int[rank];
        for (int axis = 1; axis < rank; axis++) order[axis] = axis + 1 == rank ? 1 : axis + 1;
        return order;
    }

    /// <summary>From <c>[N, …, C]</c> to <c>[N, C, …]</c>.</summary>
    public static int[] ToChannelsFirst(int rank) => Inverse(ToChannelsLast(rank));

    /// <summary>As an attribute holds it.</summary>
    public static long[] Attribute(int[] order) => Array.ConvertAll(order, axis => (long)axis);
}
