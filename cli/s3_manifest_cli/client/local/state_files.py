"""The client's own files: a cache folder that only this user can read."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path


def state_folder() -> Path:
    """The default cache folder: ``S3_MANIFEST_CACHE``, or a folder where this system has caches."""
    return Path(os.environ.get("S3_MANIFEST_CACHE") or user_cache_path("s3-manifest"))


def stable_name(*subjects: object) -> str:
    """A filename (32 hexadecimal digits) that is always the same for the same subjects."""
    return sha256("\0".join(map(str, subjects)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def write_atomically(path: Path, body: bytes, *, durable: bool = False) -> None:
    """Replaces the file in one step, so that a reader gets the old or the new content. Raises ``OSError``.

    With ``durable`` the content survives a crash of the machine once this returns.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix="partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
