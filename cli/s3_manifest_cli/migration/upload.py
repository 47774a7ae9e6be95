"""Images stored in S3: each only where the plan saw what is there, and only with the bytes it saw on disk."""

import base64
import hashlib
import time
from typing import TYPE_CHECKING, Any, Protocol

from s3_manifest.storage.store import Conflict, OutcomeUnknown, Store, StoreError
from s3_manifest.storage.user_metadata import fit
from s3_manifest_cli.client.access.s3_errors import REQUEST_ERRORS, fault_of, write_error
from s3_manifest_cli.client.transfer.upload_metadata import content_type
from s3_manifest_cli.migration.plan import Upload
from s3_manifest_cli.migration.remote import observe_object

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

_ATTEMPTS = 5


class PutImage(Protocol):
    """Stores an image if the object's ETag is ``replaces`` (None: if there is no object).

    Raises ``Conflict``, ``OutcomeUnknown``, ``WriteRefused``. Is never retried in here.
    """

    def __call__(self, key: str, body: bytes, *, replaces: str | None, local_path: str) -> None:  # noqa: D102
        ...


def s3_images(client: "S3Client", bucket: str) -> PutImage:
    """Stores images in a bucket; ``client`` must not retry by itself."""

    def put(key: str, body: bytes, *, replaces: str | None, local_path: str) -> None:
        condition: dict[str, Any] = {"IfMatch": f'"{replaces}"'} if replaces else {"IfNoneMatch": "*"}
        # With it S3 itself refuses bytes that are not those that were read.
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        try:
            client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentMD5=md5,
                ContentType=content_type(key),
                Metadata=dict(fit({"local-path": local_path}).values),
                **condition,
            )
        except REQUEST_ERRORS as error:
            raise write_error(key, fault_of(error), is_known=True) from error

    return put


def upload(store: Store, put: PutImage, key: str, body: bytes, wanted: Upload) -> None:
    """Stores an image as planned. What is there already by now, with the same bytes, is not written again.

    Raises ``StoreError``: ``Conflict`` where the file or the object is another one than the plan saw.
    """
    if hashlib.md5(body, usedforsecurity=False).hexdigest() != wanted.md5:
        raise Conflict(wanted.path, "the file was changed meanwhile; run it again")
    failure: StoreError = Conflict(key, "nothing was tried")
    for attempt in range(_ATTEMPTS):
        try:
            put(key, body, replaces=wanted.replaces, local_path=wanted.path)
            return
        except (Conflict, OutcomeUnknown) as error:
            failure = error
            seen = observe_object(store, key)
            if seen and seen.md5 == wanted.md5:
                return
            if (seen.etag if seen else None) != wanted.replaces:
                raise Conflict(key, "somebody else stored another object there meanwhile; run it again") from error
            time.sleep(0.1 * 2**attempt)
    raise failure
