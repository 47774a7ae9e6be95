"""Which filenames of a manifest may be files below a folder of this machine, and why others may not. Pure.

Whoever may upload chooses them. Refused everywhere: what is no plain path below a folder (absolute, ``..``,
``.``, empty components, backslashes), control characters, what is not UTF-8, what is too long, and what
lies in the client's own working folder. Refused only where the disk cannot hold it, or where a copy is to
be carried anywhere (``FileSystem.portable``): characters, devices and endings that Windows does not allow,
and names that differ only in case or in Unicode form. So a disk of Linux holds ``a:b?.png`` and ``con``.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, Self

from s3_manifest.manifest.filenames import IGNORED, MAX_NAME_BYTES, WORKING, above, unusable

MAX_PATH_BYTES = 4095


class FileSystem(NamedTuple):
    """What a file system does with names.

    ``ignores_case`` and ``ignores_unicode_form``: it takes names for one that differ only in case, or only in Unicode
    form (NFC, NFD). ``windows_names``: it holds only names that Windows allows. ``max_path_bytes`` is of
    the filename, without the folder that it lies below.
    """

    ignores_case: bool = False
    ignores_unicode_form: bool = False
    windows_names: bool = False
    max_name_bytes: int = MAX_NAME_BYTES
    max_path_bytes: int = MAX_PATH_BYTES

    def portable(self) -> Self:
        """The same, refusing also what any usual file system refuses: for a copy that is carried on."""
        return self._replace(ignores_case=True, ignores_unicode_form=True, windows_names=True)


_DEVICES = r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)"
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(rf"{_DEVICES} *(?:\..*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_SHORT_WORKING = re.compile(r"s3[^/~]{0,4}~\d+", re.IGNORECASE)
_RENAME = "rename the object in S3"


def invalid_names(filenames: Iterable[str], *, file_system: FileSystem) -> Mapping[str, str]:
    """Why each filename that may not be a file there may not, and the mend; the others are not in it.

    Names that would be in each other's way are refused all, so that the order of the names does not
    matter and no file replaces another: a file beside a folder of its name, and, where the file system
    takes them for one, files, or the folders that files lie in, whose names differ only in case or form.
    """
    names = frozenset(filenames)
    refused = {name: reason for name in names if (reason := invalid_name_reason(name, file_system))}
    good = names - refused.keys() if refused else names
    refused.update(_clashes(good, file_system))
    return refused


def invalid_upload_names(
    uploads: Iterable[str], there: Iterable[str], *, file_system: FileSystem, folds: Callable[[], FileSystem]
) -> Mapping[str, str]:
    """Why each filename that may not be stored in S3 may not, and the mend: a pull to this machine would refuse it.

    ``there`` are the filenames that are in S3 afterwards, besides. ``folds`` tells which names the folder's file
    system takes for one; it is asked only where that matters.
    """
    folding = file_system._replace(ignores_case=True, ignores_unicode_form=True)

    def top(name: str) -> str:
        return normalize_name(name.partition("/")[0], folding)

    names = frozenset(uploads)
    tops = frozenset(map(top, names))
    near = names.union(name for name in there if top(name) in tops)
    refused = invalid_names(near, file_system=file_system)
    if invalid_names(near, file_system=folding).keys() - refused.keys():
        refused = invalid_names(near, file_system=folds())
    return {name: refused[name].replace(_RENAME, "rename the file") for name in names if name in refused}


def invalid_name_reason(filename: str, file_system: FileSystem) -> str | None:
    """Why this filename, for itself, may not be a file there, and the mend; None where it may be."""
    if reason := unusable(filename, file_system.max_name_bytes):
        return f"{reason}; {_RENAME}"
    if len(filename) > file_system.max_path_bytes // 4 and len(filename.encode()) > file_system.max_path_bytes:
        return (
            f"its path would be too long (below this folder it may have {file_system.max_path_bytes} bytes); "
            f"choose a folder with a shorter path, or {_RENAME}"
        )
    if file_system.windows_names and _may_not_be_for_windows(filename):
        return _not_for_windows(filename)
    return None


def normalize_name(filename: str, file_system: FileSystem) -> str:
    """The same text for all filenames that the file system takes for one.

    It may also be the same for some that a certain file system tells apart: each has tables of its own.
    """
    if filename.isascii():
        return filename.lower() if file_system.ignores_case else filename
    if file_system.ignores_unicode_form:
        filename = unicodedata.normalize("NFD", IGNORED.sub("", filename))
    if file_system.ignores_case:
        # Upper case first: some file systems compare that, and there a dotless i is an i.
        filename = filename.upper().casefold()
    return unicodedata.normalize("NFD", filename) if file_system.ignores_unicode_form else filename


def _may_not_be_for_windows(filename: str) -> bool:
    if _FORBIDDEN.search(filename) or filename[-1] in ". " or "./" in filename or " /" in filename or "~" in filename:
        return True
    lower = filename.lower()
    return any(device in lower for device in ("con", "prn", "aux", "nul", "com", "lpt"))


def _not_for_windows(filename: str) -> str | None:
    if _DRIVE.match(filename):
        return f"it begins with a drive letter of Windows; {_RENAME}"
    if found := _FORBIDDEN.search(filename):
        return f"it holds {found[0]}, which Windows and some disks do not allow; {_RENAME}"
    for part in filename.split("/"):
        if part.endswith((".", " ")):
            return f"a component of it ends in a dot or a space, which Windows cuts off; {_RENAME}"
        if _DEVICE.fullmatch(part):
            return f"{part!r} is the name of a device on Windows; {_RENAME}"
    if _SHORT_WORKING.fullmatch(filename.partition("/")[0]):
        return f"it may be the short name of {WORKING}, the client's own working folder; {_RENAME}"
    return None


def _clashes(filenames: frozenset[str], file_system: FileSystem) -> Iterator[tuple[str, str]]:
    """The filenames that are in each other's way, each with the reason."""
    files = _spellings(filenames, file_system)
    folders = _spellings(_folders(filenames), file_system)
    in_the_way: dict[str, str] = {}
    for ways in folders.values():
        if len(ways) > 1:
            in_the_way.update((folder, _alike(f"{folder}/", (f"{way}/" for way in ways))) for folder in ways)
    for key in folders.keys() & files.keys():
        in_the_way.update((folder, _beside(f"{folder}/", min(files[key]))) for folder in folders[key])
        yield from ((name, _beside(name, f"{min(folders[key])}/")) for name in files[key])
    for ways in files.values():
        if len(ways) > 1:
            yield from ((name, _alike(name, ways)) for name in ways)
    if in_the_way:
        for name in filenames:
            yield from ((name, in_the_way[folder]) for folder in above(name) if folder in in_the_way)


def _spellings(paths: Iterable[str], file_system: FileSystem) -> Mapping[str, list[str]]:
    """The paths, grouped by what the file system takes for one."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(normalize_name(path, file_system), []).append(path)
    return found


def _folders(filenames: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in filenames:
        for folder in above(name):
            if folder in found:
                break
            found.add(folder)
    return found


def _alike(name: str, names: Iterable[str]) -> str:
    other = min(one for one in names if one != name)
    return f"{name!r} and {other!r} are one name to this disk, and neither may replace the other; rename one in S3"


def _beside(name: str, other: str) -> str:
    return f"{name!r} and {other!r} cannot both be there, a file and a folder of one name; rename one in S3"
