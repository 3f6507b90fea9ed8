using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Octet.Runtime.Tensors;

/// <summary>NumPy's array files (<c>.npy</c>, format versions 1 to 3).</summary>
/// <remarks>
/// Read: booleans, integers, float16/32/64, complex64/128, fixed-width text (<c>U</c>, <c>S</c>); either byte order; C or Fortran order. Written: version 1,
/// little-endian, C order; bfloat16 is widened to float32 and 4- and 2-bit integers to 8 bits, which changes no value.
/// Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
/// </remarks>
internal static class NpyFile
{
    private const int MaxHeader = 1 << 20;
    private const int MaxRank = 64;

    private static ReadOnlySpan<byte> Magic => [0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y'];

    /// <summary>Reads an array.</summary>
    /// <exception cref="DataException">The file is missing, cannot be read, is no array file, or has elements that no tensor has.</exception>
    public static Tensor Load(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        byte[] file;
        try
        {
            file = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"array file '{path}' cannot be read: {e.Message}; rule: the path names a readable file", e);
        }
        return Read(file, path);
    }

    /// <summary>Reads an array from the bytes of a file; <paramref name="source"/> is its name in messages.</summary>
    /// <exception cref="DataException">The bytes are no array file, or have elements that no tensor has.</exception>
    public static Tensor Read(byte[] file, string source)
    {
        var header = Header.Parse(file, source);
        int itemSize = header.ItemSize, count = header.Count;
        ReadOnlySpan<byte> data = file.AsSpan(header.DataOffset);
        if (data.Length != (long)count * itemSize)
        {
            throw new DataException($"array file '{source}': {data.Length} bytes of data for {header.Descriptor} and shape {Tensor.Format(header.Shape)}; "
                + $"rule: element count × element size = {(long)count * itemSize}");
        }
        if (header.Type == DataType.String)
        {
            var strings = new string[count];
            for (int i = 0; i < count; i++) strings[i] = header.Text(data.Slice(i * itemSize, itemSize), source);
            if (header.Fortran) strings = FromFortran<string>(strings, header.Shape);
            return new Tensor(strings, header.Shape);
        }

        byte[] bytes = data.ToArray();
        int number = header.NumberSize;
        if (header.BigEndian && number > 1)
        {
            for (int i = 0; i < bytes.Length; i += number) bytes.AsSpan(i, number).Reverse();
        }
        if (header.Type == DataType.Bool)
        {
            foreach (ref byte element in bytes.AsSpan()) element = element == 0 ? (byte)0 : (byte)1;
        }
        if (header.Fortran)
        {
            bytes = itemSize switch
            {
                1 => FromFortran<byte>(bytes, header.Shape),
                2 => AsBytes(FromFortran(MemoryMarshal.Cast<byte, ushort>(bytes), header.Shape)),
                4 => AsBytes(FromFortran(MemoryMarshal.Cast<byte, uint>(bytes), header.Shape)),
                8 => AsBytes(FromFortran(MemoryMarshal.Cast<byte, ulong>(bytes), header.Shape)),
                _ => AsBytes(FromFortran(MemoryMarshal.Cast<byte, UInt128>(bytes), header.Shape)),
            };
        }
        return new Tensor(header.Type, header.Shape, bytes);

        static byte[] AsBytes<T>(T[] elements) where T : unmanaged => MemoryMarshal.AsBytes(elements.AsSpan()).ToArray();
    }

    /// <summary>Writes an array; the file is replaced when the new one is complete.</summary>
    /// <exception cref="DataException">NumPy has no such elements (8- and 4-bit floats).</exception>
    /// <exception cref="IOException">The file cannot be written; what was there stays.</exception>
    public static void Save(string path, Tensor tensor)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        ArgumentNullException.ThrowIfNull(tensor);
        byte[] file = Write(tensor);
        AtomicFile.Write(path, stream => stream.Write(file));
    }

    /// <summary>The bytes of a file that holds <paramref name="tensor"/>.</summary>
    /// <exception cref="DataException">NumPy has no such elements (8- and 4-bit floats).</exception>
    public static byte[] Write(Tensor tensor)
    {
        ReadOnlySpan<byte> data = tensor.Bytes.Span;
        string descriptor;
        switch (tensor.Type)
        {
            case DataType.String:
                (descriptor, data) = WriteText(tensor.Strings);
                break;
            case DataType.BFloat16:
                descriptor = "<f4";
                data = MemoryMarshal.AsBytes(tensor.ToFloat32Array().AsSpan());
                break;
            default:
                descriptor = tensor.Type switch
                {
                    DataType.Float32 => "<f4",
                    DataType.Float64 => "<f8",
                    DataType.Float16 => "<f2",
                    DataType.Int8 or DataType.Int4 or DataType.Int2 => "|i1",
                    DataType.UInt8 or DataType.UInt4 or DataType.UInt2 => "|u1",
                    DataType.Int16 => "<i2",
                    DataType.UInt16 => "<u2",
                    DataType.Int32 => "<i4",
                    DataType.UInt32 => "<u4",
                    DataType.Int64 => "<i8",
                    DataType.UInt64 => "<u8",
                    DataType.Bool => "|b1",
                    DataType.Complex64 => "<c8",
                    DataType.Complex128 => "<c16",
                    _ => throw new DataException($"{tensor} cannot be written as an array file; rule: NumPy has no {tensor.Type.Name()} elements, a TensorProto file has"),
                };
                break;
        }

        string shape = string.Concat(tensor.Shape.ToArray().Select(extent => string.Create(CultureInfo.InvariantCulture, $"{extent}, ")));
        string header = $"{{'descr': '{descriptor}', 'fortran_order': False, 'shape': ({(tensor.Rank == 1 ? shape.TrimEnd() : shape.TrimEnd(' ', ','))}), }}";
        // The data begin at a multiple of 64 bytes; the header ends with a line feed.
        int prefix = Magic.Length + 2 + 2;
        int total = (prefix + header.Length + 1 + 63) / 64 * 64;
        var file = new byte[total + data.Length];
        Magic.CopyTo(file);
        file[6] = 1;
        BinaryPrimitives.WriteUInt16LittleEndian(file.AsSpan(8), (ushort)(total - prefix));
        file.AsSpan(prefix, total - prefix).Fill((byte)' ');
        Encoding.ASCII.GetBytes(header, file.AsSpan(prefix));
        file[total - 1] = (byte)'\n';
        data.CopyTo(file.AsSpan(total));
        return file;
    }

    private static (string Descriptor, byte[] Data) WriteText(ReadOnlySpan<string> strings)
    {
        var encoded = new byte[strings.Length][];
        int longest = 1;
        for (int i = 0; i < encoded.Length; i++)
        {
            encoded[i] = Encoding.UTF32.GetBytes(strings[i]);
            longest = Math.Max(longest, encoded[i].Length / 4);
        }
        var data = new byte[checked(encoded.Length * longest * 4)];
        for (int i = 0; i < encoded.Length; i++) encoded[i].CopyTo(data, i * longest * 4);
        return ($"<U{longest}", data);
    }

    /// <summary>Elements whose first axis varies fastest, reordered so that the last does.</summary>
    private static T[] FromFortran<T>(ReadOnlySpan<T> elements, int[] shape)
    {
        var result = new T[elements.Length];
        var index = new int[shape.Length];
        var stride = new int[shape.Length];
        for (int axis = 0, step = 1; axis < shape.Length; step *= shape[axis++]) stride[axis] = step;
        for (int to = 0, from = 0; to < result.Length; to++)
        {
            result[to] = elements[from];
            for (int axis = shape.Length - 1; axis >= 0; axis--)
            {
                from += stride[axis];
                if (++index[axis] < shape[axis]) break;
                from -= shape[axis] * stride[axis];
                index[axis] = 0;
            }
        }
        return result;
    }

    /// <summary>What the header says: a Python dictionary with 'descr', 'fortran_order' and 'shape'.</summary>
    private sealed class Header
    {
        public required string Descriptor { get; init; }

        public required DataType Type { get; init; }

        public required int ItemSize { get; init; }

        public required bool BigEndian { get; init; }

        public required bool Fortran { get; init; }

        public required int[] Shape { get; init; }

        public required int Count { get; init; }

        public required int DataOffset { get; init; }

        /// <summary>Bytes that change places together with the byte order: half an element for complex numbers.</summary>
        public int NumberSize => Type is DataType.Complex64 or DataType.Complex128 ? ItemSize / 2 : ItemSize;

        public static Header Parse(ReadOnlySpan<byte> file, string source)
        {
            if (!file.StartsWith(Magic)) throw Broken("it does not begin with NumPy's mark", "an array file begins with the bytes 93 'NUMPY'");
            if (file.Length < 10) throw Broken($"it has {file.Length} bytes", "an array file has a version and a header");
            int version = file[6];
            if (version is < 1 or > 3) throw Broken($"its format version is {version}", "versions are 1, 2 and 3");
            int start = version == 1 ? 10 : 12;
            if (file.Length < start) throw Broken($"it has {file.Length} bytes", "an array file has a version and a header");
            long length = version == 1 ? BinaryPrimitives.ReadUInt16LittleEndian(file[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(file[8..]);
            if (length > MaxHeader || start + length > file.Length) throw Broken($"its header has {length} bytes of {file.Length}", $"the header lies in the file and has at most {MaxHeader} bytes");
            string text = (version == 3 ? Encoding.UTF8 : Encoding.Latin1).GetString(file.Slice(start, (int)length));

            string? descriptor = null;
            bool? fortran = null;
            int[]? shape = null;
            var reader = new PythonReader(text);
            try
            {
                reader.Expect('{');
                while (!reader.Take('}'))
                {
                    string key = reader.String();
                    reader.Expect(':');
                    switch (key)
                    {
                        case "descr": descriptor = reader.String(); break;
                        case "fortran_order": fortran = reader.Boolean(); break;
                        case "shape": shape = reader.Shape(); break;
                        default: throw new FormatException($"the key '{key}'");
                    }
                    if (!reader.Take(','))
                    {
                        reader.Expect('}');
                        break;
                    }
                }
            }
            catch (FormatException e)
            {
                throw Broken($"its header has {e.Message} at {reader.Position}", "the header is a dictionary of 'descr' (a plain element type), 'fortran_order' and 'shape'");
            }
            if (descriptor is null || fortran is null || shape is null)
                throw Broken("its header lacks a key", "the header has 'descr', 'fortran_order' and 'shape'");

            (DataType type, int itemSize) = ElementOf(descriptor);
            int count;
            try
            {
                count = Tensor.CountElements(shape);
            }
            catch (ArgumentException e)
            {
                throw Broken(e.Message, "an array fits one tensor");
            }
            return new Header
            {
                Descriptor = descriptor,
                Type = type,
                ItemSize = itemSize,
                BigEndian = descriptor[0] == '>',
                Fortran = fortran.Value,
                Shape = shape,
                Count = count,
                DataOffset = start + (int)length,
            };

            (DataType, int) ElementOf(string name)
            {
                DataType plain = name.Length < 3 ? DataType.Undefined : name[1..] switch
                {
                    "f4" => DataType.Float32,
                    "f8" => DataType.Float64,
                    "f2" => DataType.Float16,
                    "i1" => DataType.Int8,
                    "u1" => DataType.UInt8,
                    "i2" => DataType.Int16,
                    "u2" => DataType.UInt16,
                    "i4" => DataType.Int32,
                    "u4" => DataType.UInt32,
                    "i8" => DataType.Int64,
                    "u8" => DataType.UInt64,
                    "b1" => DataType.Bool,
                    "c8" => DataType.Complex64,
                    "c16" => DataType.Complex128,
                    _ => DataType.Undefined,
                };
                if (name.Length > 0 && name[0] is '<' or '>' or '|' or '=')
                {
                    if (plain != DataType.Undefined) return (plain, plain.Size());
                    if (name.Length > 2 && name[1] is 'U' or 'S' && int.TryParse(name.AsSpan(2), NumberStyles.None, CultureInfo.InvariantCulture, out int width) && width is > 0 and <= MaxHeader)
                        return (DataType.String, name[1] == 'U' ? width * 4 : width);
                }
                throw Broken($"its elements are '{name}'", "elements are booleans, integers, floats, complex numbers or fixed-width text");
            }

            DataException Broken(string what, string rule) => new($"array file '{source}': {what}; rule: {rule}");
        }

        /// <summary>One text element: up to the last character that is not zero.</summary>
        public string Text(ReadOnlySpan<byte> item, string source)
        {
            try
            {
                return (Descriptor[1] == 'S' ? Encoding.Latin1 : new UTF32Encoding(BigEndian, false, throwOnInvalidCharacters: true)).GetString(item).TrimEnd('\0');
            }
            catch (ArgumentException e)
            {
                throw new DataException($"array file '{source}': a text element is not UTF-32: {e.Message}; rule: 'U' elements are UTF-32", e);
            }
        }
    }

    /// <summary>Reads the few Python literals that a header holds; throws <see cref="FormatException"/> naming what it met.</summary>
    private sealed class PythonReader(string text)
    {
        public int Position { get; private set; }

        public bool Take(char wanted)
        {
            while (Position < text.Length && text[Position] is ' ' or '\n' or '\t' or '\r') Position++;
            if (Position >= text.Length || text[Position] != wanted) return false;
            Position++;
            return true;
        }

        public void Expect(char wanted)
        {
            if (!Take(wanted)) throw new FormatException(Position < text.Length ? $"'{text[Position]}' instead of '{wanted}'" : "its end");
        }

        public string String()
        {
            char quote = Take('"') ? '"' : '\'';
            if (quote == '\'') Expect('\'');
            int end = text.IndexOf(quote, Position);
            if (end < 0) throw new FormatException("a text without end");
            string result = text[Position..end];
            Position = end + 1;
            return result;
        }

        public bool Boolean() => Word("True") || (!Word("False") ? throw new FormatException("no boolean") : false);

        public int[] Shape()
        {
            Expect('(');
            var shape = new List<int>();
            while (!Take(')'))
            {
                int start = Position;
                while (Position < text.Length && char.IsAsciiDigit(text[Position])) Position++;
                if (!int.TryParse(text.AsSpan(start, Position - start), NumberStyles.None, CultureInfo.InvariantCulture, out int extent))
                    throw new FormatException("no extent");
                if (Position < text.Length && text[Position] == 'L') Position++;   // written by Python 2
                shape.Add(extent);
                if (shape.Count > MaxRank) throw new FormatException($"more than {MaxRank} axes");
                if (!Take(','))
                {
                    Expect(')');
                    break;
                }
            }
            return [.. shape];
        }

        private bool Word(string word)
        {
            while (Position < text.Length && text[Position] == ' ') Position++;
            if (string.CompareOrdinal(text, Position, word, 0, word.Length) != 0) return false;
            Position += word.Length;
            return true;
        }
    }
}
