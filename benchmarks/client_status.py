"""``python -m benchmarks.client_status``: ``s3-manifest status`` beside other programs that compare a folder with S3.

All programs compare the same tree of 100,000 files with the same server: unchanged, and with 1 % changed, some of them
only in their bytes. The server is ``rclone serve s3`` on loopback. It lists faster than MiniStack (20,000 keys took
1.6 s against 2.4 s) and than S3 itself, which is further away. Files are small. Both favour programs that list, and
programs that read every file in each run (``rclone check``). The package's own sweep makes the manifest. Times are the
minimum of several runs; requests are counted in a separate run.

DVC stores copies under its own names, so it gets what ``dvc add`` and ``dvc push`` would have left. Its ``data status``
makes no request to S3 without ``--not-in-remote``.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import client_tree, yardsticks
from benchmarks.process import ProcessResult, best, run
from benchmarks.relay import Counted, relay
from benchmarks.s3_server import serving
from benchmarks.status_programs import Program, Workspace, dvc_repository, programs
from benchmarks.sweep_bucket import BUCKET, COLLECTIONS, sweep_bucket
from benchmarks.table import Aim, Section, report, table
from benchmarks.yardsticks import Missing

FILES, REPETITIONS = 100_000, 3
TIMES = 10
_SHARE = 0.01


class Bench(NamedTuple):
    """The server, the counting relay in front of it, and how often each program is timed."""

    endpoint: str
    counting: str
    counted: Counted
    place: Workspace
    repetitions: int

    def run(self, program: Program, endpoint: str) -> ProcessResult:
        """One run, after restoring the state that the program starts from."""
        program.before()
        ours = {"S3_MANIFEST_BUCKET": BUCKET, "S3_MANIFEST_CACHE": str(self.place.cache)}
        result = run(program.command(endpoint), yardsticks.environment(endpoint, **ours), program.folder)
        # Programs that report differences by their exit code all use 1.
        assert result.code in {0, 1}, f"{program.title}: {result.errors[-2000:]}"
        return result


class Measurement(NamedTuple):
    """The measurement of one program; ``missed`` and ``wrong`` are files."""

    program: Program
    result: ProcessResult
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
    """All programs, without and with changes."""
    rclone = yardsticks.program("rclone")
    if isinstance(rclone, Missing):
        return Section("Client: status", [Aim("compared with others", rclone.reason, met=False)], rclone.reason)
    collection = COLLECTIONS.lookup("style", "16")
    assert collection
    with tempfile.TemporaryDirectory(prefix="s3-manifest-status-") as folder:
        place = Workspace(Path(folder))
        client_tree.write(place.tree, files, size)
        served = place.work / "served"
        shutil.copytree(place.tree, served / BUCKET / collection.prefix)
        dvc = dvc_repository(place, served / BUCKET)
        counted = Counted()
        with serving(rclone, served) as server, relay(server.endpoint, counted) as counting:
            head = sweep_bucket(server.endpoint, collection)
            bench = Bench(server.endpoint, counting, counted, place, repetitions)
            compared, unavailable = programs(place, rclone, dvc, f"{BUCKET}/{collection.prefix.rstrip('/')}")
            _warm(bench, compared[0])
            unchanged = [_measure(program, bench, set()) for program in compared if not program.slow]
            changes = client_tree.change(place.tree, files, int(files * _SHARE))
            if not isinstance(dvc, Missing):
                client_tree.change(place.dvc / "tree", files, int(files * _SHARE))
            changed = [_measure(program, bench, set(changes)) for program in compared]
    setup = (
        f"A folder of {files:,} files of {client_tree.human_size(size)}, and the same in S3; a manifest at revision "
        f"{head.revision} in {len(head.pages):,} pages. The server is `rclone serve s3`. "
        f"Times are the minimum of {repetitions} runs; CPU is the program's own. Requests are of one run; dollars "
        "are what S3 charges for a thousand such runs. The first run of `s3-manifest` fetches the manifest and reads "
        "every file; later ones do neither. DVC makes no request to S3 unless an option says so."
    )
    kinds = "other size; same size; same size and time of modification; new here; missing here"
    tables = [
        f"Nothing changed:\n\n{_table(unchanged)}",
        f"{len(changes):,} changed, equally many of each kind ({kinds}):\n\n{_table(changed)}",
    ]
    return Section(
        "Client: status", list(_aims(unchanged, changed, len(changes))), "\n\n".join([setup, *unavailable, *tables])
    )


def _warm(bench: Bench, ours: Program) -> None:
    """Fills the cache with the manifest, once for each address of the server, and with all MD5s."""
    bench.place.warm.mkdir()
    for endpoint in (bench.endpoint, bench.counting):
        bench.run(ours, endpoint)
        shutil.rmtree(bench.place.warm)
        shutil.copytree(bench.place.cache, bench.place.warm)


def _measure(program: Program, bench: Bench, changed: set[str]) -> Measurement:
    """Runs the program as often as configured, and once through the relay."""
    print(f"  {program.title} …", file=sys.stderr, flush=True)
    runs = [] if program.slow else [bench.run(program, bench.endpoint) for _ in range(bench.repetitions)]
    bench.counted.take()
    relayed = bench.run(program, bench.counting)
    names = program.names(relayed.output)
    return Measurement(program, best(runs or [relayed]), bench.counted.take(), changed - names, names - changed)


def _table(measurements: list[Measurement]) -> str:
    ours = measurements[0].result

    def row(measurement: Measurement) -> tuple[object, ...]:
        return (
            f"`{measurement.program.title}`",
            f"{measurement.result.wall:.1f}",
            f"{measurement.result.cpu:.1f}",
            f"{measurement.result.wall / ours.wall:.1f}",
            f"{measurement.result.cpu / ours.cpu:.1f}",
            measurement.counted.summary(),
            f"{measurement.counted.received / 1e6:.1f}",
            f"{1000 * measurement.counted.dollars:.4f}",
            measurement.verdict,
        )

    head = ("", "s", "CPU s", "time of ours", "CPU of ours", "requests", "MB received", "$ for 1,000", "its answer")
    return table(head, map(row, measurements))


def _aims(unchanged: list[Measurement], changed: list[Measurement], changes: int) -> Iterator[Aim]:
    for name in ("rclone check", "aws s3 sync", "dvc data status"):
        ratios = [
            measurement.result.wall / measurements[0].result.wall
            for measurements in (unchanged, changed)
            for measurement in measurements
            if measurement.program.title.startswith(name)
        ]
        if ratios:
            text = f"{min(ratios):.1f} to {max(ratios):.1f} times"
            yield Aim(f"{TIMES} times faster than `{name}`", text, min(ratios) >= TIMES)
    both = (*unchanged, *changed)
    ours = [measurement for measurement in both if measurement.program.title.startswith("s3-manifest")]
    aws = [measurement for measurement in changed if measurement.program.title.startswith("aws")]
    wrong = max((len(measurement.missed) + len(measurement.wrong) for measurement in aws), default=None)
    is_right = all(measurement.is_right for measurement in ours)
    yield Aim(
        "right where `aws s3 sync` is wrong",
        f"{'right' if is_right else 'WRONG'}, and `aws s3 sync` wrong about {'?' if wrong is None else wrong} of "
        f"{changes:,} files",
        is_right,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_status", description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="runs of each program; the minimum counts")
    parser.add_argument("--size", type=int, default=client_tree.SIZE, help="bytes of each file")
    arguments = parser.parse_args()
    print(report([section(arguments.files, arguments.repetitions, arguments.size)]))


if __name__ == "__main__":
    main()
