using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>Which operator a class implements.</summary>
/// <param name="Type">Operator type.</param>
/// <param name="Domain">Domain; empty for ONNX's own, <see cref="Operator.OctetDomain"/> for those that only passes make.</param>
/// <param name="Since">First version of the domain whose meaning the class implements; versions up to the newest are its business.</param>
internal readonly record struct OperatorId(string Type, string Domain = "", int Since = 1);

/// <summary>One operator: its identity, its types, and how it runs. One file per operator, one row in <see cref="OperatorTable"/>.</summary>
/// <remarks>
/// An instance holds no state: everything about a node comes with the context. There are two kinds.
/// <list type="bullet">
/// <item>Static: output shapes follow from input types and from inputs that are known when the plan is made. Implements <see cref="Infer"/> and <see cref="Plan"/>.</item>
/// <item>Dynamic (<see cref="IsDynamic"/>): output shapes follow from data, or outputs are sequences, or a subgraph runs. Implements
/// <see cref="Infer"/> as far as types are known and <see cref="Evaluate"/>.</item>
/// </list>
/// An attribute value or input that is not supported is an error when planning, never a silently wrong result.
/// </remarks>
internal abstract class Operator
{
    /// <summary>Domain of the operators that passes create and that never reach a file.</summary>
    public const string OctetDomain = "octet";

    /// <summary>Domain of contributed operators that other tools write.</summary>
    public const string MicrosoftDomain = "com.microsoft";

    /// <summary>Which operator this is.</summary>
    public abstract OperatorId Id { get; }

    /// <summary>Element types of the data, as the support table prints them.</summary>
    public virtual string Types => "float32";

    /// <summary>How the operator runs in an INT8 plan, as the support table prints it; empty where it has no integer form.</summary>
    public virtual string IntegerForm => "";

    /// <summary>What is not supported, as the support table prints it; empty where everything is.</summary>
    public virtual string Limits => "";

    /// <summary>Whether outputs depend on data in a way that no plan can foresee; see the class remarks.</summary>
    public virtual bool IsDynamic => false;

    /// <summary>
    /// Whether <see cref="Evaluate"/> of these inputs means no more than infer, plan, run, so that the plan may be kept; false where the
    /// operator overrides <see cref="Evaluate"/> for them.
    /// </summary>
    public virtual bool EvaluatesByPlan(EvaluateContext c) => !IsDynamic;

    /// <summary>Whether equal inputs may give different outputs, which forbids folding.</summary>
    public virtual bool IsRandom => false;

    /// <summary>Sets the type of every output from what is known of the inputs; unknown extents stay unknown.</summary>
    /// <exception cref="ModelException">The inputs do not fit the operator: <c>throw c.Error(what, rule)</c>.</exception>
    public abstract void Infer(InferContext c);

    /// <summary>Prepares a static operator for inputs of these concrete types: picks kernels, packs weights.</summary>
    /// <exception cref="UnsupportedModelException">Octet cannot run this form: <c>throw c.Unsupported(what, whatWorks)</c>.</exception>
    public virtual Step Plan(PlanContext c) => throw c.Unsupported("no plan exists for it", "a dynamic run");

    /// <summary>Runs on actual inputs and returns newly made outputs. Static operators inherit a version that infers, plans and runs.</summary>
    public virtual RuntimeValue?[] Evaluate(EvaluateContext c) => StaticEvaluation.Run(this, c);
}
