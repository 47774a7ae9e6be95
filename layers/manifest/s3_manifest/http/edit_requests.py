"""What the HTTP routes share that change what is in S3: what a path names, and how an answer tells what was done."""

import random
import time
from typing import Any
from urllib.parse import unquote

from aws_lambda_powertools.utilities.typing import LambdaContext

from s3_manifest.aws import runtime
from s3_manifest.aws.threads import each
from s3_manifest.edits.edits import RetryPolicy
from s3_manifest.http.web import Answer, json_answer, path_of, tags_of
from s3_manifest.manifest.collections import MAX_KEY_BYTES, Collection
from s3_manifest.manifest.model import Frozen
from s3_manifest.query import actors
from s3_manifest.query.change_token import ChangeToken, revision_reflecting
from s3_manifest.query.cursors import encode_cursor

WAIT_SECONDS = 20
"""How long a GET of the manifest that an answer refers to waits for what was done."""


class NoSuchCollection(Exception):
    """There can be no such collection, or there is nothing in it."""


class AmbiguousPath(Exception):
    """The path of a request may be the beginning of another object's name; nothing was changed."""


class ChangeResponse(Frozen):
    """Whether the manifest shows what was done. Until it does, ask for ``manifest``: that waits for it.

    ``revision`` is one that shows it, and null before; ``reflects`` a token for ``?reflects=``.
    """

    revision: int | None
    reflected: bool
    reflects: str | None
    manifest: str


def answered(collection: Collection, change_token: ChangeToken | None, **done: Any) -> Answer:  # noqa: ANN401  # any JSON
    """200: what was ``done``, and whether the manifest shows it already; mostly it does not yet."""
    revision = revision_reflecting(runtime.store(), each, collection, change_token) if change_token else None
    token = encode_cursor(change_token) if change_token else None
    awaits = {"reflects": token, "wait": WAIT_SECONDS} if token else {}
    manifest = path_of(collection, awaits)
    reflection = {"revision": revision, "reflected": revision is not None, "reflects": token, "manifest": manifest}
    return json_answer(200, done | reflection)


def retry_policy(context: LambdaContext) -> RetryPolicy:
    """As much as is left of an invocation."""
    return RetryPolicy(
        sleep=time.sleep,
        random=random.random,
        seconds_left=lambda: context.get_remaining_time_in_millis() / 1000,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )


def etags(header: str | None) -> frozenset[str]:
    """Those that ``If-Match`` names; none where any object will do. No object has an empty one."""
    tags = frozenset(tags_of(header))
    return frozenset() if "*" in tags else tags


def actor_of(asked: str) -> Collection:
    """The actor that a path names, by its name or number. Raises as ``actors.resolve``."""
    return actors.resolve(runtime.store(), runtime.collections(), each, unquote(asked))


def collection_of(kind: str, collection_id: str) -> Collection:
    """The collection that a path names. Raises ``IdTooLong``, ``NoSuchCollection``."""
    kind, collection_id = unquote(kind), unquote(collection_id)
    runtime.collections().check_id(kind, collection_id)
    if collection := runtime.collections().named(kind, collection_id):
        return collection
    raise NoSuchCollection(f"there can be no collection {kind} {collection_id}")


def check_not_cut_off(key: str) -> None:
    """Raises ``AmbiguousPath`` where a path that names ``key`` may be another one's, cut off at its ``?``.

    An HTTP API decodes a path, and cuts it off at what is then a question mark.
    """
    if len(key.encode()) >= MAX_KEY_BYTES:
        return
    if found := runtime.store().list(f"{key}?", limit=1).keys:
        raise AmbiguousPath(
            f"path: it may be that of {found[0]}, which a gateway cuts off at the '?'; name the object in the query"
            " (?filename=…; '-' in the place of the id, and ?id=…)"
        )
