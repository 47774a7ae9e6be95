"""Which actor is meant: an actor is asked for by its full name, its padded number or its number.

``0042_european_30_male`` has the number 42, and so have ``0042``, ``42`` and ``42_male``. A full name is
looked up as it is; a number by a few listings of what begins with it, never of all actors.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection, Collections, Pattern
from s3_manifest.storage.heads import is_there
from s3_manifest.storage.store import Each, Present, Store

KIND = "actor"
"""The kind of collection whose ids are actors' names."""

MAX_WIDTH = 8
"""Numbers are found with so many digits at most, the zeros they are padded with included."""

_NAMED = 10
_NUMBER = re.compile(r"[0-9]{1,18}")
_NUMBERED = re.compile(r"([0-9]{1,18})(?:_.*)?", re.DOTALL)


class NoSuchActor(Exception):
    """There is no actor of that name or number; the text says so."""


class AmbiguousActor(Exception):
    """Several actors have the number that was asked for; the text names them."""


def is_number(asked: str) -> bool:
    """Whether an actor is asked for by a number, padded or not."""
    return _NUMBER.fullmatch(asked) is not None


def number_of(name: str) -> int | None:
    """The number of an actor: the digits its name is, or begins with before a ``_``. None where it has none."""
    found = _NUMBERED.fullmatch(name)
    return int(found[1]) if found else None


def spellings(asked: str) -> list[str]:
    """How the number that is asked for may be written: with any zeros before it, up to ``MAX_WIDTH`` digits."""
    plain = str(int(asked))
    return [plain.zfill(width) for width in range(len(plain), max(MAX_WIDTH, len(asked)) + 1)]


def meant(asked: str, names: Iterable[str]) -> list[str]:
    """Those of the names that a number may mean, sorted; one that is written just like it is meant alone."""
    found = sorted({name for name in names if number_of(name) == int(asked)})
    return [asked] if asked in found else found


def resolve(store: Store, collections: Collections, each: Each, asked: str) -> Collection:
    """The actor that is asked for. One asked for by the full name may be nowhere; a number means one that is.

    Raises ``NoSuchActor``, ``AmbiguousActor``, ``StoreError``.
    """
    pattern = next((pattern for pattern in collections.patterns if pattern.kind == KIND), None)
    if pattern is None:
        raise NoSuchActor("no collections of this deployment are of the kind actor: its setting Collections names none")
    collection = collections.named(KIND, asked)
    if collection is None:
        raise NoSuchActor(f"there can be no actor {asked}")
    # Most are asked for as they are written: one request instead of some.
    if not is_number(asked) or isinstance(store.head(collection.head_key), Present):
        return collection
    candidates = _found(store, collections, each, pattern, asked)
    if len(candidates) > 1:
        # A folder may be left of one that is gone.
        candidates = [one for one in candidates if is_there(store, collections, one)]
    if not candidates:
        raise NoSuchActor(f"there is no actor with the number {asked}")
    if len(candidates) > 1:
        names = [one.id for one in candidates[:_NAMED]] + (["…"] if len(candidates) > _NAMED else [])
        raise AmbiguousActor(
            f"several actors have the number {asked}; ask for one by its full name: {', '.join(names)}"
        )
    return candidates[0]


class _Place(NamedTuple):
    root: str
    spelling: str


def _found(store: Store, collections: Collections, each: Each, pattern: Pattern, asked: str) -> list[Collection]:
    """The actors with that number that have objects, or a folder below the manifest root."""
    roots = (pattern.before, collections.root + pattern.before)
    places = [_Place(root, spelling) for root in roots for spelling in spellings(asked)]
    names = [name for found in each(lambda place: _names(store, place), places) for name in found]
    return [one for name in meant(asked, names) if (one := collections.named(KIND, name))]


def _names(store: Store, place: _Place) -> list[str]:
    """The names at a place with that spelling of the number: one listing of one key where there are none."""
    begins = place.root + place.spelling
    if not store.list(begins, limit=1).keys:
        return []
    folders = store.folders(f"{begins}_", limit=_NAMED + 1).prefixes
    exact = store.list(f"{begins}/", limit=1).keys
    return [folder.removeprefix(place.root).removesuffix("/") for folder in folders] + [place.spelling] * len(exact)
