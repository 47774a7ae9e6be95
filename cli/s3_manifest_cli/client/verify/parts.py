"""In which part sizes an object may have been uploaded, from its size and the number of its parts. Pure.

S3 does not tell part sizes with an object. But clients cut all parts of one size but the last, and of
few sizes: their defaults, which they raise where there would be more than 10,000 parts.
"""

from collections.abc import Iterator

MIB = 1 << 20
_MAX_PARTS = 10_000
_USUAL = (
    *(size * MIB for size in (8, 5, 16, 15, 50, 64, 10, 20, 25, 32, 100, 128, 256, 512, 1024)),
    17_179_870,  # the S3 console
    *(size * 1_000_000 for size in (5, 8, 10, 16, 50, 64, 100)),  # where a "MB" was meant so
)
# AWS CLI and boto3 8 MiB, doubled as needed: https://docs.aws.amazon.com/cli/latest/topic/s3-config.html
# rclone 5 MiB: https://rclone.org/s3/#multipart-uploads; s3cmd 15 MiB: https://s3tools.org/usage;
# s5cmd 50 MiB: https://github.com/peak/s5cmd#readme; MinIO's clients 16 MiB or a multiple of it.


def may_be(size: int, parts: int) -> tuple[int, ...]:
    """The part sizes, in bytes, by which clients cut so many bytes into so many parts; the usual ones first."""
    fitting = dict.fromkeys(part for part in _candidates(size, parts) if part > 0 and cut(size, part) == parts)
    return tuple(fitting)


def cut(size: int, part: int) -> int:
    """How many parts of that size so many bytes make; one for none."""
    return max(1, -(-size // part))


def _candidates(size: int, parts: int) -> Iterator[int]:
    yield from _USUAL
    for count in (parts, _MAX_PARTS):
        even = -(-size // count)
        yield even
        for unit in (MIB, 5 * MIB, 16 * MIB):
            yield -(-even // unit) * unit
