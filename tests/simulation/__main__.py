"""``python -m simulation``: runs seeds, on every core, and prints what diverged.

python -m simulation --seeds 100000          seeds 0 … 99999
python -m simulation --first 4711 --seeds 1  one seed, again
python -m simulation --mutants               each mutant, until it is caught
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

from simulation.mutants import MUTANTS, Mutant
from simulation.simulate import Divergence, simulate

_BATCH = 250


def diverging(seeds: range) -> tuple[int, tuple[int, str] | None]:
    """Returns the number of commits, and the first seed that diverged with its divergence."""
    commits = 0
    for seed in seeds:
        try:
            commits += simulate(seed)
        except Divergence as divergence:
            return commits, (seed, str(divergence))
    return commits, None


def seeds_to_catch(mutant: Mutant, at_most: int, first: int = 0) -> int | None:
    """Returns the number of seeds, from ``first`` on, that catch the mutant; None if it takes more than ``at_most``."""
    with tempfile.TemporaryDirectory() as folder:
        mutant.write(Path(folder))
        path = os.pathsep.join([folder, str(Path(__file__).parents[1])])
        command = [sys.executable, "-m", "simulation", "--first", str(first), "--seeds", str(at_most), "--until-caught"]
        run = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False
        )
    if run.returncode not in (0, 1):
        raise RuntimeError(f"mutant {mutant.name!r} does not run:\n{run.stderr}")
    return int(run.stdout) + 1 - first if run.returncode else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation")
    parser.add_argument("--seeds", type=int, default=3000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--mutants", action="store_true", help="show in how many seeds each mutant is caught")
    parser.add_argument("--until-caught", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    if arguments.mutants:
        return _show_mutants(arguments.seeds)
    if arguments.until_caught:
        _, failure = diverging(seeds)
        print(failure[0] if failure else "")
        return 1 if failure else 0
    return _show_seeds(seeds)


def _show_seeds(seeds: range) -> int:
    commits, failures, done = 0, [], 0
    batches = [seeds[start : start + _BATCH] for start in range(0, len(seeds), _BATCH)]
    with ProcessPoolExecutor() as processes:
        for batch, (new_commits, failure) in zip(batches, processes.map(diverging, batches), strict=True):
            commits, done = commits + new_commits, done + len(batch)
            if failure:
                failures.append(failure)
                print(f"seed {failure[0]}: {failure[1]}", flush=True)
            if done % 10_000 < _BATCH:
                print(f"{done} seeds, {commits} commits, {len(failures)} divergences", flush=True)
    if failures:
        print(f"again: python -m simulation --first {failures[0][0]} --seeds 1")
    else:
        print(f"no divergence in {len(seeds)} seeds, {commits} commits")
    return 1 if failures else 0


def _show_mutants(at_most: int, mutants: Iterable[Mutant] = MUTANTS) -> int:
    missed, mutants = 0, list(mutants)
    # A thread each: the seeds run in a process of their own.
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for mutant, seeds in zip(
            mutants, threads.map(lambda candidate: seeds_to_catch(candidate, at_most), mutants), strict=True
        ):
            missed += seeds is None
            outcome = f"caught by seed {seeds - 1}" if seeds else f"NOT CAUGHT in {at_most} seeds"
            print(f"{mutant.name}: {outcome}", flush=True)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
