"""Actors by name or number: ``0042_european_30_male`` is also actor ``0042`` and actor ``42``.

A full name is looked up directly. A number is found with a few listings by prefix, never by listing all actors.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import chain, product

from s3_manifest.manifest.collections import Collection, Collections, Pattern
from s3_manifest.storage.heads import exists
from s3_manifest.storage.store import ParallelMap, Present, Store

KIND = "actor"
"""The kind of collection whose ids are names of actors."""

MAX_WIDTH = 8
"""Numbers are found with at most this many digits, including zeros before them."""

_MAX_NAMES = 10
_NUMBER = re.compile(r"[0-9]{1,18}")
_NUMBERED = re.compile(r"([0-9]{1,18})(?:_.*)?", re.DOTALL)


class NoSuchActor(Exception):
    """No actor has this name or number."""


class AmbiguousActor(Exception):
    """Several actors have this number; the text names them."""


def is_number(name: str) -> bool:
    """Whether this is the number of an actor, with or without zeros before it."""
    return _NUMBER.fullmatch(name) is not None


def number_of(name: str) -> int | None:
    """The number of an actor: its name, or the digits before the first ``_``. None where there is none."""
    match = _NUMBERED.fullmatch(name)
    return int(match[1]) if match else None


def padded_numbers(number: str) -> list[str]:
    """The number with any zeros before it, up to ``MAX_WIDTH`` digits."""
    digits = str(int(number))
    return [digits.zfill(width) for width in range(len(digits), max(MAX_WIDTH, len(number)) + 1)]


def names_with_number(number: str, names: Iterable[str]) -> list[str]:
    """The names that have this number, sorted; only the name that is exactly this text, if it is among them."""
    matching = sorted({name for name in names if number_of(name) == int(number)})
    return [number] if number in matching else matching


def resolve(stores: Mapping[str, Store], collections: Collections, parallel_map: ParallelMap, name: str) -> Collection:
    """The actor with this full name, whether or not it exists, or with this number.

    Raises ``NoSuchActor``, ``AmbiguousActor``, ``StoreError``.
    """
    pattern = next((pattern for pattern in collections.patterns if pattern.kind == KIND), None)
    if pattern is None:
        raise NoSuchActor("this deployment has no actors: its parameter Collections has no pattern of kind actor")
    collection = collections.lookup(KIND, name)
    if collection is None:
        raise NoSuchActor(f"{name} cannot be an actor")
    store = stores[collection.bucket]
    # Most requests give the exact name; one request confirms that.
    if not is_number(name) or isinstance(store.head(collection.head_key), Present):
        return collection
    actors = _with_number(store, collections, parallel_map, pattern, name)
    if len(actors) > 1:
        # The folder of a deleted actor may remain.
        actors = [actor for actor in actors if exists(store, collections, actor)]
    if not actors:
        raise NoSuchActor(f"no actor has the number {name}")
    if len(actors) > 1:
        names = [actor.id for actor in actors[:_MAX_NAMES]] + (["…"] if len(actors) > _MAX_NAMES else [])
        raise AmbiguousActor(f"several actors have the number {name}. Use one of their full names: {', '.join(names)}")
    return actors[0]


def _with_number(
    store: Store, collections: Collections, parallel_map: ParallelMap, pattern: Pattern, number: str
) -> list[Collection]:
    """The actors with that number that have objects, or a folder below the manifest root."""

    def names_below(place: tuple[str, str]) -> list[str]:
        """The names below a root that begin with the number; one listing of one key where there are none."""
        root, padded = place
        prefix = root + padded
        if not store.list(prefix, limit=1).keys:
            return []
        folders = store.folders(f"{prefix}_", limit=_MAX_NAMES + 1).prefixes
        exact = store.list(f"{prefix}/", limit=1).keys
        return [folder.removeprefix(root).removesuffix("/") for folder in folders] + [padded] * len(exact)

    places = product((pattern.before, collections.root + pattern.before), padded_numbers(number))
    names = chain.from_iterable(parallel_map(names_below, places))
    return [actor for name in names_with_number(number, names) if (actor := collections.lookup(KIND, name))]
