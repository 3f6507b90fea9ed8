using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Passes;

/// <summary>The operators that have a channels-last form of their own.</summary>
internal static class ChannelsLastForms
{
    /// <summary>Position of a convolution's sum operand.</summary>
    private const int Sum = 3;

    /// <summary>Gives <paramref name="node"/> its channels-last form between two Transposes, where it has one.</summary>
    public static void Convert(Node node, GraphEditor editor)
    {
        if (node.Input(0) is not { Type: { IsConcrete: true, Rank: >= 3 and <= 5 } type }) return;
        bool convolution = node.Domain == Operator.OctetDomain && node.OperatorType is "Conv" or "ConvTranspose" or "ConvInteger" && node.Attributes.Int("channels_last") == 0;
        bool pool = node.Domain.Length == 0 && (node.OperatorType switch
        {
            "MaxPool" => type.Element is DataType.Float32 or DataType.UInt8 && node.Outputs.Skip(1).All(output => output is null || (output.Uses.Count == 0 && !output.IsGraphOutput)),
            "AveragePool" or "GlobalAveragePool" => type.Element == DataType.Float32,
            _ => false,
        });
        if (!convolution && !pool) return;

        int[] toLast = Permutation.ToChannelsLast(type.Rank), toFirst = Permutation.ToChannelsFirst(type.Rank);
        editor.SetInput(node, 0, Layout.Insert(editor, node.Inputs[0]!, toLast, node));
        if (convolution)
        {
            if (node.Input(Sum) is { } sum) editor.SetInput(node, Sum, Layout.Insert(editor, sum, toLast, node));
            editor.SetAttribute(node, "channels_last", 1L);
        }
        else
        {
            Value y = node.Output;
            Node? following = Layout.Following(node);
            (string name, string operatorType, AttributeMap attributes, IReadOnlyList<string> origins) = (node.Name, node.OperatorType, node.Attributes.Copy(), node.Origins);
            Value x = node.Inputs[0]!;
            editor.Detach(node);
            node = editor.AddNode(operatorType, [x], [y], attributes, Operator.OctetDomain, name, following, origins);
        }
        Layout.Restore(editor, node.Output, toFirst);
    }
}
