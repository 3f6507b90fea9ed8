using System.Buffers.Binary;

namespace Octet.Cli.Datasets;

/// <summary>Whether a JPEG file is whole: the decoder searches for markers without end where one is missing, so it only gets files that have them.</summary>
/// <remarks>Markers: ITU-T T.81, annex B.</remarks>
internal static class JpegStructure
{
    private const byte StartOfScan = 0xDA, EndOfImage = 0xD9, Stuffed = 0x00, FirstRestart = 0xD0, LastRestart = 0xD7;

    /// <summary>What is wrong with the file, or null where a frame, a scan and the end of the image follow each other and every segment lies in the file.</summary>
    public static string? Defect(ReadOnlySpan<byte> file)
    {
        bool frame = false, scan = false;
        int at = 2;
        while (true)
        {
            if (at + 2 > file.Length) return $"it ends at byte {at} without an end marker";
            if (file[at] != 0xFF) return $"byte {at} is 0x{file[at]:X2} where a marker begins";
            byte marker = file[at + 1];
            if (marker == 0xFF)
            {
                at++;   // fill bytes may stand before a marker
                continue;
            }
            at += 2;
            if (marker == EndOfImage) return !frame ? "it has no frame" : !scan ? "it has no scan" : null;
            if (at + 2 > file.Length || BinaryPrimitives.ReadUInt16BigEndian(file[at..]) is var length && (length < 2 || at + length > file.Length))
                return $"the segment 0x{marker:X2} at byte {at - 2} does not lie in the file";
            if (marker is >= 0xC0 and <= 0xCF and not (0xC4 or 0xC8 or 0xCC)) frame = true;
            at += length;
            if (marker != StartOfScan) continue;
            if (!frame) return "a scan stands before the frame";
            scan = true;
            while (at + 1 < file.Length && (file[at] != 0xFF || file[at + 1] is Stuffed or (>= FirstRestart and <= LastRestart))) at++;
        }
    }
}
