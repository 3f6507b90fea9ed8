using System.CommandLine;
using System.Globalization;
using Octet.Cli.CommandLine;
using Octet.Runtime;
using Octet.Runtime.Graphs;
using Octet.Runtime.Operators;
using Octet.Runtime.Tensors;
using Spectre.Console;

namespace Octet.Cli.Verbs;

/// <summary><c>octet inspect MODEL [--graph]</c>: what a model takes, makes and consists of. Models that Octet cannot run can be inspected too.</summary>
internal static class InspectVerb
{
    /// <summary>The verb.</summary>
    public static Command Create()
    {
        Argument<string> model = CommonOptions.Model();
        var graph = new Option<bool>("--graph") { Description = "Print the whole graph." };
        var command = new Command("inspect", "Show a model's inputs, outputs, operators and size.") { model, graph };
        return VerbHost.Bind(command, host => Run(host, host.Parsed.GetRequiredValue(model), host.Parsed.GetValue(graph)));
    }

    private static int Run(VerbHost host, string path, bool printGraph)
    {
        Model model = Model.Load(path);
        Graph graph = model.Graph;
        (string Type, int Count, bool Known)[] operators =
        [
            .. graph.AllNodes().GroupBy(node => node.QualifiedType, StringComparer.Ordinal)
                .Select(group => (group.Key, group.Count(), group.All(node => OperatorTable.Find(node) is not null)))
                .OrderByDescending(row => row.Item2).ThenBy(row => row.Key, StringComparer.Ordinal),
        ];
        Tensor[] constants = [.. Constants(graph)];
        long parameters = constants.Sum(tensor => (long)tensor.Length), weightBytes = constants.Sum(tensor => (long)tensor.ByteLength), fileBytes = new FileInfo(path).Length;
        Value[] inputs = [.. graph.Inputs.Where(input => !input.IsConstant)];
        (string Name, TensorType Type)[] outputs = [.. graph.Outputs.Zip(graph.OutputNames, (value, name) => (name, value.Type))];
        (string Domain, int Version)[] opsets = [.. graph.Opsets.Select(pair => (pair.Key, pair.Value))];

        if (host.Json)
        {
            host.PrintJson(writer =>
            {
                writer.WriteString("model", path);
                writer.WriteString("graph", graph.Name);
                writer.WriteString("producer", $"{model.ProducerName} {model.ProducerVersion}".Trim());
                writer.WriteNumber("irVersion", model.IrVersion);
                writer.WriteStartObject("opsets");
                foreach ((string domain, int version) in opsets) writer.WriteNumber(DomainName(domain), version);
                writer.WriteEndObject();
                Values(writer, "inputs", inputs.Select(input => (input.Name, input.Type)));
                Values(writer, "outputs", outputs);
                writer.WriteNumber("nodes", operators.Sum(row => row.Count));
                writer.WriteStartObject("operators");
                foreach ((string type, int count, _) in operators) writer.WriteNumber(type, count);
                writer.WriteEndObject();
                writer.WriteStrings("unknownOperators", operators.Where(row => !row.Known).Select(row => row.Type));
                writer.WriteNumber("parameters", parameters);
                writer.WriteNumber("parameterBytes", weightBytes);
                writer.WriteNumber("fileBytes", fileBytes);
                if (printGraph) writer.WriteString("text", GraphPrinter.Print(graph));
            });
            return ExitCode.Fine;
        }
        if (printGraph)
        {
            host.Out.Write(GraphPrinter.Print(graph));
            return ExitCode.Fine;
        }
        var facts = new Table().AddColumn("").AddColumn("").HideHeaders();
        void Fact(string name, string value) => facts.AddRow(new Text(name), new Text(value));
        Fact("model", path);
        Fact("graph", graph.Name);
        Fact("producer", $"{model.ProducerName} {model.ProducerVersion}".Trim());
        Fact("opsets", string.Join(", ", opsets.Select(pair => $"{DomainName(pair.Domain)} {pair.Version}")));
        foreach (Value input in inputs) Fact("input", $"{input.Name}: {input.Type}");
        foreach ((string name, TensorType type) in outputs) Fact("output", $"{name}: {type}");
        Fact("parameters", string.Create(CultureInfo.InvariantCulture, $"{parameters:N0} in {weightBytes:N0} bytes"));
        Fact("file", string.Create(CultureInfo.InvariantCulture, $"{fileBytes:N0} bytes"));
        host.Print(facts);
        var table = new Table().AddColumn("operator").AddColumn(new TableColumn("count").RightAligned()).AddColumn("");
        foreach ((string type, int count, bool known) in operators)
            table.AddRow(new Text(type), new Text(count.ToString(CultureInfo.InvariantCulture)), new Text(known ? "" : "unknown: the model can be inspected and saved, not run"));
        host.Print(table);
        return ExitCode.Fine;
    }

    private static void Values(System.Text.Json.Utf8JsonWriter writer, string key, IEnumerable<(string Name, TensorType Type)> values)
    {
        writer.WriteStartArray(key);
        foreach ((string name, TensorType type) in values)
        {
            writer.WriteStartObject();
            writer.WriteString("name", name);
            writer.WriteString("type", type.Element.Name());
            if (type.Shape is not { } shape)
            {
                writer.WriteNull("shape");
            }
            else
            {
                writer.WriteStartArray("shape");
                foreach (Dim dim in shape)
                {
                    if (dim.IsKnown) writer.WriteNumberValue(dim.Value);
                    else if (dim.Symbol is { } symbol) writer.WriteStringValue(symbol);
                    else writer.WriteNullValue();
                }
                writer.WriteEndArray();
            }
            writer.WriteEndObject();
        }
        writer.WriteEndArray();
    }

    private static string DomainName(string domain) => domain.Length == 0 ? "ai.onnx" : domain;

    /// <summary>All constants, those of subgraphs included.</summary>
    private static IEnumerable<Tensor> Constants(Graph graph)
    {
        foreach (Value value in graph.Values)
        {
            if (value.Constant is { } tensor) yield return tensor;
        }
        foreach (Graph inner in graph.Nodes.SelectMany(node => node.Attributes.Subgraphs))
        {
            foreach (Tensor tensor in Constants(inner)) yield return tensor;
        }
    }
}
