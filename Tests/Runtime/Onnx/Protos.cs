using Google.Protobuf;
using Octet.Runtime;
using Octet.Runtime.Onnx.Proto;
using Octet.Runtime.Tensors;
using AttributeType = Octet.Runtime.Onnx.Proto.AttributeProto.Types.AttributeType;

namespace Octet.Tests.Runtime.Onnx;

/// <summary>Short ways to write ONNX files down, legal and other.</summary>
internal static class Protos
{
    /// <summary>A model of ONNX's operator set 21 around <paramref name="graph"/>.</summary>
    public static ModelProto Model(GraphProto graph, params FunctionProto[] functions)
    {
        var model = new ModelProto { IrVersion = 10, Graph = graph };
        model.OpsetImport.Add(new OperatorSetIdProto { Domain = "", Version = 21 });
        model.Functions.AddRange(functions);
        return model;
    }

    /// <summary>A graph whose inputs and outputs are float32 of unknown rank.</summary>
    public static GraphProto Graph(string[] inputs, string[] outputs, params NodeProto[] nodes)
    {
        var graph = new GraphProto { Name = "g" };
        graph.Input.AddRange(inputs.Select(name => Info(name)));
        graph.Output.AddRange(outputs.Select(name => Info(name)));
        graph.Node.AddRange(nodes);
        return graph;
    }

    public static NodeProto Node(string type, string[] inputs, string[] outputs, params AttributeProto[] attributes)
    {
        var node = new NodeProto { OpType = type };
        node.Input.AddRange(inputs);
        node.Output.AddRange(outputs);
        node.Attribute.AddRange(attributes);
        return node;
    }

    public static FunctionProto Function(string name, string[] inputs, string[] outputs, params NodeProto[] nodes)
    {
        var function = new FunctionProto { Domain = "local", Name = name };
        function.Input.AddRange(inputs);
        function.Output.AddRange(outputs);
        function.Node.AddRange(nodes);
        return function;
    }

    public static NodeProto Call(string name, string[] inputs, string[] outputs, params AttributeProto[] attributes)
    {
        NodeProto node = Node(name, inputs, outputs, attributes);
        node.Domain = "local";
        return node;
    }

    public static ValueInfoProto Info(string name, DataType element = DataType.Float32, params long[]? shape)
    {
        var type = new TypeProto.Types.Tensor { ElemType = (int)element };
        if (shape is { Length: > 0 })
        {
            type.Shape = new TensorShapeProto();
            type.Shape.Dim.AddRange(shape.Select(extent => new TensorShapeProto.Types.Dimension { DimValue = extent }));
        }
        return new ValueInfoProto { Name = name, Type = new TypeProto { TensorType = type } };
    }

    public static TensorProto Floats(string name, params float[] elements)
    {
        var tensor = new TensorProto { Name = name, DataType = (int)DataType.Float32, Dims = { elements.Length } };
        tensor.FloatData.AddRange(elements);
        return tensor;
    }

    public static AttributeProto Attribute(string name, long value) => new() { Name = name, Type = AttributeType.Int, I = value };

    public static AttributeProto Attribute(string name, TensorProto value) => new() { Name = name, Type = AttributeType.Tensor, T = value };

    public static AttributeProto Attribute(string name, GraphProto value) => new() { Name = name, Type = AttributeType.Graph, G = value };

    /// <summary>In a function's body: the attribute that the call gives as <paramref name="of"/>.</summary>
    public static AttributeProto Reference(string name, string of, AttributeType type) => new() { Name = name, RefAttrName = of, Type = type };

    public static Model Load(this ModelProto model) => Octet.Runtime.Model.Load(model.ToByteArray());

    /// <summary>The message with which loading fails.</summary>
    public static string Refusal(this ModelProto model) => Assert.Catch<ModelException>(() => model.Load())!.Message;

    /// <summary>Saved and loaded again.</summary>
    public static Model Reload(this Model model, out ModelProto saved)
    {
        using var file = new MemoryStream();
        model.Save(file);
        saved = ModelProto.Parser.ParseFrom(file.ToArray());
        return Octet.Runtime.Model.Load(file.ToArray());
    }
}
