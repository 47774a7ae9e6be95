"""Explains an ``OSError`` of one file: an error that names the file, the cause and the remedy."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from s3_manifest_cli.errors import Invalid, Refused, S3ManifestError, Unavailable

_FREE_SPACE = "Free some space, and run the command again."
_CHECK_PERMISSIONS = "Check the permissions of the file and of its folder, and run the command again."
_RENAME = "Rename it in S3, or choose another folder."
_ERRORS: Mapping[int, tuple[type[S3ManifestError], str, str]] = {
    errno.ENOSPC: (Unavailable, "the disk is full", _FREE_SPACE),
    errno.EDQUOT: (Unavailable, "your disk quota is used up", _FREE_SPACE),
    errno.EACCES: (Unavailable, "permission denied", _CHECK_PERMISSIONS),
    errno.EPERM: (Unavailable, "permission denied", _CHECK_PERMISSIONS),
    errno.EROFS: (Unavailable, "the disk is read-only", "Choose another folder."),
    errno.EFBIG: (Unavailable, "it is too large for this file system", "Choose another folder."),
    errno.EMFILE: (Unavailable, "too many files are open", "Raise the limit (ulimit -n)."),
    errno.ENFILE: (Unavailable, "too many files are open on this machine", "Close some programs."),
    errno.ELOOP: (Refused, "a symbolic link is in its path, and links are not followed", "Remove the link."),
    errno.ENOTDIR: (Refused, "a link, or a file that is not a folder, is in its path", "Remove or rename that."),
    errno.EISDIR: (Refused, "a folder is in its place", "Remove or rename the folder."),
    errno.ENXIO: (Refused, "it is not a regular file", "Remove or rename it."),
    errno.ENAMETOOLONG: (Invalid, "its name is too long for this file system", _RENAME),
    errno.EILSEQ: (Invalid, "this file system cannot hold its name", _RENAME),
    errno.EINVAL: (Invalid, "this file system cannot hold its name", _RENAME),
}


@contextmanager
def disk_errors(filename: str, action: str) -> Iterator[None]:
    """Raises the ``disk_error`` of an ``OSError`` in the block."""
    try:
        yield
    except OSError as error:
        raise disk_error(filename, action, error) from error


def disk_error(filename: str, action: str, error: OSError) -> S3ManifestError:
    """The error for the user; ``action`` is what was not done, such as ``not written``.

    ``Refused`` where a link or a folder is in the way, ``Invalid`` where the disk cannot hold the name, and
    ``Unavailable`` otherwise: a full or read-only disk, permissions, a failing device.
    """
    kind, cause, remedy = _ERRORS.get(error.errno or 0, (Unavailable, error.strerror or str(error), ""))
    return kind(f"{filename!r} was {action}: {cause}.", remedy=remedy)
