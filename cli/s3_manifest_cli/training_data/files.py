"""Files on this machine, on their way to S3."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import urllib3

from s3_manifest.edits.planning import PresignedUpload
from s3_manifest.edits.uploads import ImageUpload
from s3_manifest_cli.client.local.hashes import md5_of
from s3_manifest_cli.errors import Refused, Unavailable

_AT_ONCE = 16


class LocalImage(NamedTuple):
    """A file to be uploaded. ``filename`` is its name in the collection; the file's own if that is empty."""

    path: Path
    filename: str = ""
    prompt: str | None = None
    generated_at: str | None = None

    @property
    def name(self) -> str:
        """The name it gets."""
        return self.filename or self.path.name


def image_of(local: LocalImage) -> ImageUpload:
    """What is told of a file before it is uploaded; reads it once. Raises ``OSError``, ``ValidationError``."""
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
    """Makes presigned uploads, several at once; the errors of those that were not made, by filename.

    S3 refuses bytes that are not the announced ones, and to replace what is there unless that was asked for.
    """
    todo = list(uploads)

    def put(one: tuple[PresignedUpload, Path]) -> Exception | None:
        upload, path = one
        try:
            _put(pool, upload, path)
        except (Refused, Unavailable, OSError) as error:
            return error
        return None

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        results = threads.map(put, todo)
    return {upload.filename: error for (upload, _), error in zip(todo, results, strict=True) if error}


def _put(pool: urllib3.PoolManager, upload: PresignedUpload, path: Path) -> None:
    try:
        with path.open("rb") as file:
            # An answer that is lost may be of a PUT that was made: a repeat of that would be refused by its own doing.
            answer = pool.request(upload.method, upload.url, body=file, headers=dict(upload.headers), retries=False)
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"{upload.filename}: not uploaded: {error}") from error
    if answer.status == 412:
        raise Refused(f"{upload.filename}: a file of that name is there; upload with overwrite=True to replace it")
    if 400 <= answer.status < 500:
        raise Refused(f"{upload.filename}: S3 refused it: {answer.status} {answer.data[:300].decode(errors='replace')}")
    if answer.status >= 300:
        raise Unavailable(f"{upload.filename}: not uploaded: {answer.status}")
