"""A folder beside a manifest: what each file is to the other. Pure; by MD5s, never by sizes or times alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Literal, NamedTuple, Protocol, get_args

from s3_manifest_cli.client.digests import Verdict
from s3_manifest_cli.client.manifests import RemoteFile
from s3_manifest_cli.client.scan import Local

FileState = Literal["synced", "local_only", "s3_only", "out_of_sync", "unverifiable"]
"""``out_of_sync``: both have it, with other bytes. ``unverifiable``: both do, and what the manifest says proves neither
that the bytes are the same, nor that they are not; or the file here could not be read."""

STATES: tuple[FileState, ...] = get_args(FileState)


class Compared(NamedTuple):
    """One file, as both sides have it; ``why`` says what stood in the way of telling."""

    filename: str
    state: FileState
    local: Local | None
    remote: RemoteFile | None
    why: str | None = None


def undecided(local: Mapping[str, Local], remote: Iterable[RemoteFile]) -> list[tuple[Local, RemoteFile]]:
    """The files whose bytes must be known: those that both sides have with the same size."""
    return [(here, there) for there in remote if (here := local.get(there.filename)) and here.size == there.size]


def compare(
    local: Mapping[str, Local],
    remote: Iterable[RemoteFile],
    verdicts: Mapping[str, Verdict],
    is_meant: Callable[[str], bool],
) -> list[Compared]:
    """Every file that is meant, by name.

    ``verdicts`` tells of each of the ``undecided`` whether the bytes are the same, or why that cannot be told. A file
    that the manifest hides is compared where it is here, and not missed where it is not.
    """
    found: list[Compared] = []
    rest = dict(local)
    for there in remote:
        name = there.filename
        here = rest.pop(name, None)
        if not is_meant(name):
            continue
        if here is None:
            if there.role != "hidden":
                found.append(Compared(name, "s3_only", None, there))
        elif here.size != there.size:
            found.append(Compared(name, "out_of_sync", here, there))
        else:
            verdict = verdicts[name]
            if verdict is True:
                found.append(Compared(name, "synced", here, there))
            elif verdict is False:
                found.append(Compared(name, "out_of_sync", here, there))
            else:
                found.append(Compared(name, "unverifiable", here, there, verdict))
    found += (Compared(name, "local_only", here, None) for name, here in rest.items() if is_meant(name))
    found.sort(key=itemgetter(0))
    return found


class InState(Protocol):
    """A file, whatever else is known of it."""

    @property
    def state(self) -> FileState:
        """What it is to the other side."""
        ...


def totals(files: Iterable[InState]) -> dict[FileState, int]:
    """How many files are in each state, none left out."""
    counted = Counter(one.state for one in files)
    return {state: counted[state] for state in STATES}
