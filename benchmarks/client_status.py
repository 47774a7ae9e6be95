"""``python -m benchmarks.client_status``: ``s3-manifest status`` beside what else tells how a folder and S3 differ.

The same tree of 100,000 files and the same server for all: nothing changed; and 1 % changed, some of them so that
only their bytes tell. The server is ``rclone serve s3`` on loopback. It lists faster than MiniStack (20,000 keys took
1.6 s against 2.4 s), and than S3 itself, whose answer to each request comes from afar. Files are small. Both flatter
those that list, and those that read every file in each run (``rclone check``). The manifest is made by the package's
own sweep over that server. Times are the least of several runs; requests are counted in a run of their own.

DVC keeps copies under names of its own, so it is given what ``dvc add`` and ``dvc push`` would have left. Its ``data
status`` asks nobody what is in S3, unless it is told to with ``--not-in-remote``.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import client_tree, yardsticks
from benchmarks.child import Took, best, run
from benchmarks.relay import Counted, relay
from benchmarks.s3_server import serving
from benchmarks.status_programs import BUCKET, Place, Program, dvc_repository, programs
from benchmarks.swept import COLLECTIONS, swept
from benchmarks.table import Aim, Section, report, table
from benchmarks.yardsticks import Missing

FILES, REPETITIONS = 100_000, 3
TIMES = 10
_SHARE = 0.01


class Bench(NamedTuple):
    """The server, the relay before it with what it counted, and how often each program is timed."""

    endpoint: str
    counting: str
    counted: Counted
    place: Place
    repetitions: int

    def run(self, program: Program, endpoint: str) -> Took:
        """One run, from the state that the program is to be met in."""
        program.before()
        ours = {"S3_MANIFEST_BUCKET": BUCKET, "S3_MANIFEST_CACHE": str(self.place.cache)}
        took = run(program.command(endpoint), yardsticks.environment(endpoint, **ours), program.folder)
        # Those that tell of differences by their exit code all do it with 1.
        assert took.code in {0, 1}, f"{program.title}: {took.errors[-2000:]}"
        return took


class Observation(NamedTuple):
    """One program, once; ``missed`` and ``wrong`` are files."""

    program: Program
    took: Took
    counted: Counted
    missed: set[str]
    wrong: set[str]

    @property
    def is_right(self) -> bool:
        return not self.missed and not self.wrong

    @property
    def verdict(self) -> str:
        if self.is_right:
            return "right" if self.program.asks else "right of the folder"
        return f"misses {len(self.missed):,}, and {len(self.wrong):,} too many"


def section(files: int = FILES, repetitions: int = REPETITIONS, size: int = client_tree.SIZE) -> Section:
    """All programs, with nothing changed and with some."""
    rclone = yardsticks.program("rclone")
    if isinstance(rclone, Missing):
        return Section("Client: status", [Aim("compared with others", rclone.why, met=False)], rclone.why)
    collection = COLLECTIONS.named("style", "16")
    assert collection
    with tempfile.TemporaryDirectory(prefix="s3-manifest-status-") as folder:
        place = Place(Path(folder))
        client_tree.write(place.tree, files, size)
        served = place.work / "served"
        shutil.copytree(place.tree, served / BUCKET / collection.prefix)
        dvc = dvc_repository(place, served / BUCKET)
        counted = Counted()
        with serving(rclone, served) as server, relay(server.endpoint, counted) as counting:
            head = swept(server.endpoint, BUCKET, collection)
            bench = Bench(server.endpoint, counting, counted, place, repetitions)
            asked, left_out = programs(place, rclone, dvc, f"{BUCKET}/{collection.prefix.rstrip('/')}")
            _warm(bench, asked[0])
            unchanged = [_seen(one, bench, set()) for one in asked if not one.slow]
            changes = client_tree.change(place.tree, files, int(files * _SHARE))
            if not isinstance(dvc, Missing):
                client_tree.change(place.dvc / "tree", files, int(files * _SHARE))
            changed = [_seen(one, bench, set(changes)) for one in asked]
    told = (
        f"A folder of {files:,} files of {client_tree.told(size)}, and the same in S3; a manifest at revision "
        f"{head.revision} in {len(head.pages):,} pages. The server is `rclone serve s3`. "
        f"Times are the least of {repetitions} runs; CPU is the program's own. Requests are those of one run; what "
        "S3 charges for a thousand such runs is in dollars. The first run of `s3-manifest` fetches the manifest and "
        "reads every file; later ones neither. DVC asks nobody what is in S3, unless it is told to."
    )
    where = "other size; same size; same size and time of modification; new here; missing here"
    tables = [
        f"Nothing changed:\n\n{_table(unchanged)}",
        f"{len(changes):,} changed, as many in each way ({where}):\n\n{_table(changed)}",
    ]
    return Section(
        "Client: status", list(_aims(unchanged, changed, len(changes))), "\n\n".join([told, *left_out, *tables])
    )


def _warm(bench: Bench, ours: Program) -> None:
    """Has the manifest kept, once for each name of the server, and all files' digests."""
    bench.place.warm.mkdir()
    for endpoint in (bench.endpoint, bench.counting):
        bench.run(ours, endpoint)
        shutil.rmtree(bench.place.warm)
        shutil.copytree(bench.place.cache, bench.place.warm)


def _seen(program: Program, bench: Bench, changed: set[str]) -> Observation:
    """Runs it as often as it is to be, and once through the relay."""
    print(f"  {program.title} …", file=sys.stderr, flush=True)
    runs = [] if program.slow else [bench.run(program, bench.endpoint) for _ in range(bench.repetitions)]
    bench.counted.taken()
    through = bench.run(program, bench.counting)
    names = program.names(through.output)
    return Observation(program, best(runs or [through]), bench.counted.taken(), changed - names, names - changed)


def _table(seen: list[Observation]) -> str:
    ours = seen[0].took

    def row(one: Observation) -> tuple[object, ...]:
        return (
            f"`{one.program.title}`",
            f"{one.took.wall:.1f}",
            f"{one.took.cpu:.1f}",
            f"{one.took.wall / ours.wall:.1f}",
            f"{one.took.cpu / ours.cpu:.1f}",
            one.counted.told(),
            f"{one.counted.received / 1e6:.1f}",
            f"{1000 * one.counted.dollars:.4f}",
            one.verdict,
        )

    head = ("", "s", "CPU s", "time of ours", "CPU of ours", "requests", "MB received", "$ for 1,000", "its answer")
    return table(head, map(row, seen))


def _aims(unchanged: list[Observation], changed: list[Observation], changes: int) -> Iterator[Aim]:
    for name in ("rclone check", "aws s3 sync", "dvc data status"):
        ratios = [
            one.took.wall / seen[0].took.wall
            for seen in (unchanged, changed)
            for one in seen
            if one.program.title.startswith(name)
        ]
        if ratios:
            told = f"{min(ratios):.1f} to {max(ratios):.1f} times"
            yield Aim(f"{TIMES} times faster than `{name}`", told, min(ratios) >= TIMES)
    ours = [one for seen in (unchanged, changed) for one in seen if one.program.title.startswith("s3-manifest")]
    aws = [one for one in changed if one.program.title.startswith("aws")]
    wrong = max((len(one.missed) + len(one.wrong) for one in aws), default=None)
    yield Aim(
        "right where `aws s3 sync` is wrong",
        f"{'right' if all(one.is_right for one in ours) else 'WRONG'}, and `aws s3 sync` of {changes:,} files wrong "
        f"about {'?' if wrong is None else wrong}",
        all(one.is_right for one in ours),
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_status", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="runs of each, of which the least counts")
    parser.add_argument("--size", type=int, default=client_tree.SIZE, help="bytes of each file")
    arguments = parser.parse_args()
    print(report([section(arguments.files, arguments.repetitions, arguments.size)]))


if __name__ == "__main__":
    main()
