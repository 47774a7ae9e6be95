"""Small pictures to upload: real PNGs, made on the spot."""

import struct
import zlib


def png(size: int, colour: tuple[int, int, int]) -> bytes:
    """A square picture that fades from black, at the top, to a colour.

    https://www.w3.org/TR/png-3/#5PNG-file-signature
    """
    rows = b"".join(
        b"\0" + bytes(channel * row // max(1, size - 1) for channel in colour) * size for row in range(size)
    )
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
