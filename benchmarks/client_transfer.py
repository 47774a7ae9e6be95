"""``python -m benchmarks.client_transfer``: ``s3-manifest pull`` and ``push`` beside rclone, the AWS CLI and s5cmd.

10,000 small files, and 20 of 256 MB; each time into a folder or a prefix with nothing in it, from files that are in
the page cache, with nothing left to be written to the disk from before; and compared byte by byte afterwards. The
server is ``rclone serve s3`` over this machine's disk: it takes CPU of the same cores, and how much is told. Requests
are counted in a run of their own. ``s3-manifest`` begins with nothing kept, so what it takes has the manifest in it;
it alone proves all bytes by their MD5s, and stores only where nobody else has meanwhile.
"""

import argparse
import filecmp
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks import client_tree, yardsticks
from benchmarks.child import Took, best, run
from benchmarks.relay import Counted, relay
from benchmarks.s3_server import Server, serving
from benchmarks.swept import COLLECTIONS, swept
from benchmarks.table import Aim, Section, report, table
from benchmarks.transfer_programs import BUCKET, Program, Verb, others, ours
from benchmarks.yardsticks import Missing

SMALL, LARGE, LARGE_MB, REPETITIONS = 10_000, 20, 256, 2
_SMALL = 1 << 20


class Files(NamedTuple):
    """``count`` files of ``size`` bytes."""

    count: int
    size: int

    @property
    def told(self) -> str:
        return f"{self.count:,} files of {client_tree.told(self.size)}"


class Bench(NamedTuple):
    """The server, the relay before it, and the folders: that of the files, and that which the server serves."""

    server: Server
    counting: str
    counted: Counted
    files: Files
    tree: Path
    served: Path
    work: Path
    ids: Iterator[int]


class Runs(NamedTuple):
    """One program, one way. ``server`` is seconds of the server's CPU in its last run."""

    program: Program
    took: Took
    counted: Counted
    server: float
    is_right: bool


def section(small: Files, large: Files, repetitions: int = REPETITIONS) -> Section:
    """Both ways, with small files and with large ones."""
    rclone = yardsticks.program("rclone")
    if isinstance(rclone, Missing):
        return Section("Client: pull and push", [Aim("compared with others", rclone.why, met=False)], rclone.why)
    programs, left_out = others()
    aims, tables = [], []
    for files in (small, large):
        with tempfile.TemporaryDirectory(prefix="s3-manifest-transfer-") as folder:
            for verb, seen in _compared(rclone, [ours(), *programs], files, repetitions, Path(folder)):
                aims += _aims(verb, files, seen)
                tables.append(f"`{verb}` of {files.told}:\n\n{_table(seen)}")
    told = (
        f"Times are the least of {repetitions} runs. The server is `rclone serve s3` on the same {os.cpu_count()} "
        "cores; what it took is of the last run. Requests are those of one run, and what S3 charges for a thousand."
    )
    return Section("Client: pull and push", aims, "\n\n".join([told, *left_out, *tables]))


def _compared(
    rclone: Path, programs: list[Program], files: Files, repetitions: int, work: Path
) -> Iterator[tuple[Verb, list[Runs]]]:
    tree, served = work / "tree", work / "served"
    collection = COLLECTIONS.named("style", "1")
    assert collection
    client_tree.write(tree, files.count, files.size)
    shutil.copytree(tree, served / BUCKET / collection.prefix)
    counted = Counted()
    with serving(rclone, served) as server, relay(server.endpoint, counted) as counting:
        swept(server.endpoint, BUCKET, collection)
        bench = Bench(server, counting, counted, files, tree, served, work, itertools.count(2))
        yield "pull", [_pulled(one, bench, repetitions) for one in programs]
        yield "push", [_pushed(one, bench, repetitions) for one in programs]


def _pulled(program: Program, bench: Bench, repetitions: int) -> Runs:
    print(f"  pull, {program.title} …", file=sys.stderr, flush=True)
    right = []

    def once(endpoint: str) -> Took:
        folder = bench.work / f"pulled-{next(bench.ids)}"
        took = _run(program, "pull", folder, "1", endpoint, bench)
        right.append(_same(bench.tree, folder))
        # Where many files were removed, ext4 looks through them for a while each time that it makes one, and the next
        # program would pay for that. Those go at the end of all; a disk does not hold the large ones so often.
        if bench.files.size > _SMALL:
            shutil.rmtree(folder)
        return took

    return _seen(program, bench, repetitions, once, right)


def _pushed(program: Program, bench: Bench, repetitions: int) -> Runs:
    print(f"  push, {program.title} …", file=sys.stderr, flush=True)
    right = []

    def once(endpoint: str) -> Took:
        # A new one each time: the server remembers for a while what a folder held.
        style = str(next(bench.ids))
        took = _run(program, "push", bench.tree, style, endpoint, bench)
        folder = bench.served / BUCKET / "styles" / style
        right.append(_same(bench.tree, folder))
        shutil.rmtree(folder)
        return took

    return _seen(program, bench, repetitions, once, right)


def _seen(program: Program, bench: Bench, repetitions: int, once: Callable[[str], Took], right: list[bool]) -> Runs:
    runs = []
    for _ in range(repetitions):
        before = bench.server.cpu()
        runs.append(once(bench.server.endpoint))
        server = bench.server.cpu() - before
    bench.counted.taken()
    once(bench.counting)
    return Runs(program, best(runs), bench.counted.taken(), server, all(right))


def _run(program: Program, verb: Verb, folder: Path, style: str, endpoint: str, bench: Bench) -> Took:
    cache = bench.work / "cache"
    shutil.rmtree(cache, ignore_errors=True)
    os.sync()
    mine = {"S3_MANIFEST_BUCKET": BUCKET, "S3_MANIFEST_CACHE": str(cache)}
    took = run(program.command(verb, folder, style), yardsticks.environment(endpoint, **mine))
    assert took.code == 0, f"{program.title}: {took.errors[-2000:]}"
    return took


def _same(one: Path, other: Path) -> bool:
    """Whether both have the same files, byte by byte, and no others."""
    filecmp.clear_cache()
    names = [sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file()) for root in (one, other)]
    return names[0] == names[1] and all(filecmp.cmp(one / name, other / name, shallow=False) for name in names[0])


def _table(seen: list[Runs]) -> str:
    fastest = min(one.took.wall for one in seen)

    def row(one: Runs) -> tuple[object, ...]:
        return (
            f"`{one.program.title}`",
            f"{one.took.wall:.1f}",
            f"{one.took.wall / fastest:.2f}",
            f"{one.took.cpu:.1f}",
            f"{one.server:.1f}",
            f"{one.took.rss / 1e6:.0f}",
            one.counted.told(),
            f"{1000 * one.counted.dollars:.2f}",
            "all" if one.is_right else "**not all**",
        )

    head = ("", "s", "of the fastest", "CPU s", "server's", "MB at most", "requests", "$ for 1,000", "bytes the same")
    return table(head, map(row, seen))


def _aims(verb: Verb, files: Files, seen: list[Runs]) -> Iterator[Aim]:
    mine, *rest = seen
    if rest:
        fastest = min(rest, key=lambda one: one.took.wall)
        times = mine.took.wall / fastest.took.wall
        told = f"{times:.2f} times as long as `{fastest.program.title}`"
        yield Aim(f"`{verb}` of {files.told}: not slower than the fastest", told, times <= 1)
    yield Aim(f"`{verb}` of {files.told}: every byte", "the same" if mine.is_right else "NOT the same", mine.is_right)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.client_transfer", description=__doc__)
    parser.add_argument("--small", type=int, default=SMALL, help=f"files of {client_tree.SIZE:,} bytes")
    parser.add_argument("--large", type=int, default=LARGE, help="large files")
    parser.add_argument("--large-mb", type=int, default=LARGE_MB, help="MiB of each of them")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="runs of each, of which the least counts")
    given = parser.parse_args()
    large = Files(given.large, given.large_mb << 20)
    print(report([section(Files(given.small, client_tree.SIZE), large, given.repetitions)]))


if __name__ == "__main__":
    main()
