"""What went wrong with one file on this machine's disk, as one clear error that names the file and the mend."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from s3_manifest_cli.errors import Invalid, Refused, Unavailable

_FULL = "the disk is full; make room, and run this again"
_DENIED = "permission is denied; mend the permissions of the file and of its folder, and run this again"
_MENDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "your quota of the disk is used up; make room, and run this again",
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EFBIG: "it is larger than this disk's file system can hold; choose another folder",
    errno.EMFILE: "too many files are open; raise `ulimit -n`, or let fewer be transferred at once",
    errno.ENFILE: "too many files are open on this machine; close some programs, and run this again",
}
_IN_THE_WAY = {
    errno.ELOOP: "a symbolic link is in its place or in its path, and none is followed; remove the link",
    errno.ENOTDIR: "a link, or something else that is not a folder, is in its path; remove or rename that",
    errno.EISDIR: "a folder is in its place; remove or rename the folder",
}
_UNNAMEABLE = {
    errno.ENAMETOOLONG: "its name is too long for this disk's file system; rename it in S3, or choose another folder",
    errno.EILSEQ: "this disk's file system cannot hold its name; rename it in S3, or choose another folder",
    errno.EINVAL: "this disk's file system cannot hold its name; rename it in S3, or choose another folder",
}


@contextmanager
def disk_errors(filename: str, what: str) -> Iterator[None]:
    """Turns an ``OSError`` of the block into what ``disk_error`` makes of it."""
    try:
        yield
    except OSError as error:
        raise disk_error(filename, what, error) from error


def disk_error(filename: str, what: str, error: OSError) -> Invalid | Refused | Unavailable:
    """The error for the user; ``what`` says what was not done: ``not written``.

    ``Refused`` where something on the disk is in the way, ``Invalid`` where the disk cannot hold such a
    name, ``Unavailable`` for the rest: a full or read-only disk, permissions, a failing device. Raised
    ``from`` the ``OSError``, it tells by ``__cause__.errno`` what it was.
    """
    number = error.errno or 0
    text = f"{filename!r} was {what}"
    if number in _IN_THE_WAY:
        return Refused(f"{text}: {_IN_THE_WAY[number]}")
    if number in _UNNAMEABLE:
        return Invalid(f"{text}: {_UNNAMEABLE[number]}")
    return Unavailable(f"{text}: {_MENDS.get(number) or error.strerror or str(error)}")
