"""Reads and writes at an offset, from several threads, all of what was asked."""

import os
import sys
import threading

if sys.platform == "win32":
    # A descriptor has one position there.
    _turn = threading.Lock()

    def _pread(fd: int, size: int, offset: int) -> bytes:
        with _turn:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.read(fd, size)

    def read_into(fd: int, into: memoryview, offset: int) -> int:
        """Reads bytes into a buffer: how many, 0 only where the file ends before. Raises ``OSError``."""
        block = _pread(fd, len(into), offset)
        into[: len(block)] = block
        return len(block)

    def _pwrite(fd: int, data: memoryview, offset: int) -> int:
        with _turn:
            os.lseek(fd, offset, os.SEEK_SET)
            return os.write(fd, data)

else:
    _pread, _pwrite = os.pread, os.pwrite

    def read_into(fd: int, into: memoryview, offset: int) -> int:
        """Reads bytes into a buffer: how many, 0 only where the file ends before. Raises ``OSError``."""
        return os.preadv(fd, [into], offset)


def read_at(fd: int, size: int, offset: int) -> bytes:
    """So many bytes; fewer only where the file ends before. Raises ``OSError``."""
    block = _pread(fd, size, offset)
    if len(block) in (0, size):
        return block
    blocks = [block]
    done = len(block)
    while done < size and (block := _pread(fd, size - done, offset + done)):
        blocks.append(block)
        done += len(block)
    return b"".join(blocks)


def write_at(fd: int, data: bytes, offset: int) -> None:
    """All the bytes. Raises ``OSError``."""
    written = _pwrite(fd, memoryview(data), offset)
    while written < len(data):
        written += _pwrite(fd, memoryview(data)[written:], offset + written)
