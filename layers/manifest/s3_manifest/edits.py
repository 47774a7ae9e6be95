"""Edits of a collection's sidecars: read, change, compare-and-swap, as often as it takes.

So of any number of edits at once none is lost. The event that the write makes brings the manifest
up to date: nothing here writes one.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import JsonValue, TypeAdapter, ValidationError

from s3_manifest.collections import Collection
from s3_manifest.model import first_problem
from s3_manifest.sidecars import COLLECTION, EDIT, PROMPTS, Declared, edit_of, max_bytes
from s3_manifest.store import Conflict, OutcomeUnknown, Store

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.05, 1.0
_OBJECT: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


class SidecarBroken(Exception):
    """A sidecar that cannot be read is not written over; the text says what is wrong with it, and the mend."""


class Busy(Exception):
    """So many others edit the same sidecar that time ran out; nothing was written."""


class Patience(NamedTuple):
    """What waiting for one's turn takes; ``random`` is uniform in [0, 1), ``now_ms`` milliseconds since 1970."""

    sleep: Callable[[float], None]
    random: Callable[[], float]
    seconds_left: Callable[[], float]
    now_ms: Callable[[], int]


class Edited(NamedTuple):
    """A sidecar as it was written: its ``edit`` is greater than that of every edit before."""

    s3_key: str
    etag: str
    edit: int


def describe(
    store: Store,
    collection: Collection,
    said: Mapping[str, Mapping[str, JsonValue]],
    patience: Patience,
    *,
    only_new: bool = False,
) -> Edited:
    """Sets fields of files, by filename, in ``prompt_metadata.json``; null takes a field out again.

    The fields are those of ``sidecars.Described``, already checked; what else the sidecar says stays
    as it is, with ``only_new`` every field that says something by then. A repeat changes nothing.
    Raises ``SidecarBroken``, ``Busy``, ``StoreError``.
    """

    def change(fields: dict[str, Any]) -> None:
        for filename, more in said.items():
            before = fields.get(filename, {})
            before = {"prompt": before} if isinstance(before, str) else before
            if not isinstance(before, dict):
                raise SidecarBroken(f"what it says of {filename} is neither an object nor a prompt; mend or delete it")
            stays = {name: value for name, value in before.items() if value is not None} if only_new else {}
            after = {name: value for name, value in {**before, **more, **stays}.items() if value is not None}
            if after:
                fields[filename] = after
            else:
                fields.pop(filename, None)

    return _edit(store, collection.prefix + PROMPTS, change, patience)


def forget(store: Store, collection: Collection, filenames: frozenset[str], patience: Patience) -> Edited:
    """Takes all that ``prompt_metadata.json`` says of these files out of it. Raises as ``describe``."""

    def change(fields: dict[str, Any]) -> None:
        for filename in filenames & fields.keys():
            del fields[filename]

    return _edit(store, collection.prefix + PROMPTS, change, patience)


def retitle(
    store: Store, collection: Collection, title: str | None, patience: Patience, *, only_new: bool = False
) -> Edited:
    """Sets the collection's title in ``collection.json``; None takes it out.

    With ``only_new`` one that is there by then stays. Raises as ``describe``.
    """

    def change(fields: dict[str, Any]) -> None:
        if only_new and fields.get("title") is not None:
            return
        fields["title"] = title
        if title is None:
            del fields["title"]

    return _edit(store, collection.prefix + COLLECTION, change, patience)


def declare(
    store: Store, collection: Collection, generations: Iterable[Declared], patience: Patience, *, only_new: bool = False
) -> Edited:
    """Declares generations in ``collection.json``, each in place of what it says of the same id and type.

    With ``only_new`` those that are declared by then stay. Raises as ``describe``.
    """
    wanted = {(one.generation_id, one.type): one.model_dump(mode="json") for one in generations}

    def change(fields: dict[str, Any]) -> None:
        known = fields.get("generations", [])
        if not isinstance(known, list):
            raise SidecarBroken("its generations are not a list; mend it")
        there = [_identity(one) if isinstance(one, dict) else None for one in known]
        new = {identity: one for identity, one in wanted.items() if not (only_new and identity in there)}
        others = [one for one, identity in zip(known, there, strict=True) if identity not in new]
        fields["generations"] = [*others, *new.values()]

    return _edit(store, collection.prefix + COLLECTION, change, patience)


def _identity(generation: Mapping[str, Any]) -> tuple[Any, Any]:
    return generation.get("generation_id"), generation.get("type", "declared")


def _edit(store: Store, key: str, change: Callable[[dict[str, Any]], None], patience: Patience) -> Edited:
    lost_in_a_row = 0
    while True:
        stored = store.get(key)
        fields = _decoded(key, stored.body) if stored else {}
        try:
            change(fields)
        except SidecarBroken as broken:
            raise SidecarBroken(f"{key}: {broken}") from broken
        body = json.dumps(fields, ensure_ascii=False, indent=1).encode()
        if len(body) > (most := max_bytes(key.rpartition("/")[2])):
            raise SidecarBroken(f"{key}: it would have {len(body)} bytes; of more than {most} it is not read")
        edit = max(patience.now_ms(), ((stored and edit_of(stored.metadata)) or 0) + 1)
        try:
            etag = store.put(key, body, replaces=stored.etag if stored else None, metadata={EDIT: str(edit)})
        except (Conflict, OutcomeUnknown) as lost:
            lost_in_a_row += 1
            pause = patience.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2 ** min(lost_in_a_row, 10))
            if patience.seconds_left() < pause + 1:
                raise Busy(f"{key}: others kept changing it; try again") from lost
            patience.sleep(pause)
            continue
        return Edited(key, etag, edit)


def _decoded(key: str, body: bytes) -> dict[str, Any]:
    try:
        return _OBJECT.validate_json(body)
    except ValidationError as error:
        raise SidecarBroken(f"{key}: {first_problem(error)}; mend or delete it") from error
