"""A folder beside a manifest: what each file is to the other. Pure; by MD5s, never by sizes or times alone."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from operator import itemgetter
from typing import Literal, NamedTuple, Protocol, get_args

from s3_manifest_cli.client.local.hashes import Known, Verdict
from s3_manifest_cli.client.local.scan import Local
from s3_manifest_cli.client.manifests.manifests import RemoteFile

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


class Comparison(NamedTuple):
    """All files that were compared: ``same`` are synced, as was known at once; ``others`` are the rest, by name.

    Most files are the same, most of the time, and nobody asks for them one by one: they are as they were found.
    """

    same: list[tuple[Known, RemoteFile]]
    others: list[Compared]

    @property
    def files(self) -> list[Compared]:
        """Every file, by name."""
        same = [Compared(here[0], "synced", Local._make(here[:-1]), there) for here, there in self.same]
        return sorted(same + self.others, key=itemgetter(0))

    @property
    def differences(self) -> list[Compared]:
        """Those that are not ``synced``, by name."""
        return [one for one in self.others if one.state != "synced"]

    @property
    def totals(self) -> dict[FileState, int]:
        """How many files are in each state, none left out."""
        found = totals(self.others)
        return found | {"synced": found["synced"] + len(self.same)}


def same(
    local: MutableMapping[str, Known], remote: Iterable[RemoteFile]
) -> tuple[list[tuple[Known, RemoteFile]], list[RemoteFile]]:
    """The files that are known to have the manifest's MD5, which ``local`` then has no more; and the rest of it."""
    found: list[tuple[Known, RemoteFile]] = []
    rest: list[RemoteFile] = []
    for there in remote:
        here = local.get(there.filename)
        if here is not None and here[1] == there.size and here[5] == there.md5 is not None:
            found.append((here, there))
            del local[there.filename]
        else:
            rest.append(there)
    return found, rest


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
