"""Small PNG pictures for demos and tests."""

import struct
import zlib


def png(size: int, colour: tuple[int, int, int]) -> bytes:
    """Returns a square picture that fades from black at the top to a colour.

    https://www.w3.org/TR/png-3/#5PNG-file-signature
    """
    rows = (bytes(channel * row // max(1, size - 1) for channel in colour) * size for row in range(size))
    pixels = b"".join(b"\0" + row for row in rows)
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
