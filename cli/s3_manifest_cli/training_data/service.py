"""The arguments and results that ``HttpService`` and ``S3Service`` share."""

from typing import TypedDict

from s3_manifest.manifest.model import Frozen


class ImageFields(TypedDict, total=False):
    """Fields to set for an image. None removes a field; a missing field is not changed."""

    prompt: str | None
    good: bool | None
    labels: list[str] | None
    hidden: bool | None


class EditResult(Frozen):
    """The result of an edit in S3. ``revision`` shows it; if it is None, wait with the token ``reflects``."""

    actor_name: str
    revision: int | None
    reflects: str | None
