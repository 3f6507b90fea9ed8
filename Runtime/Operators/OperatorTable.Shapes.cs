namespace Octet.Runtime.Operators;

internal static partial class OperatorTable
{
    private static Operator[] Shapes() =>
    [
        new Reshape(),
        new Flatten(),
        new Squeeze(),
        new Unsqueeze(),
        new Shape(),
        new Size(),
        new Identity(),
        new Constant(),
        new ConstantOfShape(),
        new Dropout(),
    ];
}
