"""What to tell a user who asks for a manifest before there is one: commands that work when they are pasted."""

import shlex
from collections.abc import Mapping
from typing import NamedTuple

from s3_manifest.manifest.collections import Collection
from s3_manifest_cli.errors import NotFound


class Connection(NamedTuple):
    """How a deployment was reached: ``options`` are those of another command that is to reach it too.

    ``bucket`` is None where nobody named it. ``can_rescan``: whether these options are enough to ask for a sweep.
    """

    bucket: str | None = None
    options: Mapping[str, str] = {}
    can_rescan: bool = False


def no_manifest_error(collection: Collection, reached: Connection) -> NotFound:
    """That a collection has no manifest yet, and both ways in which it gets one."""
    name = f"{collection.kind}/{collection.id}"
    place = f"s3://{reached.bucket}/{collection.prefix}" if reached.bucket else f"{collection.prefix} in its bucket"
    options = reached.options if reached.can_rescan else _named_stack(reached.options)
    words = ["s3-manifest", "rescan", shlex.quote(name)]
    words += [word for option, value in options.items() for word in (option, shlex.quote(value))]
    command, mark = " ".join(words), "'"
    if mark in command:  # an id may hold anything, and what is between the marks is pasted
        mark = "`"
    return NotFound(
        f"{name} has no manifest yet.", remedy=f"Upload something to {place}, or run {mark}{command}{mark}."
    )


def _named_stack(options: Mapping[str, str]) -> Mapping[str, str]:
    """Only the stack knows where to ask for a sweep, and nobody has named it."""
    kept = {"--endpoint-url", "--profile", "--region"}
    return {"--stack": "NAME"} | {option: value for option, value in options.items() if option in kept}
