using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Cli.Evaluation;

/// <summary>Class scores, judged. Of equal scores the lower class is first; NaN is behind everything.</summary>
internal static class Ranking
{
    /// <summary>The scores of one sample.</summary>
    /// <exception cref="DataException">The output has no numbers.</exception>
    public static float[] Scores(string name, Tensor output) => output.Type != DataType.String && output.Length > 0 ? output.ToFloat32Array()
        : throw new DataException($"output '{name}' is {output}; rule: class scores are numbers");

    /// <summary>The class with the highest score.</summary>
    public static int Best(ReadOnlySpan<float> scores)
    {
        int best = 0;
        for (int i = 1; i < scores.Length; i++)
        {
            if (scores[i] > scores[best] || (float.IsNaN(scores[best]) && !float.IsNaN(scores[i]))) best = i;
        }
        return best;
    }

    /// <summary>How many classes stand before <paramref name="label"/>; the number of classes where its score is NaN.</summary>
    /// <exception cref="DataException">There is no such class.</exception>
    public static int Position(ReadOnlySpan<float> scores, int label, string source)
    {
        if (label >= scores.Length) throw new DataException($"{source}: the label is {label} but the model has {scores.Length} class scores; rule: labels are 0 … {scores.Length - 1}");
        if (float.IsNaN(scores[label])) return scores.Length;
        int before = 0;
        for (int i = 0; i < scores.Length; i++)
        {
            if (scores[i] > scores[label] || (i < label && scores[i] == scores[label])) before++;
        }
        return before;
    }
}
