"""Edits of a collection's sidecars: read, change, compare-and-swap, as often as it takes.

So of any number of edits at once none is lost. The event that the write makes brings the manifest
up to date: nothing here writes one. An edit that changes nothing writes nothing.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from s3_manifest.edits import sidecar_json
from s3_manifest.manifest.collections import Collection
from s3_manifest.manifest.lenient_json import NotReadable, read_json
from s3_manifest.manifest.model import Frozen, Timestamp, first_problem
from s3_manifest.sidecars.formats import (
    COLLECTION,
    EDIT,
    NOTHING,
    PROMPTS,
    FileDescription,
    GenerationDeclaration,
    SidecarContent,
    edit_of,
    max_bytes,
    read_sidecar,
)
from s3_manifest.storage.store import Archived, Conflict, OutcomeUnknown, Store, Stored

_BACKOFF_SECONDS, _BACKOFF_CAP_SECONDS = 0.05, 1.0
# What one more attempt may take: it is not begun with less time left.
_ATTEMPT_SECONDS = 2.0
# What changes the fields of a sidecar; whether an attempt to write that may have succeeded unheard.
_Change = Callable[[dict[str, Any], bool], None]
# Raises ``InvalidEdit`` where these fields of a sidecar, written and read again, do not say what they should.
_Check = Callable[[dict[str, Any]], None]
_NOT_READ = "it would not be read as it is given, so nothing was written; give text, numbers and nesting that JSON has"


class UnreadableSidecar(Exception):
    """A sidecar that cannot be read is not written over; the text says what is wrong with it, and the mend."""


class InvalidEdit(ValueError):
    """What was to be written would not be read as it was meant; nothing was written. The text says which part."""


class SidecarTooLarge(Exception):
    """The sidecar would be larger than what is read of one; nothing was written."""


class TooManyConflicts(Exception):
    """So many others edit the same sidecar that time ran out; the edit was not seen to be made."""


class RetryPolicy(NamedTuple):
    """What waiting for one's turn takes; ``random`` is uniform in [0, 1), ``now_ms`` milliseconds since 1970."""

    sleep: Callable[[float], None]
    random: Callable[[], float]
    seconds_left: Callable[[], float]
    now_ms: Callable[[], int]


class SidecarEdit(NamedTuple):
    """A sidecar as it says what was wanted: its ``edit`` is greater than that of every edit before.

    ``attempts`` of writing it: 0 where it said so already.
    """

    s3_key: str
    etag: str
    edit: int
    attempts: int = 0


class Wanted(Frozen):
    """A generation to be declared. Without an id it gets one; what is None stays as it is declared already."""

    generation_id: int | str | None = None
    type: str = "declared"
    generated_at: Timestamp | None = None
    metadata: Mapping[str, JsonValue] | None = None


def read_descriptions(
    store: Store, collection: Collection, filenames: Iterable[str]
) -> Mapping[str, Mapping[str, JsonValue]]:
    """The fields of these files in ``prompt_metadata.json``. Raises ``UnreadableSidecar``, ``ReadFailed``."""
    key = collection.prefix + PROMPTS
    stored = _stored(store, key)
    fields = _decoded(key, stored.body) if stored else {}
    return {filename: _said_of(fields, key, filename) for filename in filenames if filename in fields}


def update_descriptions(
    store: Store,
    collection: Collection,
    said: Mapping[str, Mapping[str, JsonValue]],
    retry_policy: RetryPolicy,
    *,
    only_new: bool = False,
) -> SidecarEdit:
    """Sets fields of files, by filename, in ``prompt_metadata.json``; null takes a field out again.

    The fields are those of ``sidecars.Described``, already checked; what else the sidecar says stays
    as it is, with ``only_new`` every field that says something by then. A repeat changes nothing.
    Raises ``UnreadableSidecar``, ``InvalidEdit``, ``SidecarTooLarge``, ``TooManyConflicts``, ``StoreError``.
    """
    key = collection.prefix + PROMPTS
    made: dict[str, dict[str, JsonValue]] = {}

    def change(fields: dict[str, Any], _: bool) -> None:
        for filename, more in said.items():
            before = _said_of(fields, key, filename)
            stays = {name: value for name, value in before.items() if value is not None} if only_new else {}
            made[filename] = {name: value for name, value in more.items() if name not in stays}
            after = {name: value for name, value in {**before, **more, **stays}.items() if value is not None}
            # What is as it was stays in the form that its author gave it.
            if after != before:
                fields[filename] = after
            if not after:
                fields.pop(filename, None)

    def check(fields: dict[str, Any]) -> None:
        # Only these: to read what is said of all files takes seconds.
        written = {filename: fields[filename] for filename in said if filename in fields}
        files = _read(PROMPTS, written).files
        for filename, wanted in made.items():
            found = files.get(filename, NOTHING)
            for name, value in wanted.items():
                # What else is said is their authors' own affair.
                if name in FileDescription.model_fields and getattr(found, name) != _as_read(name, value):
                    raise InvalidEdit(f"{filename}.{name}: {_NOT_READ}")

    return _edit(store, key, change, check, retry_policy)


def remove_descriptions(
    store: Store, collection: Collection, said: Mapping[str, Mapping[str, JsonValue]], retry_policy: RetryPolicy
) -> SidecarEdit | None:
    """Takes out of ``prompt_metadata.json`` what it says of these files, where that is still what was ``said``.

    So what somebody says meanwhile of a new file of that name stays. None where there is nothing to
    take out; nothing is written then. Raises as ``update_descriptions``.
    """
    key = collection.prefix + PROMPTS
    found = False

    def change(fields: dict[str, Any], _: bool) -> None:
        nonlocal found
        gone = [name for name in said if name in fields and _said_of(fields, key, name) == said[name]]
        found = found or bool(gone)
        for filename in gone:
            del fields[filename]

    if not said:
        return None
    edited = _edit(store, key, change, None, retry_policy, numbers=False)
    return edited if found else None


def set_title(
    store: Store, collection: Collection, title: str | None, retry_policy: RetryPolicy, *, only_new: bool = False
) -> SidecarEdit:
    """Sets the collection's title in ``collection.json``; None takes it out.

    With ``only_new`` one that is there by then stays. Raises as ``update_descriptions``.
    """

    def change(fields: dict[str, Any], _: bool) -> None:
        if only_new and fields.get("title") is not None:
            return
        fields["title"] = title
        if title is None:
            del fields["title"]

    def check(fields: dict[str, Any]) -> None:
        if not only_new and _read(COLLECTION, fields).title != title:
            raise InvalidEdit(f"title: {_NOT_READ}")

    return _edit(store, collection.prefix + COLLECTION, change, check, retry_policy)


def declare_generation(
    store: Store, collection: Collection, wanted: Wanted, now: Timestamp, above: int, retry_policy: RetryPolicy
) -> tuple[SidecarEdit, GenerationDeclaration]:
    """Declares a generation in ``collection.json``, over what that says of the same id and type; as it is then.

    One without an id gets the number after the greatest that is declared, of any type, and after
    ``above``; one without a time was generated ``now``. With an id a repeat changes nothing. Raises as
    ``update_descriptions``.
    """
    key = collection.prefix + COLLECTION
    made: GenerationDeclaration | None = None
    written: dict[str, Any] = {}

    def change(fields: dict[str, Any], may_be_written: bool) -> None:
        nonlocal made, written
        known = _generations_in(fields, key)
        if may_be_written and written in known:
            return
        id_ = _next(known, above) if wanted.generation_id is None else wanted.generation_id
        same = [one for one in known if isinstance(one, dict) and _identity(one) == (id_, wanted.type)]
        before = same[0] if same else {}
        written, made = _over(before, wanted, id_, now, key)
        if written != before:
            fields["generations"] = [*(one for one in known if one not in same), written]

    def check(fields: dict[str, Any]) -> None:
        if made:
            _check_declared(fields, [made])

    edited = _edit(store, key, change, check, retry_policy)
    if made is None:
        raise AssertionError("an edit is tried at least once")
    return edited, made


def declare_generations(
    store: Store,
    collection: Collection,
    generations: Iterable[GenerationDeclaration],
    retry_policy: RetryPolicy,
    *,
    only_new: bool = False,
) -> SidecarEdit:
    """Declares generations in ``collection.json``, each in place of what that says of the same id and type.

    With ``only_new`` those that are declared by then stay. A repeat changes nothing. Raises as ``update_descriptions``.
    """
    key = collection.prefix + COLLECTION
    wanted = {(one.generation_id, one.type): one for one in generations}

    def change(fields: dict[str, Any], _: bool) -> None:
        known = _generations_in(fields, key)
        there = [_identity(one) if isinstance(one, dict) else None for one in known]
        new = {id_: one.model_dump() for id_, one in wanted.items() if not (only_new and id_ in there)}
        kept = [new.pop(identity, one) if identity else one for one, identity in zip(known, there, strict=True)]
        fields["generations"] = [*kept, *new.values()]

    def check(fields: dict[str, Any]) -> None:
        if not only_new:
            _check_declared(fields, wanted.values())

    return _edit(store, key, change, check, retry_policy)


def _generations_in(fields: Mapping[str, Any], key: str) -> list[Any]:
    known = fields.get("generations", [])
    if not isinstance(known, list):
        raise UnreadableSidecar(f"{key}: its generations are not a list; mend it")
    return known


def _over(
    before: Mapping[str, Any], wanted: Wanted, id_: int | str, now: Timestamp, key: str
) -> tuple[dict[str, Any], GenerationDeclaration]:
    """The generation as it is to be written, with what else is said of it, and as it is read then."""
    given = wanted.model_dump(exclude_none=True) | {"generation_id": id_}
    after = {"generated_at": now, "metadata": {}, **before, **given}
    known = {name: after[name] for name in GenerationDeclaration.model_fields if name in after}
    try:
        made = GenerationDeclaration.model_validate(read_json(_encoded(known)).value)
    except ValidationError as error:
        raise UnreadableSidecar(f"{key}: generation {wanted.type} {id_}: {first_problem(error)}; mend it") from error
    # Strangers write times in many forms; ours is the manifest's.
    return {**after, "generated_at": made.generated_at}, made


def _next(known: list[Any], above: int) -> int:
    ids = (one.get("generation_id") for one in known if isinstance(one, dict))
    return max([above, 0, *(id_ for id_ in ids if type(id_) is int)]) + 1


def _identity(generation: Mapping[str, Any]) -> tuple[Any, Any]:
    return generation.get("generation_id"), generation.get("type", "declared")


def _said_of(fields: Mapping[str, Any], key: str, filename: str) -> Mapping[str, JsonValue]:
    """What a sidecar says of one file, where a prompt alone is short for an object with that."""
    said = fields.get(filename, {})
    said = {"prompt": said} if isinstance(said, str) else said
    if not isinstance(said, dict):
        raise UnreadableSidecar(
            f"{key}: what it says of {filename} is neither an object nor a prompt; mend or delete it"
        )
    return said


def _edit(
    store: Store, key: str, change: _Change, check: _Check | None, retry_policy: RetryPolicy, *, numbers: bool = True
) -> SidecarEdit:
    """``numbers``: a sidecar that says already what is wanted, but was written by others, gets a number to wait for."""
    attempts, may_be_written = 0, False
    while True:
        stored = _stored(store, key)
        fields = _decoded(key, stored.body) if stored else {}
        number = (stored and edit_of(stored.metadata)) or 0
        before = _as_it_is(key, stored, fields)
        change(fields, may_be_written)
        body = _encoded(fields)
        if body == before and (stored is None or number or not numbers):
            return SidecarEdit(key, stored.etag if stored else "", number, attempts)
        if len(body) > (most := max_bytes(key.rpartition("/")[2])):
            raise SidecarTooLarge(f"{key}: it would have {len(body)} bytes; of more than {most} it is not read")
        _check(key, fields, body, check)
        edit = max(retry_policy.now_ms(), number + 1)
        attempts += 1
        try:
            etag = store.put(key, body, replaces=stored.etag if stored else None, metadata={EDIT: str(edit)})
        except (Conflict, OutcomeUnknown) as lost:
            may_be_written = may_be_written or isinstance(lost, OutcomeUnknown)
            pause = retry_policy.random() * min(_BACKOFF_CAP_SECONDS, _BACKOFF_SECONDS * 2 ** min(attempts, 10))
            if retry_policy.seconds_left() < pause + _ATTEMPT_SECONDS:
                raise TooManyConflicts(f"{key}: others kept changing it; try again") from lost
            retry_policy.sleep(pause)
            continue
        return SidecarEdit(key, etag, edit, attempts)


def _stored(store: Store, key: str) -> Stored | None:
    try:
        return store.get(key)
    except Archived as error:
        raise UnreadableSidecar(
            f"{key}: it is archived, so it cannot be edited; restore and copy it over itself, or delete it, and repeat"
        ) from error


def _encoded(fields: Mapping[str, Any]) -> bytes:
    try:
        return sidecar_json.encode(fields)
    except ValueError as error:
        raise InvalidEdit(f"it cannot be written as JSON: {error}") from error


def _decoded(key: str, body: bytes) -> dict[str, Any]:
    try:
        return sidecar_json.decode(body, most=max_bytes(key.rpartition("/")[2]))
    except NotReadable as error:
        raise UnreadableSidecar(f"{key}: {error}; mend or delete it") from error


def _as_it_is(key: str, stored: Stored | None, fields: Mapping[str, Any]) -> bytes:
    """A sidecar before it is edited, as it is written. Raises ``UnreadableSidecar`` where that cannot be."""
    try:
        return sidecar_json.encode(fields)
    except ValueError as error:
        where = sidecar_json.where(stored.body, max_bytes(key.rpartition("/")[2])) if stored else ""
        raise UnreadableSidecar(f"{key}: {error}, so it cannot be edited: {where}; mend or delete it") from error


def _read(name: str, fields: Mapping[str, Any]) -> SidecarContent:
    """What the reconciler will read of these fields."""
    return read_sidecar(name, _encoded(fields))


def _as_read(name: str, value: JsonValue) -> object:
    """A field as a reader has it: a time in our form, a list as a tuple. Raises ``InvalidEdit``."""
    try:
        return getattr(FileDescription.model_validate({name: value}), name)
    except ValidationError as error:
        raise InvalidEdit(first_problem(error)) from error


def _check_declared(fields: Mapping[str, Any], wanted: Iterable[GenerationDeclaration]) -> None:
    read = _read(COLLECTION, fields).generations
    for one in wanted:
        if one not in read:
            raise InvalidEdit(f"generation {one.type} {one.generation_id}: {_NOT_READ}")


def _check(key: str, fields: dict[str, Any], body: bytes, check: _Check | None) -> None:
    """Reads what is to be written as the reconciler will. Raises ``InvalidEdit``."""
    try:
        read_json(body, most=max_bytes(key.rpartition("/")[2]))
        if check:
            check(fields)
    except (NotReadable, InvalidEdit) as error:
        raise InvalidEdit(f"{key}: {error}") from error
