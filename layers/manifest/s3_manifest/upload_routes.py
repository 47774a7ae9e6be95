"""The HTTP routes that hand out presigned uploads."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Body
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter
from pydantic import JsonValue

from s3_manifest import edits, heads, runtime
from s3_manifest.awaited import Awaited
from s3_manifest.collections import Collection
from s3_manifest.cursors import seal
from s3_manifest.editing import Actor, Id, Kind, Reflection, actor_of, answered, collection_of, patience, responses
from s3_manifest.edits import Edited, Wanted
from s3_manifest.model import Frozen, Timestamp, timestamp
from s3_manifest.mutations import awaited_edit
from s3_manifest.sidecars import Declared
from s3_manifest.uploads import Headers, Image, Uploads, bad_names, headers_of
from s3_manifest.web import Answer, problem

router = APIGatewayHttpRouter()  # type: ignore[no-untyped-call]  # Powertools does not type it


class Upload(Frozen):
    """One PUT, to be made with exactly these headers.

    S3 refuses other bytes (400), other headers (403), and to replace an object (412). ``in_sidecar``
    are the fields that are in ``prompt_metadata.json``. ``reflects`` is a token for ``?reflects=`` of
    the manifest, once it is uploaded.
    """

    filename: str
    s3_key: str
    method: str
    url: str
    headers: Mapping[str, str]
    expires_at: Timestamp
    in_sidecar: tuple[str, ...]
    reflects: str


class Planned(Reflection):
    """The ``uploads`` to make, and the generation they are declared to be from.

    What of it is about the manifest is about the sidecars alone: the uploads are still to come.
    """

    uploads: tuple[Upload, ...]
    generation: Declared | None


Wish = Annotated[Uploads, Body()]
_PLANS = responses(Planned, 413)


@router.post(
    "/api/training-data/<actor_id>/uploads", summary="Presigned uploads of an actor's images", responses=_PLANS
)
def post_uploads(actor_id: Actor, wish: Wish) -> Answer:
    """See the route for any collection."""
    return _planned(actor_of(actor_id), wish)


@router.post("/api/styles/<style_id>/uploads", summary="Presigned uploads of a style's images", responses=_PLANS)
def post_style_uploads(style_id: Id, wish: Wish) -> Answer:
    """See the route for any collection."""
    return post_collection_uploads("style", style_id, wish)


@router.post("/api/manifests/<kind>/<collection_id>/uploads", summary="Presigned uploads", responses=_PLANS)
def post_collection_uploads(kind: Kind, collection_id: Id, wish: Wish) -> Answer:
    """A URL and headers for each, by which S3 itself refuses other bytes and, unless ``overwrite``, to replace a file.

    Prompt and generation travel as user metadata. What is too long for that, or told already by
    ``prompt_metadata.json``, which counts more, is set there at once; a generation is declared in
    ``collection.json``. A repeat with the same ``generation_id`` makes nothing new but the URLs.
    """
    return _planned(collection_of(kind, collection_id), wish)


def _planned(collection: Collection, wish: Uploads) -> Answer:
    bad = list(bad_names(runtime.collections(), collection, [image.filename for image in wish.images]))
    if bad:
        detail = "; ".join(f"images.{one.at}.filename: {one.reason}" for one in bad[:10])
        return problem(400, detail, parameter=f"images.{bad[0].at}.filename")
    now = datetime.now(UTC)
    edited, generation = _declared(collection, wish, timestamp(now))
    headers = [headers_of(image, generation, overwrite=wish.overwrite) for image in wish.images]
    described, fields = _described(collection, wish.images, headers)
    expires_at = timestamp(now + timedelta(seconds=wish.expires_in))
    uploads = [
        Upload(
            filename=image.filename,
            s3_key=collection.prefix + image.filename,
            method="PUT",
            url=runtime.store().presigned_put(collection.prefix + image.filename, one.headers, wish.expires_in),
            headers=one.headers,
            expires_at=expires_at,
            in_sidecar=tuple(fields.get(image.filename, ())),
            reflects=seal(Awaited(s3_key=collection.prefix + image.filename, md5=image.md5)),
        ).model_dump()
        for image, one in zip(wish.images, headers, strict=True)
    ]
    done = {"uploads": uploads, "generation": generation and generation.model_dump(mode="json")}
    return answered(collection, _awaited([one for one in (edited, described) if one]), **done)


def _declared(collection: Collection, wish: Uploads, now: Timestamp) -> tuple[Edited | None, Declared | None]:
    if wish.generation is None:
        return None, None
    head = heads.load(runtime.store(), collection).head
    known = (one.generation_id for one in head.generations) if head else ()
    above = max((id_ for id_ in known if isinstance(id_, int)), default=0)
    wanted = Wanted.model_validate(wish.generation.model_dump())
    return edits.declare(runtime.store(), collection, wanted, now, above, patience(router.lambda_context))


def _described(
    collection: Collection, images: tuple[Image, ...], headers: list[Headers]
) -> tuple[Edited | None, Mapping[str, Mapping[str, JsonValue]]]:
    """Sets in the sidecar what did not fit into headers, and what it tells already: else that would count more."""
    told = edits.described(runtime.store(), collection, [image.filename for image in images])
    said: dict[str, dict[str, JsonValue]] = {}
    for image, one in zip(images, headers, strict=True):
        given = {"prompt": image.prompt, "local_path": image.local_path, "generated_at": image.generated_at}
        already = told.get(image.filename, {})
        fields: dict[str, JsonValue] = {name: value for name, value in given.items() if value and name in already}
        fields |= one.left
        if fields:
            said[image.filename] = fields
    return (edits.describe(runtime.store(), collection, said, patience(router.lambda_context)) if said else None), said


def _awaited(edited: list[Edited]) -> Awaited | None:
    """What a manifest has to show of all of these."""
    shown = [awaited_edit(one) for one in edited]
    return shown[0].model_copy(update={"also": tuple(shown[1:])}) if shown else None
