using Octet.Kernels.Emit;
using Octet.Kernels.QConv;
using Octet.Kernels.QGemm;

namespace Octet.Tests.Kernels.Emit;

/// <summary>Every emitted function of every kernel table in both calling conventions, as test cases.</summary>
internal static class EmittedFunctions
{
    /// <summary>One function and how to check what it computes.</summary>
    /// <param name="Kernel">Its kernel's name.</param>
    /// <param name="Function">Bytes and meaning.</param>
    /// <param name="Windows">The calling convention.</param>
    /// <param name="Check">Runs given bytes in place of the function's; first difference in words, or null.</param>
    public sealed record Case(string Kernel, EmittedFunction Function, bool Windows, Func<byte[], string?> Check)
    {
        public override string ToString() => $"{Kernel} {Function.Name} {(Windows ? "Windows" : "System V")}";
    }

    public static IEnumerable<Case> All()
    {
        foreach (bool windows in new[] { false, true })
        {
            foreach (QGemmKernel kernel in QGemmKernels.All.Where(kernel => kernel.IsNative))
            {
                EmittedFunction[] functions = kernel.Emit!(windows);
                for (int i = 0; i < functions.Length; i++)
                {
                    int rows = i + 1;
                    yield return new Case(kernel.Name, functions[i], windows, code => EmittedBehaviour.CheckTile(code, kernel, rows, windows));
                }
            }
            foreach (QDepthwiseKernel kernel in QDepthwiseKernels.All.Where(kernel => kernel.IsNative))
            {
                EmittedFunction[] functions = kernel.Emit!(windows);
                for (int i = 0; i < functions.Length; i++)
                {
                    int slide = i;
                    yield return new Case(kernel.Name, functions[i], windows, code => EmittedBehaviour.CheckDepthwise(code, kernel, slide, windows));
                }
            }
        }
    }

    /// <summary>One function by its names, System V.</summary>
    public static Case Find(string kernel, string function) => All().First(one => one.Kernel == kernel && one.Function.Name == function);
}
