using Octet.Kernels.Threading;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>One operator, ready to run on inputs of fixed shapes. Immutable: many runs may use it at the same time. Running it allocates nothing.</summary>
internal abstract class Step
{
    /// <summary>The kernel or method chosen, as profiles and <c>explain</c> print it.</summary>
    public virtual string Kernel => "";

    /// <summary>Why it was chosen; one sentence or empty.</summary>
    public virtual string Reason => "";

    /// <summary>Multiply-accumulates of one run, for profiles; 0 where that means nothing.</summary>
    public virtual long MultiplyAccumulates => 0;

    /// <summary>Bytes of scratch space that a run needs; uninitialised when it starts.</summary>
    public virtual int ScratchBytes => 0;

    /// <summary>
    /// The input whose memory output <paramref name="output"/> may take over, because the step reads each element of it before or when it
    /// writes the same place; −1 for none. The planner uses it only where nobody reads the input afterwards and the sizes agree.
    /// </summary>
    public virtual int InPlaceInput(int output) => -1;

    /// <summary>
    /// The same step writing its dense output 0, seen as rows of <paramref name="width"/> elements, into wider rows of another tensor: row r begins at element
    /// <c>first + r · stride</c> of what it is given as output 0, and nothing else of that is touched. Null where the step cannot; the planner copies then.
    /// </summary>
    /// <param name="width">Elements of a row.</param>
    /// <param name="first">Element that row 0 begins at.</param>
    /// <param name="stride">Elements between rows, at least <paramref name="width"/>.</param>
    public virtual Step? IntoRows(int width, int first, int stride) => null;

    /// <summary>Reads <see cref="StepContext.Input{T}"/>, writes every element of the outputs.</summary>
    public abstract void Run(StepContext c);

    /// <summary>A step from a function; for operators that need no more than that.</summary>
    /// <param name="kernel">What <see cref="Kernel"/> says.</param>
    /// <param name="run">Must not allocate.</param>
    /// <param name="inPlaceInput">What <see cref="InPlaceInput"/> says for output 0.</param>
    /// <param name="scratchBytes">What <see cref="ScratchBytes"/> says.</param>
    public static Step From(string kernel, Action<StepContext> run, int inPlaceInput = -1, int scratchBytes = 0) =>
        new FunctionStep(kernel, run, inPlaceInput, scratchBytes);

    private sealed class FunctionStep(string kernel, Action<StepContext> run, int inPlaceInput, int scratchBytes) : Step
    {
        public override string Kernel => kernel;
        public override int ScratchBytes => scratchBytes;
        public override int InPlaceInput(int output) => output == 0 ? inPlaceInput : -1;
        public override void Run(StepContext c) => run(c);
    }
}

/// <summary>Puts its inputs side by side in output 0: row r of the output is row r of every input, one after the other.</summary>
internal abstract class JoinStep : Step
{
    /// <summary>Rows.</summary>
    public abstract int Rows { get; }

    /// <summary>Elements of a row of each input.</summary>
    public abstract ReadOnlySpan<int> Widths { get; }

    /// <summary>The same step without the inputs that their producers write into the output themselves.</summary>
    /// <param name="done">For each input whether it is left out.</param>
    public abstract JoinStep Without(bool[] done);
}

/// <summary>Output 0 is input 0 under another shape. The planner gives both the same memory; where it cannot, the bytes are copied.</summary>
internal sealed class ViewStep : Step
{
    public override string Kernel => "view";

    public override int InPlaceInput(int output) => output == 0 ? 0 : -1;

    public override void Run(StepContext c)
    {
        Tensor from = c.Input(0), to = c.Output(0);
        if (from.Type == DataType.String) from.Strings.CopyTo(to.Strings);
        else if (!from.Bytes.Equals(to.Bytes)) from.Bytes.Span.CopyTo(to.Bytes.Span);
    }
}

/// <summary>The memory that one run of one step works on.</summary>
internal sealed class StepContext(Tensor?[] inputs, Tensor?[] outputs, Memory<byte> scratch, Parallelism parallel)
{
    /// <summary>How many threads the step may use.</summary>
    public Parallelism Parallel { get; internal set; } = parallel;

    /// <summary>Scratch space of at least <see cref="Step.ScratchBytes"/>, 64-byte aligned, uninitialised.</summary>
    public Span<byte> Scratch => scratch.Span;

    /// <summary>Inputs of the node, left-out ones in between included.</summary>
    public int InputCount => inputs.Length;

    /// <summary>Outputs of the node, unwanted ones in between included.</summary>
    public int OutputCount => outputs.Length;

    /// <summary>The scratch space in a form that can be handed on.</summary>
    internal Memory<byte> ScratchMemory => scratch;

    /// <summary>Whether input <paramref name="index"/> is given.</summary>
    public bool Has(int index) => index < inputs.Length && inputs[index] is not null;

    /// <summary>Whether output <paramref name="index"/> is wanted.</summary>
    public bool Wants(int index) => index < outputs.Length && outputs[index] is not null;

    /// <summary>Input <paramref name="index"/>.</summary>
    public Tensor Input(int index) => inputs[index]!;

    /// <summary>Output <paramref name="index"/>.</summary>
    public Tensor Output(int index) => outputs[index]!;

    /// <summary>Elements of input <paramref name="index"/>; empty where it is left out.</summary>
    public ReadOnlySpan<T> Input<T>(int index) where T : unmanaged => index < inputs.Length && inputs[index] is { } tensor ? tensor.Span<T>() : default;

    /// <summary>Elements of output <paramref name="index"/>; empty where it is left out.</summary>
    public Span<T> Output<T>(int index) where T : unmanaged => index < outputs.Length && outputs[index] is { } tensor ? tensor.Span<T>() : default;

    /// <summary>Replaces an input's memory: user buffers change from run to run.</summary>
    internal void BindInput(int index, Tensor tensor) => inputs[index] = tensor;

    /// <summary>Replaces an output's memory.</summary>
    internal void BindOutput(int index, Tensor tensor) => outputs[index] = tensor;
}
