using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Execution;

/// <summary>The hooks of a session as one immutable list; a session without hooks has none of these.</summary>
internal sealed class OpHooks((OpHook Hook, bool Inputs)[] hooks)
{
    private readonly bool _anyInputs = hooks.Any(hook => hook.Inputs);

    /// <summary>Number of hooks.</summary>
    public int Count => hooks.Length;

    /// <summary>The list with one more.</summary>
    public static OpHooks With(OpHooks? others, OpHook hook, bool inputs) => new([.. others?.All ?? [], (hook, inputs)]);

    /// <summary>The list without one of them; null when none is left.</summary>
    public static OpHooks? Without(OpHooks? hooks, OpHook hook)
    {
        if (hooks is null) return null;
        List<(OpHook Hook, bool Inputs)> rest = [.. hooks.All];
        int index = rest.FindIndex(entry => entry.Hook == hook);
        if (index >= 0) rest.RemoveAt(index);
        return rest.Count == 0 ? null : new OpHooks([.. rest]);
    }

    private (OpHook Hook, bool Inputs)[] All => hooks;

    /// <summary>Shows the inputs of a step that is about to run.</summary>
    public void Before(RunState state, PlannedStep step)
    {
        if (_anyInputs) Show(state, step, step.Inputs, isInput: true);
    }

    /// <summary>Shows the outputs of a step that has run.</summary>
    public void After(RunState state, PlannedStep step) => Show(state, step, step.Outputs, isInput: false);

    private void Show(RunState state, PlannedStep step, int[] values, bool isInput)
    {
        for (int i = 0; i < values.Length; i++)
        {
            if (values[i] < 0 || !state.HasNumbers(state.Plan.Values[values[i]])) continue;
            var e = new OpEvent(state, step, state.Plan.Values[values[i]], i, isInput);
            foreach ((OpHook hook, bool inputs) in hooks)
            {
                if (!isInput || inputs) hook(in e);
            }
        }
    }
}
