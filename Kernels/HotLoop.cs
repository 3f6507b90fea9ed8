using System.Runtime.CompilerServices;
using Octet.Kernels.Pool;
using Octet.Kernels.Quantize;

namespace Octet.Kernels;

/// <summary>How methods are compiled in which nearly all time is spent.</summary>
/// <remarks>
/// Optimized at once, not after thirty calls: a first inference would otherwise run unoptimized vector code. The attribute that asks for it excludes a method from ahead-of-time
/// compilation, though, so where there is one (<c>PRECOMPILED</c>, Directory.Build.targets) methods whose instructions it may use go without: their ahead-of-time code is optimized
/// already, and the second tier replaces it later. Methods that it cannot compile keep the attribute: those with wider or newer instructions than its target's, and generic ones
/// with a vector type or a constrained element type among their arguments.
/// </remarks>
internal static class HotLoop
{
    /// <summary>For methods that ahead-of-time code on x64 may consist of: AVX2 and less.</summary>
    public const MethodImplOptions Optimized =
#if PRECOMPILED
        0;
#else
        MethodImplOptions.AggressiveOptimization;
#endif
}

/// <summary>What other assemblies make of this one's generic methods, named here so that ahead-of-time code of this assembly contains it: elsewhere their static interface methods are not inlined.</summary>
internal static class Instantiations
{
    /// <summary>Never called.</summary>
    internal static void Name()
    {
        QuantizeKernels.Quantize<UInt8Type, byte>(default, 0, 0, default, default, default!);
        QuantizeKernels.Quantize<Int8Type, sbyte>(default, 0, 0, default, default, default!);
        QuantizeKernels.Dequantize<UInt8Type, byte>(default, 0, 0, default, default, default!);
        QuantizeKernels.Dequantize<Int8Type, sbyte>(default, 0, 0, default, default, default!);
        PoolKernel.GlobalAverage(0, 0, 0, default).Run<UInt8Type, byte>(default, default, default, default, default!);
    }
}
