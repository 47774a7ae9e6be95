"""Files that this client keeps for itself, in a folder that only this user reads."""

import os
import tempfile
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path


def state_folder() -> Path:
    """The folder, where nobody names another: ``S3_MANIFEST_CACHE``, or where this system has caches."""
    return Path(os.environ.get("S3_MANIFEST_CACHE") or user_cache_path("s3-manifest"))


def stable_name(*about: object) -> str:
    """A name for the file that is about these, the same each time: 32 hexadecimal digits."""
    return sha256("\0".join(map(str, about)).encode("utf-8", "surrogateescape")).hexdigest()[:32]


def write_atomically(path: Path, body: bytes, *, durable: bool = False) -> None:
    """Writes the file in one step: whoever reads it meanwhile reads the old one or the new one. Raises ``OSError``.

    With ``durable`` it is on the disk when this returns, whatever becomes of the machine.
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
