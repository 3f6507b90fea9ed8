using System.Text.RegularExpressions;
using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>StringConcat</c>: joins texts element by element, with broadcasting.</summary>
internal sealed class StringConcat : Operator
{
    public override OperatorId Id => new("StringConcat", Since: 20);

    public override string Types => "string";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.String);
        c.Expect(1, DataType.String);
        if (c.Shape(0) is not { } a || c.Shape(1) is not { } b) { c.SetUnknownShape(0, DataType.String); return; }
        var dims = new Dim[Math.Max(a.Length, b.Length)];
        for (int i = 1; i <= dims.Length; i++)
        {
            Dim left = i <= a.Length ? a[^i] : 1, right = i <= b.Length ? b[^i] : 1;
            if (!left.Is(1) && !right.Is(1) && left.DiffersFrom(right)) throw c.Error($"shapes {c.Type(0)} and {c.Type(1)} do not fit", "extents are equal or 1");
            dims[^i] = left.Is(1) ? right : right.Is(1) || left.IsKnown ? left : right;
        }
        c.Set(0, DataType.String, dims);
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor a = c.Input(0), b = c.Input(1);
        int rank = Math.Max(a.Rank, b.Rank);
        int[] shape = new int[rank];
        for (int i = 1; i <= rank; i++)
        {
            int left = i <= a.Rank ? a.Shape[^i] : 1, right = i <= b.Rank ? b.Shape[^i] : 1;
            if (left != right && left != 1 && right != 1) throw c.Error($"shapes {a} and {b} do not fit", "extents are equal or 1");
            shape[^i] = left == 1 ? right : left;
        }
        var result = new Tensor(DataType.String, shape);
        for (int o = 0; o < result.Length; o++) result.Strings[o] = a.Strings[At(a, shape, o)] + b.Strings[At(b, shape, o)];
        return [result];
    }

    private static int At(Tensor tensor, int[] shape, int index)
    {
        int at = 0, stride = 1;
        for (int i = 1; i <= shape.Length; i++)
        {
            int position = index % shape[^i];
            index /= shape[^i];
            if (i > tensor.Rank) continue;
            if (tensor.Shape[^i] != 1) at += position * stride;
            stride *= tensor.Shape[^i];
        }
        return at;
    }
}

/// <summary>ONNX <c>StringSplit</c>: cuts every text at <c>delimiter</c> (runs of white space by default), at most <c>maxsplit</c> times.</summary>
/// <remarks>Output 0 has one more axis, as long as the most parts, filled with empty texts; output 1 counts the parts.</remarks>
internal sealed class StringSplit : Operator
{
    public override OperatorId Id => new("StringSplit", Since: 20);

    public override string Types => "string";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.String);
        if (c.Shape(0) is not { } shape)
        {
            c.SetUnknownShape(0, DataType.String);
            c.SetUnknownShape(1, DataType.Int64);
            return;
        }
        c.Set(0, new TensorType(DataType.String, shape.Add(Dim.Unknown).AsSpan()));
        c.Set(1, new TensorType(DataType.Int64, shape.AsSpan()));
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        string delimiter = c.Attributes.String("delimiter");
        long most = c.Attributes.Contains("maxsplit") ? c.Attributes.Int("maxsplit") : -1;
        int limit = most is < 0 or >= int.MaxValue ? int.MaxValue : (int)most;
        var parts = new List<string>[x.Length];
        for (int i = 0; i < parts.Length; i++) parts[i] = delimiter.Length == 0 ? AtSpaces(x.Strings[i], limit) : AtDelimiter(x.Strings[i], delimiter, limit);
        int longest = parts.Length == 0 ? 0 : parts.Max(one => one.Count);
        var pieces = new Tensor(DataType.String, (ReadOnlySpan<int>)[.. x.Shape, longest]);
        var counts = new Tensor(DataType.Int64, x.Shape);
        for (int i = 0; i < parts.Length; i++)
        {
            for (int j = 0; j < parts[i].Count; j++) pieces.Strings[i * longest + j] = parts[i][j];
            counts.Span<long>()[i] = parts[i].Count;
        }
        return [pieces, counts];
    }

    private static List<string> AtDelimiter(string text, string delimiter, int limit)
    {
        var parts = new List<string>();
        if (text.Length == 0) return parts;
        int start = 0;
        while (parts.Count < limit && text.IndexOf(delimiter, start, StringComparison.Ordinal) is >= 0 and var at)
        {
            parts.Add(text[start..at]);
            start = at + delimiter.Length;
        }
        parts.Add(text[start..]);
        return parts;
    }

    private static List<string> AtSpaces(string text, int limit)
    {
        var parts = new List<string>();
        int at = 0;
        while (true)
        {
            while (at < text.Length && char.IsWhiteSpace(text[at])) at++;
            if (at == text.Length) return parts;
            if (parts.Count == limit)
            {
                parts.Add(text[at..].TrimEnd());
                return parts;
            }
            int end = at;
            while (end < text.Length && !char.IsWhiteSpace(text[end])) end++;
            parts.Add(text[at..end]);
            at = end;
        }
    }
}

/// <summary>ONNX <c>RegexFullMatch</c>: whether a regular expression matches the whole text.</summary>
/// <remarks>Matching takes time linear in the text; what needs backtracking (look-around, back references) is refused, as RE2 does.</remarks>
internal sealed class RegexFullMatch : Operator
{
    public override OperatorId Id => new("RegexFullMatch", Since: 20);

    public override string Types => "string";

    public override string Limits => "expressions without look-around and back references";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.String);
        c.Set(0, c.Type(0) with { Element = DataType.Bool });
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        string pattern = c.Attributes.String("pattern");
        Regex regex;
        try
        {
            regex = new Regex($@"\A(?:{pattern})\z", RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        }
        catch (ArgumentException e)
        {
            throw c.Error($"pattern '{pattern}' is not legal: {e.Message}", "the pattern is a regular expression");
        }
        catch (NotSupportedException)
        {
            throw c.Unsupported($"pattern '{pattern}'", Limits);
        }
        Tensor x = c.Input(0);
        var result = new Tensor(DataType.Bool, x.Shape);
        for (int i = 0; i < x.Length; i++) result.Span<bool>()[i] = regex.IsMatch(x.Strings[i]);
        return [result];
    }
}

/// <summary>ONNX <c>StringNormalizer</c>: removes stop words and changes case (invariant culture) of the texts in <c>[C]</c> or <c>[1, C]</c>; one empty text where none is left.</summary>
internal sealed class StringNormalizer : Operator
{
    public override OperatorId Id => new("StringNormalizer", Since: 10);

    public override string Types => "string";

    public override string Limits => "locale: always the invariant culture";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        c.Expect(0, DataType.String);
        if (c.Rank(0) == 2) c.Set(0, DataType.String, 1, Dim.Unknown);
        else if (c.Rank(0) == 1) c.Set(0, DataType.String, Dim.Unknown);
        else if (c.Rank(0) < 0) c.SetUnknownShape(0, DataType.String);
        else throw c.Error($"the input is {c.Type(0)}", "the input is [C] or [1, C]");
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        if (x.Rank is < 1 or > 2 || x.Rank == 2 && x.Shape[0] != 1) throw c.Error($"the input is {x}", "the input is [C] or [1, C]");
        bool sensitive = c.Attributes.Int("is_case_sensitive") != 0;
        var stop = new HashSet<string>(c.Attributes.Strings("stopwords") ?? [], sensitive ? StringComparer.Ordinal : StringComparer.OrdinalIgnoreCase);
        Func<string, string> change = c.Attributes.String("case_change_action", "NONE") switch
        {
            "LOWER" => static text => text.ToLowerInvariant(),
            "UPPER" => static text => text.ToUpperInvariant(),
            "NONE" => static text => text,
            var other => throw c.Error($"case_change_action is '{other}'", "LOWER, UPPER or NONE"),
        };
        string[] kept = [.. x.Strings.ToArray().Where(text => !stop.Contains(text)).Select(change)];
        if (kept.Length == 0) kept = [""];
        return [new Tensor(kept, x.Rank == 2 ? (ReadOnlySpan<int>)[1, kept.Length] : [kept.Length])];
    }
}

/// <summary>ONNX <c>TfIdfVectorizer</c>: counts the n-grams of a pool in each row, with up to <c>max_skip_count</c> tokens skipped between neighbours.</summary>
/// <remarks>Mode TF gives counts, IDF the weight where the count is not 0, TFIDF count · weight. Rows are <c>[C]</c> or <c>[N, C]</c> of int32, int64 or text.</remarks>
internal sealed class TfIdfVectorizer : Operator
{
    public override OperatorId Id => new("TfIdfVectorizer", Since: 9);

    public override string Types => "int32, int64, string";

    public override bool IsDynamic => true;

    public override void Infer(InferContext c)
    {
        Dim width = Width(c);
        if (c.Rank(0) == 2) c.Set(0, DataType.Float32, c.Shape(0)!.Value[0], width);
        else if (c.Rank(0) is 0 or 1) c.Set(0, DataType.Float32, width);
        else c.SetUnknownShape(0, DataType.Float32);
    }

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor x = c.Input(0);
        if (x.Rank > 2) throw c.Error($"the input is {x}", "the input is [C] or [N, C]");
        string mode = c.Attributes.String("mode");
        if (mode is not ("TF" or "IDF" or "TFIDF")) throw c.Error($"mode is '{mode}'", "TF, IDF or TFIDF");
        long shortest = c.Attributes.Int("min_gram_length"), longest = c.Attributes.Int("max_gram_length"), skips = c.Attributes.Int("max_skip_count");
        if (shortest < 1 || longest < shortest || skips < 0 || longest > 64 || skips > 1 << 20) throw c.Error($"grams of {shortest} to {longest} with {skips} skips", "1 ≤ min_gram_length ≤ max_gram_length, max_skip_count ≥ 0");
        Dictionary<string, int> pool = Pool(c);
        long[] columns = c.Attributes.Ints("ngram_indexes")!;
        float[]? weights = c.Attributes.Floats("weights");
        int width = Width(c), rows = x.Rank == 2 ? x.Shape[0] : 1, count = x.Rank == 0 ? 1 : x.Shape[^1];
        var result = new Tensor(DataType.Float32, x.Rank == 2 ? (ReadOnlySpan<int>)[rows, width] : [width]);
        string[] tokens = Tokens(c, x);
        for (int row = 0; row < rows; row++)
        {
            Span<float> output = result.Span<float>().Slice(row * width, width);
            ReadOnlySpan<string> line = tokens.AsSpan(row * count, count);
            for (int n = (int)shortest; n <= longest; n++)
            {
                for (int step = 1; step <= (n == 1 ? 1 : skips + 1); step++)
                {
                    for (int start = 0; start + (long)(n - 1) * step < count; start++)
                    {
                        c.Cancellation.ThrowIfCancellationRequested();
                        if (!pool.TryGetValue(Key(line, start, n, step), out int gram)) continue;
                        float weight = mode == "TF" || weights is null ? 1 : weights[gram];
                        ref float cell = ref output[(int)columns[gram]];
                        cell = mode == "IDF" ? weight : cell + weight;
                    }
                }
            }
        }
        return [result];
    }

    private static string Key(ReadOnlySpan<string> line, int start, int n, int step)
    {
        var parts = new string[n];
        for (int i = 0; i < n; i++) parts[i] = line[start + i * step];
        return Join(parts);
    }

    // Lengths in front keep texts that contain the separator apart.
    private static string Join(ReadOnlySpan<string> parts)
    {
        var key = new System.Text.StringBuilder();
        foreach (string part in parts) key.Append(part.Length).Append(':').Append(part);
        return key.ToString();
    }

    private static string[] Tokens(NodeContext c, Tensor x) => x.Type switch
    {
        DataType.String => x.Strings.ToArray(),
        DataType.Int32 or DataType.Int64 => [.. x.ToInt64Array().Select(token => token.ToString(System.Globalization.CultureInfo.InvariantCulture))],
        _ => throw c.Error($"the input is {x}", "tokens are int32, int64 or text"),
    };

    private static Dictionary<string, int> Pool(NodeContext c)
    {
        string[] tokens = c.Attributes.Strings("pool_strings") is { Length: > 0 } texts ? texts
            : [.. (c.Attributes.Ints("pool_int64s") ?? []).Select(token => token.ToString(System.Globalization.CultureInfo.InvariantCulture))];
        long[] starts = c.Attributes.Ints("ngram_counts") ?? throw c.Error("ngram_counts is missing", "ngram_counts gives the start of every gram length in the pool");
        var pool = new Dictionary<string, int>(StringComparer.Ordinal);
        int gram = 0;
        for (int length = 1; length <= starts.Length; length++)
        {
            long end = length < starts.Length ? starts[length] : tokens.Length;
            if (starts[length - 1] < 0 || end < starts[length - 1] || end > tokens.Length || (end - starts[length - 1]) % length != 0)
                throw c.Error($"ngram_counts is [{string.Join(", ", starts)}] over {tokens.Length} tokens", "the parts are whole grams of length 1, 2, …");
            for (long at = starts[length - 1]; at < end; at += length) pool.TryAdd(Join(tokens.AsSpan((int)at, length)), gram++);
        }
        if (c.Attributes.Ints("ngram_indexes") is not { } columns || columns.Length < gram || c.Attributes.Floats("weights") is { } weights && weights.Length < gram)
            throw c.Error($"the pool has {gram} grams", "ngram_indexes, and weights where given, have one entry per gram");
        return pool;
    }

    private static int Width(NodeContext c) => c.Attributes.Ints("ngram_indexes") is { Length: > 0 } columns && columns.Min() >= 0 && columns.Max() < 1 << 28 ? (int)columns.Max() + 1
        : throw c.Error("ngram_indexes is missing or out of range", "ngram_indexes gives a column per gram");
}
