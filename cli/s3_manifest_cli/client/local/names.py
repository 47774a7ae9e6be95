"""Which filenames of a manifest can be files on this machine, and the reason for each other one. Pure.

Filenames are untrusted: anybody who may upload chooses them. Refused everywhere are names that are not a plain path
below a folder (absolute, ``..``, ``.``, empty components, backslashes), control characters, names that are not UTF-8 or
too long, and names in the client's own working folder. Characters, devices and endings that Windows does not allow, and
names that differ only in case or Unicode form, are refused only where the ``FileSystem`` requires it.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping

from s3_manifest.manifest.filenames import IGNORABLE, WORKING_FOLDER, filename_problem, parent_folders
from s3_manifest_cli.client.local.file_system import FileSystem

_DEVICES = r"(?:con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3]|conin\$|conout\$)"
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICE = re.compile(rf"{_DEVICES} *(?:\..*)?", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:")
_SHORT_WORKING = re.compile(r"s3[^/~]{0,4}~\d+", re.IGNORECASE)
_RENAME = "rename the object in S3"


def invalid_names(filenames: Iterable[str], *, file_system: FileSystem) -> Mapping[str, str]:
    """The filenames that cannot be files there, each with the reason and the remedy.

    Of names that conflict, all are refused, so that no file replaces another and the order of names does not matter: a
    file and a folder of the same name, and files or folders whose names the file system treats as the same.
    """
    names = frozenset(filenames)
    invalid = {name: reason for name in names if (reason := invalid_name_reason(name, file_system))}
    invalid.update(_conflicts(names - invalid.keys() if invalid else names, file_system))
    return invalid


def invalid_upload_names(
    uploads: Iterable[str], remaining: Iterable[str], *, file_system: FileSystem, detect: Callable[[], FileSystem]
) -> Mapping[str, str]:
    """The filenames that must not be stored in S3, each with reason and remedy, because a pull here would refuse them.

    ``remaining`` are the other filenames that will be in S3. ``detect`` returns which names the folder's file system
    treats as the same; it is called only if that matters.
    """
    folding = file_system._replace(ignores_case=True, ignores_unicode_form=True)

    def top(name: str) -> str:
        return normalize_name(name.partition("/")[0], folding)

    names = frozenset(uploads)
    tops = frozenset(map(top, names))
    neighbours = names.union(name for name in remaining if top(name) in tops)
    invalid = invalid_names(neighbours, file_system=file_system)
    if invalid_names(neighbours, file_system=folding).keys() - invalid.keys():
        invalid = invalid_names(neighbours, file_system=detect())
    return {name: invalid[name].replace(_RENAME, "rename the file") for name in names if name in invalid}


def invalid_name_reason(filename: str, file_system: FileSystem) -> str | None:
    """Why this filename by itself cannot be a file there, and the remedy; None if it can."""
    if reason := filename_problem(filename, file_system.max_name_bytes):
        return f"{reason}; {_RENAME}"
    if len(filename) > file_system.max_path_bytes // 4 and len(filename.encode()) > file_system.max_path_bytes:
        return (
            f"its path would be too long (below this folder it may have {file_system.max_path_bytes} bytes); "
            f"choose a folder with a shorter path, or {_RENAME}"
        )
    if file_system.windows_names and _may_break_windows_rules(filename):
        return _windows_reason(filename)
    return None


def normalize_name(filename: str, file_system: FileSystem) -> str:
    """A text that is equal for all filenames that the file system treats as the same.

    It may be equal for a few more, as each file system has its own tables.
    """
    if filename.isascii():
        return filename.lower() if file_system.ignores_case else filename
    if file_system.ignores_unicode_form:
        filename = unicodedata.normalize("NFD", IGNORABLE.sub("", filename))
    if file_system.ignores_case:
        # Upper case first: some file systems compare that, and there a dotless i is an i.
        filename = filename.upper().casefold()
    return unicodedata.normalize("NFD", filename) if file_system.ignores_unicode_form else filename


def _may_break_windows_rules(filename: str) -> bool:
    """A quick test that most names pass."""
    if _FORBIDDEN.search(filename) or filename[-1] in ". " or "./" in filename or " /" in filename or "~" in filename:
        return True
    lower = filename.lower()
    return any(device in lower for device in ("con", "prn", "aux", "nul", "com", "lpt"))


def _windows_reason(filename: str) -> str | None:
    if _DRIVE.match(filename):
        return f"it begins with a drive letter of Windows; {_RENAME}"
    if forbidden := _FORBIDDEN.search(filename):
        return f"it holds {forbidden[0]}, which Windows and some disks do not allow; {_RENAME}"
    for part in filename.split("/"):
        if part.endswith((".", " ")):
            return f"a component of it ends in a dot or a space, which Windows cuts off; {_RENAME}"
        if _DEVICE.fullmatch(part):
            return f"{part!r} is the name of a device on Windows; {_RENAME}"
    if _SHORT_WORKING.fullmatch(filename.partition("/")[0]):
        return f"it may be the short name of {WORKING_FOLDER}, the client's own working folder; {_RENAME}"
    return None


def _conflicts(filenames: frozenset[str], file_system: FileSystem) -> Iterator[tuple[str, str]]:
    """The filenames that conflict with others, each with the reason; that of a folder counts for each file below it."""
    folders = {f"{folder}/" for name in filenames for folder in parent_folders(name)}
    groups: dict[str, list[str]] = {}
    for path in (*filenames, *folders):
        groups.setdefault(normalize_name(path.removesuffix("/"), file_system), []).append(path)
    reasons = {
        path: _conflict_reason(path, spellings)
        for spellings in groups.values()
        if len(spellings) > 1
        for path in spellings
    }
    for name in filenames if reasons else ():
        for path in (name, *(f"{folder}/" for folder in parent_folders(name))):
            if path in reasons:
                yield name, reasons[path]


def _conflict_reason(path: str, spellings: Iterable[str]) -> str:
    """Why this file, or folder with a ``/`` at its end, conflicts with another one of the same name."""
    others = [spelling for spelling in spellings if spelling != path]
    other = min(others, key=lambda spelling: (spelling.endswith("/"), spelling))
    if path.endswith("/") == other.endswith("/"):
        return f"{path!r} and {other!r} are the same name on this disk; rename one in S3"
    return f"{path!r} and {other!r} cannot both exist, a file and a folder of one name; rename one in S3"
