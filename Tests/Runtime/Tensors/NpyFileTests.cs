using System.Text;
using Octet.Runtime;
using Octet.Runtime.Tensors;

namespace Octet.Tests.Runtime.Tensors;

/// <summary>NumPy's array files.</summary>
[TestFixture]
internal sealed class NpyFileTests
{
    private static IEnumerable<DataType> WrittenAsThemselves =>
    [
        DataType.Float32, DataType.Float64, DataType.Float16, DataType.Int8, DataType.UInt8, DataType.Int16, DataType.UInt16, DataType.Int32, DataType.UInt32,
        DataType.Int64, DataType.UInt64, DataType.Bool, DataType.Complex64, DataType.Complex128,
    ];

    private static readonly int[][] Shapes = [[], [3], [2, 3], [0, 5], [1, 2, 1, 3]];

    [Test]
    public void SurvivesRoundTrip([ValueSource(nameof(WrittenAsThemselves))] DataType type, [ValueSource(nameof(Shapes))] int[] shape)
    {
        var tensor = new Tensor(type, shape);
        new Random(3).NextBytes(tensor.Bytes.Span);
        if (type == DataType.Bool) foreach (ref byte element in tensor.Bytes.Span) element &= 1;
        byte[] file = NpyFile.Write(tensor);
        Assert.That((file.Length - tensor.Bytes.Length) % 64, Is.EqualTo(0), "the data are aligned");
        Tensor read = NpyFile.Read(file, "test");
        Assert.That((read.Type, read.Shape.ToArray()), Is.EqualTo((type, shape)));
        Assert.That(read.Bytes.ToArray(), Is.EqualTo(tensor.Bytes.ToArray()));
    }

    [Test]
    public void TextSurvivesRoundTrip()
    {
        var tensor = new Tensor(["", "a", "ü€𝄞"], [3]);
        Assert.That(NpyFile.Read(NpyFile.Write(tensor), "test").Strings.ToArray(), Is.EqualTo(tensor.Strings.ToArray()));
    }

    [Test]
    public void BFloat16IsWidened()
    {
        var tensor = new Tensor(DataType.BFloat16, [2], new byte[] { 0x80, 0x3f, 0x00, 0xc0 });
        Assert.That(NpyFile.Read(NpyFile.Write(tensor), "test").Span<float>().ToArray(), Is.EqualTo(new[] { 1f, -2f }));
    }

    [Test]
    public void HeaderIsWhatNumPyWrites()
    {
        string header = Encoding.ASCII.GetString(NpyFile.Write(new Tensor(DataType.Float32, [5])).AsSpan(10, 100));
        Assert.That(header, Does.StartWith("{'descr': '<f4', 'fortran_order': False, 'shape': (5,), }"));
        Assert.That(Encoding.ASCII.GetString(NpyFile.Write(new Tensor(DataType.Float32, [])).AsSpan(10, 80)), Does.Contain("'shape': (), }"));
        Assert.That(Encoding.ASCII.GetString(NpyFile.Write(new Tensor(DataType.Float32, [2, 3])).AsSpan(10, 80)), Does.Contain("'shape': (2, 3), }"));
    }

    /// <summary>A file as NumPy would write it.</summary>
    private static byte[] File(string header, byte[] data, byte version = 1)
    {
        byte[] text = Encoding.UTF8.GetBytes(header + "\n");
        byte[] length = version == 1 ? BitConverter.GetBytes((ushort)text.Length) : BitConverter.GetBytes(text.Length);
        return [0x93, .. "NUMPY"u8, version, 0, .. length, .. text, .. data];
    }

    [Test]
    public void EveryVersionIsRead([Values((byte)1, (byte)2, (byte)3)] byte version)
    {
        Tensor read = NpyFile.Read(File("{\"shape\": (2L, 1),'fortran_order':False, 'descr': '|u1'}", [7, 9], version), "test");
        Assert.That(read.Shape.ToArray(), Is.EqualTo(new[] { 2, 1 }));
        Assert.That(read.Bytes.ToArray(), Is.EqualTo(new byte[] { 7, 9 }));
    }

    [Test]
    public void FortranOrderIsTurned([Values("u1", "i2", "i4", "i8")] string type)
    {
        int size = type[1] - '0';
        // The array [[[0,1],[2,3],[4,5]],[[6,7],[8,9],[10,11]]] with its first axis fastest.
        int[] stored = [0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11];
        byte[] data = [.. stored.SelectMany(element => BitConverter.GetBytes((long)element).Take(size))];
        Tensor read = NpyFile.Read(File($"{{'descr': '<{type}', 'fortran_order': True, 'shape': (2, 3, 2), }}", data), "test");
        Assert.That(read.ToInt64Array(), Is.EqualTo(Enumerable.Range(0, 12)));
    }

    [Test]
    public void FortranOrderOfTextIsTurned()
    {
        byte[] data = Encoding.ASCII.GetBytes("acbd");
        Assert.That(NpyFile.Read(File("{'descr': '|S1', 'fortran_order': True, 'shape': (2, 2), }", data), "test").Strings.ToArray(), Is.EqualTo(new[] { "a", "b", "c", "d" }));
    }

    [Test]
    public void BigEndianIsTurned() => Assert.That(
        NpyFile.Read(File("{'descr': '>i2', 'fortran_order': False, 'shape': (2,), }", [1, 2, 0xff, 0xfe]), "test").Span<short>().ToArray(), Is.EqualTo(new short[] { 258, -2 }));

    [TestCase("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", "'|O'")]
    [TestCase("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", "'<f3'")]
    [TestCase("{'descr': '', 'fortran_order': False, 'shape': (1,), }", "''")]
    [TestCase("{'descr': '<U0', 'fortran_order': False, 'shape': (2000000000,), }", "'<U0'")]
    [TestCase("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", "'['")]
    [TestCase("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", "4 bytes of data")]
    [TestCase("{'descr': '<f4', 'fortran_order': False, 'shape': (2000000000, 2000000000), }", "more than")]
    [TestCase("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", "no extent")]
    [TestCase("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", "no boolean")]
    [TestCase("{'descr': '<f4', 'fortran_order': False, }", "lacks a key")]
    [TestCase("{'descr': '<f4', 'fortran_order': False, 'shape': (1,", "no extent")]
    [TestCase("{'other': 1}", "'other'")]
    [TestCase("", "its end")]
    public void BrokenHeaderIsRefused(string header, string message) => Assert.That(
        Assert.Throws<DataException>(() => NpyFile.Read(File(header, [0, 0, 0, 0]), "a.npy"))!.Message, Does.StartWith("array file 'a.npy'").And.Contain(message).And.Contain("rule"));

    [Test]
    public void AnyBytesAreReadOrRefused()
    {
        var random = new Random(4);
        byte[] whole = NpyFile.Write(new Tensor(DataType.Int16, [2, 3]));
        for (int i = 0; i < 20_000; i++)
        {
            byte[] file = whole[..random.Next(whole.Length / 2, whole.Length + 1)];
            for (int changes = random.Next(4); changes > 0; changes--) file[random.Next(Math.Min(file.Length, 90))] = (byte)random.Next(256);
            try
            {
                NpyFile.Read(file, "test");
            }
            catch (DataException)
            {
            }
        }
    }

    [Test]
    public void FileOnDiskIsWrittenAndRead()
    {
        string path = Path.Combine(Path.GetTempPath(), $"octet-{Guid.NewGuid():N}.npy");
        Assert.That(Assert.Throws<DataException>(() => NpyFile.Load(path))!.Message, Does.Contain(path));
        try
        {
            NpyFile.Save(path, Tensor.Create([1, 2, 3], 3));
            Assert.That(NpyFile.Load(path).Span<int>().ToArray(), Is.EqualTo(new[] { 1, 2, 3 }));
        }
        finally
        {
            System.IO.File.Delete(path);
        }
        Assert.Throws<DataException>(() => NpyFile.Write(new Tensor(DataType.Float8E5M2, [1])));
    }
}
