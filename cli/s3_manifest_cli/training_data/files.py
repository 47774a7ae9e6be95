"""Uploads local files with presigned URLs."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import urllib3

from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import ImageUpload
from s3_manifest_cli.client.local.hashes import md5_of
from s3_manifest_cli.errors import Refused, Unavailable

_THREADS = 16


class LocalImage(NamedTuple):
    """A file to upload. ``filename`` is its name in the collection; if it is empty, that of the file."""

    path: Path
    filename: str = ""
    prompt: str | None = None
    generated_at: str | None = None

    @property
    def name(self) -> str:
        """Its name in the collection."""
        return self.filename or self.path.name


def image_of(local: LocalImage) -> ImageUpload:
    """The description of a file for an upload request; reads the file. Raises ``OSError``, ``ValidationError``."""
    return ImageUpload.model_validate(
        {
            "filename": local.name,
            "size": local.path.stat().st_size,
            "md5": md5_at(local.path),
            "prompt": local.prompt,
            "generated_at": local.generated_at,
            "local_path": str(local.path),
        }
    )


def md5_at(path: Path) -> str:
    """The MD5 of a file's bytes, in hex. Raises ``OSError``."""
    with path.open("rb") as file:
        return md5_of(file)


def put_all(pool: urllib3.PoolManager, uploads: Iterable[tuple[PresignedUpload, Path]]) -> dict[str, Exception]:
    """Uploads files in parallel; returns the errors by filename.

    S3 refuses bytes that differ from the request, and replaces an object only if the request asks for it.
    """
    pending = list(uploads)

    def put(entry: tuple[PresignedUpload, Path]) -> Exception | None:
        upload, path = entry
        try:
            with path.open("rb") as file:
                # No retries: after a lost response, a second PUT would be refused because of the first.
                response = pool.request(
                    upload.method, upload.url, body=file, headers=dict(upload.headers), retries=False
                )
        except urllib3.exceptions.HTTPError as error:
            return Unavailable(f"{upload.filename}: not uploaded: {error}")
        except OSError as error:
            return error
        return _refusal(upload.filename, response)

    with ThreadPoolExecutor(_THREADS) as threads:
        results = threads.map(put, pending)
    return {upload.filename: error for (upload, _), error in zip(pending, results, strict=True) if error}


def _refusal(filename: str, response: urllib3.BaseHTTPResponse) -> Exception | None:
    if response.status == 412:
        return Refused(f"{filename}: not uploaded, the file exists. Pass overwrite=True to replace it.")
    if 400 <= response.status < 500:
        return Refused(f"{filename}: refused by S3: {response.status} {response.data[:300].decode(errors='replace')}")
    if response.status >= 300:
        return Unavailable(f"{filename}: not uploaded: HTTP status {response.status}")
    return None
