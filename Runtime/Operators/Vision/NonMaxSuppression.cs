using Octet.Runtime.Graphs;
using Octet.Runtime.Tensors;

namespace Octet.Runtime.Operators;

/// <summary>ONNX <c>NonMaxSuppression</c>: per batch element and class, boxes by falling score that overlap no box chosen before.</summary>
/// <remarks>
/// <code>
///   boxes [B, N, 4]   scores [B, C, N]   →   [chosen, 3] int64: batch, class, box
///   IoU(a, b) = area(a ∩ b) / (area(a) + area(b) − area(a ∩ b));   a box is dropped where IoU &gt; iou_threshold with a chosen one
/// </code>
/// Boxes are two corners in any order, or centre and extents with <c>center_point_box</c> 1. A score must exceed <c>score_threshold</c> where that is given.
/// Equal scores: the lower index first. <c>max_output_boxes_per_class</c> left out or 0 chooses nothing.
/// </remarks>
internal sealed class NonMaxSuppression : Operator
{
    public override OperatorId Id => new("NonMaxSuppression", Since: 10);

    public override bool IsDynamic => true;

    public override void Infer(InferContext c) => c.Set(0, DataType.Int64, Dim.Unknown, 3);

    public override RuntimeValue?[] Evaluate(EvaluateContext c)
    {
        Tensor boxes = c.Input(0), scores = c.Input(1);
        if (boxes.Type != DataType.Float32 || scores.Type != DataType.Float32 || boxes.Rank != 3 || scores.Rank != 3
            || boxes.Shape[2] != 4 || scores.Shape[0] != boxes.Shape[0] || scores.Shape[2] != boxes.Shape[1])
            throw c.Error($"boxes are {boxes}, scores {scores}", "boxes float32 [B, N, 4], scores float32 [B, C, N]");
        int batch = boxes.Shape[0], count = boxes.Shape[1], classes = scores.Shape[1];
        long most = c.OptionalInput(2) is { Length: > 0 } limit ? limit.ToInt64Array()[0] : 0;
        float iouThreshold = c.OptionalInput(3) is { Length: > 0 } iou ? iou.Span<float>()[0] : 0;
        float scoreThreshold = c.OptionalInput(4) is { Length: > 0 } score ? score.Span<float>()[0] : float.NegativeInfinity;
        if (!(iouThreshold >= 0 && iouThreshold <= 1)) throw c.Error($"iou_threshold is {iouThreshold}", "0 ≤ iou_threshold ≤ 1");
        bool centered = c.Attributes.Int("center_point_box") == 1;

        var chosen = new List<long>();
        var corners = new Box[count];
        var order = new List<int>(count);
        var kept = new List<int>();
        for (int b = 0; b < batch && most > 0; b++)
        {
            ReadOnlySpan<float> rows = boxes.Span<float>().Slice(b * count * 4, count * 4);
            for (int i = 0; i < count; i++) corners[i] = Box.From(rows.Slice(4 * i, 4), centered);
            for (int k = 0; k < classes; k++)
            {
                float[] score1 = scores.Span<float>().Slice((b * classes + k) * count, count).ToArray();
                order.Clear();
                for (int i = 0; i < count; i++) if (score1[i] > scoreThreshold) order.Add(i);
                order.Sort((i, j) => score1[j].CompareTo(score1[i]) is var byScore && byScore != 0 ? byScore : i.CompareTo(j));
                kept.Clear();
                foreach (int i in order)
                {
                    if (kept.Count >= most) break;
                    bool free = true;
                    for (int j = kept.Count - 1; j >= 0 && free; j--) free = corners[i].Overlap(corners[kept[j]]) <= iouThreshold;
                    if (!free) continue;
                    kept.Add(i);
                    chosen.Add(b);
                    chosen.Add(k);
                    chosen.Add(i);
                }
            }
        }
        return [Tensor.Create(chosen.ToArray(), chosen.Count / 3, 3)];
    }

    private readonly record struct Box(float Y1, float X1, float Y2, float X2)
    {
        public static Box From(ReadOnlySpan<float> box, bool centered) => centered
            ? new Box(box[1] - box[3] / 2, box[0] - box[2] / 2, box[1] + box[3] / 2, box[0] + box[2] / 2)
            : new Box(Math.Min(box[0], box[2]), Math.Min(box[1], box[3]), Math.Max(box[0], box[2]), Math.Max(box[1], box[3]));

        private float Area => (Y2 - Y1) * (X2 - X1);

        /// <summary>Intersection over union; 0 where they do not meet.</summary>
        public float Overlap(Box other)
        {
            float height = Math.Min(Y2, other.Y2) - Math.Max(Y1, other.Y1), width = Math.Min(X2, other.X2) - Math.Max(X1, other.X1);
            if (!(height > 0 && width > 0)) return 0;
            float common = height * width, union = Area + other.Area - common;
            return union > 0 ? common / union : 0;
        }
    }
}
