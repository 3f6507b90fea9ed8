using System.Text.Json;
using Octet.Runtime;

namespace Octet.Cli.Datasets;

/// <summary>The members of one JSON object of a dataset file. Reading is strict: what nobody asked for is an error that names the key.</summary>
internal sealed class JsonFields
{
    private readonly string _file, _path;
    private readonly Dictionary<string, JsonElement> _members = new(StringComparer.Ordinal);
    private readonly HashSet<string> _asked = new(StringComparer.Ordinal);

    /// <summary>Wraps an object.</summary>
    /// <param name="file">The dataset file, for messages.</param>
    /// <param name="path">Where the object stands: empty, or <c>source.</c></param>
    /// <param name="element">The object.</param>
    /// <exception cref="DataException">It is no object, or a key stands twice.</exception>
    public JsonFields(string file, string path, JsonElement element)
    {
        (_file, _path) = (file, path);
        if (element.ValueKind != JsonValueKind.Object) throw Error(path.TrimEnd('.'), element, "a JSON object");
        foreach (JsonProperty member in element.EnumerateObject())
        {
            if (!_members.TryAdd(member.Name, member.Value)) throw new DataException($"dataset '{file}': the key '{path}{member.Name}' stands twice; rule: every key once");
        }
    }

    /// <summary>The error for a value that does not fit its key.</summary>
    public DataException Error(string key, JsonElement value, string rule)
    {
        string text = value.GetRawText();
        return new DataException($"dataset '{_file}': '{key}' is {(text.Length > 60 ? text[..60] + "…" : text)}; rule: {rule}");
    }

    /// <summary>An object, or null.</summary>
    public JsonFields? Object(string key) => Find(key) is { } value ? new JsonFields(_file, $"{_path}{key}.", value) : null;

    /// <summary>A text, or null.</summary>
    public string? Text(string key)
    {
        if (Find(key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.String && value.GetString() is { Length: > 0 } text ? text : throw Error(_path + key, value, "a text that is not empty");
    }

    /// <summary>A text that must be there.</summary>
    public string RequiredText(string key) => Text(key) ?? throw Missing(key);

    /// <summary>One of <paramref name="choices"/>, or null.</summary>
    public string? Choice(string key, params string[] choices)
    {
        if (Find(key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.String && choices.Contains(value.GetString()) ? value.GetString()
            : throw Error(_path + key, value, $"one of {string.Join(", ", choices)}");
    }

    /// <summary>A whole number of at least <paramref name="least"/>, or null.</summary>
    public int? Integer(string key, int least)
    {
        if (Find(key) is not { } value) return null;
        return value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) && number >= least ? number
            : throw Error(_path + key, value, $"a whole number of at least {least}");
    }

    /// <summary>A finite number, or null.</summary>
    public float? Number(string key) => Find(key) is { } value ? ToNumber(key, value) : null;

    /// <summary>A finite number or a list of them, or null.</summary>
    public float[]? Numbers(string key)
    {
        if (Find(key) is not { } value) return null;
        if (value.ValueKind != JsonValueKind.Array) return [ToNumber(key, value)];
        float[] numbers = [.. value.EnumerateArray().Select(item => ToNumber(key, item))];
        return numbers.Length > 0 ? numbers : throw Error(_path + key, value, "a number or a list of numbers");
    }

    /// <summary>A list of texts that must be there.</summary>
    public string[] RequiredTexts(string key)
    {
        JsonElement value = Find(key) ?? throw Missing(key);
        bool fits = value.ValueKind == JsonValueKind.Array && value.GetArrayLength() > 0 && value.EnumerateArray().All(item => item.ValueKind == JsonValueKind.String && item.GetString() is { Length: > 0 });
        return fits ? [.. value.EnumerateArray().Select(item => item.GetString()!)] : throw Error(_path + key, value, "a list of texts");
    }

    /// <summary>An object of texts that must be there.</summary>
    public Dictionary<string, string> RequiredTextsByName(string key)
    {
        JsonFields fields = Object(key) ?? throw Missing(key);
        return fields._members.Keys.ToDictionary(name => name, fields.RequiredText, StringComparer.Ordinal);
    }

    /// <summary>The error for a key that must be there.</summary>
    public DataException Missing(string key) => new($"dataset '{_file}': the key '{_path}{key}' is missing; it has {string.Join(", ", _members.Keys.Select(name => $"'{_path}{name}'"))}; rule: docs/dataset-format.md");

    /// <summary>Says that everything was asked for.</summary>
    /// <exception cref="DataException">A key is left over.</exception>
    public void Close()
    {
        if (_members.Keys.FirstOrDefault(name => !_asked.Contains(name)) is { } unknown)
            throw new DataException($"dataset '{_file}': unknown key '{_path}{unknown}'; rule: keys here are {string.Join(", ", _asked.Select(name => $"'{_path}{name}'"))}");
    }

    private JsonElement? Find(string key)
    {
        _asked.Add(key);
        return _members.TryGetValue(key, out JsonElement value) ? value : null;
    }

    private float ToNumber(string key, JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetDouble(out double number) && float.IsFinite((float)number) ? (float)number
            : throw Error(_path + key, value, "a finite number");
}
