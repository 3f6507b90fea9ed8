namespace Octet.Runtime;

/// <summary>Base of the errors that a model or its data cause.</summary>
/// <remarks>A message says what is wrong, shows the facts, and ends with the rule that was broken.</remarks>
public abstract class OctetException : Exception
{
    /// <summary>Creates the error.</summary>
    protected OctetException(string message, Exception? inner = null) : base(message, inner) { }
}

/// <summary>The model is not legal: a broken file, a graph that breaks ONNX's rules, an operator whose inputs do not fit.</summary>
public class ModelException : OctetException
{
    /// <summary>Creates the error.</summary>
    public ModelException(string message, Exception? inner = null) : base(message, inner) { }
}

/// <summary>The model may be legal, but Octet has no way to run a part of it; the message says which part and what would work.</summary>
public sealed class UnsupportedModelException : ModelException
{
    /// <summary>Creates the error.</summary>
    public UnsupportedModelException(string message, Exception? inner = null) : base(message, inner) { }

    /// <summary>Whether only a value is missing that is known when the model runs: a dynamic run works.</summary>
    internal bool NeedsRuntimeValue { get; init; }
}

/// <summary>Data does not fit the model: a wrong name, type, shape, a missing or broken data file, values that are not numbers.</summary>
public sealed class DataException : OctetException
{
    /// <summary>Creates the error.</summary>
    public DataException(string message, Exception? inner = null) : base(message, inner) { }
}
