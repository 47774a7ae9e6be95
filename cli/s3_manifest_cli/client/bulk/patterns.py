"""What the user writes for many collections: a pattern such as ``actor/*``, and a path with ``{id}``."""

import re

EVERY_COLLECTION = "*/*"
"""The pattern of all collections."""

ID, KIND = "{id}", "{kind}"
"""The placeholders in the path of a file or folder."""

_WILDCARD = re.compile(r"[*?\[]")


def is_pattern(name: str) -> bool:
    """Whether a name of collections has wildcards: ``*``, ``?`` or ``[…]``."""
    return _WILDCARD.search(name) is not None


def parse_names(text: str) -> list[str]:
    """The names and patterns of a list: one per line, without blank lines and comments, which begin with ``#``.

    Only LF and CRLF end a line: in an id, other characters that ``splitlines`` ends one at would begin another name.
    """
    lines = (line.strip(" \t\r") for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]
