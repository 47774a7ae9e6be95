"""Include and exclude patterns by the rules of ``.gitignore``, which select files of a folder or a collection.

The rules are git's (https://git-scm.com/docs/gitignore#_pattern_format), applied by the library pathspec:

- ``*.png`` matches at any depth; a pattern with a slash before its end (``/a.png``, ``deep/*``) starts at the top.
- ``*`` and ``?`` do not match ``/``; ``**`` matches any number of folders, including none.
- ``sub/`` matches folders only. A pattern that matches a folder matches everything below it.
- ``!`` before a pattern excludes what an earlier pattern of the same option matched.

They differ from lines of a file in three ways: ``#`` starts no comment, a space at the end counts, and a pattern that
cannot match anything is an error. Case counts. Patterns and filenames are compared in Unicode form NFC, so that an
``ä`` matches however a system encodes it.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from s3_manifest_cli.errors import Invalid, NotFound

if TYPE_CHECKING:
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    from s3_manifest_cli.client.local.scan import Problem


class Filter(NamedTuple):
    """Selects files that match ``include`` (or any file if that is empty) and do not match ``exclude``.

    Filenames are paths below the folder or the prefix, with ``/``. All methods raise ``Invalid`` for a pattern that
    cannot match anything.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def predicate(self) -> Callable[[str], bool]:
        """A function that tests whether the filter selects a filename."""
        included = _matcher("--include", self.include, default=True)
        excluded = _matcher("--exclude", self.exclude, default=False)
        return lambda filename: included(name := _comparable(filename)) and not excluded(name)

    def select_problems(self, problems: "Iterable[Problem]") -> "list[Problem]":
        """The problems that may affect selected files: a skipped folder may hold some, whatever its name."""
        selects, excluded = self.predicate(), _matcher("--exclude", self.exclude, default=False)

        def may_select(path: str) -> bool:
            return not excluded(_comparable(path + _ANY_NAME)) if path.endswith("/") else selects(path)

        return [problem for problem in problems if may_select(problem.path)]

    def unmatched(self, filenames: Collection[str]) -> tuple[str, ...]:
        """The options that match none of these filenames, as the user wrote them.

        Raises ``NotFound`` if there are include patterns that all match nothing, which is hardly intended.
        """
        if self == EVERYTHING:
            return ()
        comparable = [_comparable(filename) for filename in filenames]
        includes, excludes = (
            [_as_option(option, text) for text in texts if not any(map(_pattern(option, text).match_file, comparable))]
            for option, texts in (("--include", self.include), ("--exclude", self.exclude))
        )
        if includes and len(includes) == len(self.include):
            raise NotFound(
                f"No file in the folder or in S3 matches {' or '.join(includes)}.",
                remedy="Patterns follow the rules of .gitignore: '*.png' matches at any depth, 'sub/' a folder,"
                " '/a.png' only at the top, and case counts.",
            )
        return (*includes, *excludes)


EVERYTHING = Filter()

_ANY_NAME = "\0"
"""Stands for an unknown filename. No pattern contains it, because no program argument can."""


def _comparable(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    # Some regular expressions of the library stop at a line break, which no line of a .gitignore contains.
    return text.replace("\n", "\0")


def _matcher(option: str, patterns: Iterable[str], *, default: bool) -> Callable[[str], bool]:
    """A function that tests whether a name matches; ``default`` without patterns."""
    if not (predicate := [_pattern(option, text) for text in patterns]):
        return lambda _: default
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  # most runs have no filters

    return GitIgnoreSpec(predicate).match_file


def _pattern(option: str, text: str) -> "GitIgnoreSpecPattern":
    from pathspec.patterns.gitignore import GitIgnorePatternError  # noqa: PLC0415  # most runs have no filters
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern  # noqa: PLC0415  # as above

    line = _comparable(text)
    if line.startswith("#"):
        line = f"\\{line}"
    if line != line.rstrip() and not line.endswith("\\ "):
        line = f"{line[:-1]}[{line[-1]}]"
    try:
        pattern = GitIgnoreSpecPattern(line)
    except GitIgnorePatternError as error:
        raise Invalid(
            f"{_as_option(option, text)} is not a valid pattern.",
            remedy="A backslash or an '!' must precede a character.",
        ) from error
    if pattern.include is None:
        raise Invalid(
            f"{_as_option(option, text)} cannot match any file.", remedy="Write a name, '*.png', or 'folder/'."
        )
    return pattern


def _as_option(option: str, text: str) -> str:
    return f"{option} {text!r}"
