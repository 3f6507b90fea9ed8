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
        new RandomOperator("RandomUniform", Distribution.Uniform, like: false),
        new RandomOperator("RandomUniformLike", Distribution.Uniform, like: true),
        new RandomOperator("RandomNormal", Distribution.Normal, like: false),
        new RandomOperator("RandomNormalLike", Distribution.Normal, like: true),
        new RandomOperator("Bernoulli", Distribution.Bernoulli, like: true),
        new Multinomial(),
    ];
}
