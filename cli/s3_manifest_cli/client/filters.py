"""Which files of a collection are meant, by patterns of their names."""

import re
from collections.abc import Callable
from fnmatch import translate
from typing import NamedTuple


class Filter(NamedTuple):
    """Files that match one of ``include`` (all, if there is none), and none of ``exclude``.

    Patterns are as ``glob=`` of the HTTP API has them: of the whole path below the prefix, case counts, and ``*``
    stands for slashes too.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def compiled(self) -> Callable[[str], bool]:
        """Whether a file of that name is meant."""
        include, exclude = _pattern(self.include), _pattern(self.exclude)
        return lambda name: (not include or bool(include.match(name))) and not (exclude and exclude.match(name))


EVERYTHING = Filter()


def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(translate, patterns))) if patterns else None
