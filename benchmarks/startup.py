"""*Start-up*: the cost of importing each function, compared with importing boto3 and making one client.

Each import runs in new processes, in several alternating rounds; the figures are CPU time and peak memory as ratios to
boto3's in the same round. Measured twice: the import alone, which Lambda does before the first event and which the aim
is about, and with the clients, which the first event needs.

Also from a read-only layer, as deployed, with the bytecode of its build and without, when a cold start compiles.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.table import Aim, Section, table
from s3_manifest_cli.local_stack.artifacts import layer_zip
from s3_manifest_cli.local_stack.stack import PROJECT

ROUNDS = 9
"""Rounds of fresh processes."""
MAX_RATIO = 1.25
MAX_COMPILED = 0.6
"""The maximum ratio to the CPU time of importing without bytecode."""

FUNCTIONS = ("reconcile", "sweep", "query", "edit", "rescan", "subscription")
BARE = 'import boto3; boto3.client("s3")'

_BARE_NAME = "boto3 and a client"
# getrusage starts with the peak of the parent process, /proc does not.
_REPORT = """
import os, resource, time
cpu = time.process_time()
try:
    with open("/proc/self/status") as status:
        memory = next(line.split()[1] for line in status if line.startswith("VmHWM"))
except FileNotFoundError:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(cpu, memory)
"""
_CLIENT = {
    "reconcile": "from s3_manifest.aws import runtime; runtime.stores()",
    "sweep": "from s3_manifest.aws import runtime; runtime.stores()",
    "query": "from s3_manifest.aws import runtime; runtime.stores()",
    "edit": "from s3_manifest.aws import runtime; runtime.stores()",
    "rescan": "from s3_manifest.aws.clients import sqs_client; sqs_client()",
    "subscription": "from s3_manifest.aws.clients import s3_client; s3_client()",
}
_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "BUCKET": "images",
    "COLLECTIONS": "style=styles/{style_id}/",
    "MANIFEST_ROOT": "_manifests/",
}


class Cost(NamedTuple):
    """CPU time and peak memory, as ratios or as measured."""

    cpu: float
    memory: float


def section(repeats: int) -> Section:
    """The ratios of every function, and tables of them."""
    programs = {_BARE_NAME: BARE}
    for name in FUNCTIONS:
        programs[name] = f"import {name}_handler"
        programs[f"{name}, and its clients"] = f"import {name}_handler; {_CLIENT[name]}"
    ratios = _ratios(programs, repeats)
    compiled = _compiled_ratios(repeats)
    worst = max(with_bytecode / without for with_bytecode, without in compiled.values())
    return Section(
        "Start-up",
        [
            _aim("importing a function", ratios, FUNCTIONS),
            Aim(
                f"importing from the layer: at most {MAX_COMPILED} of the CPU without bytecode",
                f"{worst:.2f} at most",
                worst <= MAX_COMPILED,
            ),
        ],
        "Ratios to `import boto3` and one client, of CPU time and of peak memory; medians of "
        f"{repeats} rounds of fresh processes.\n\n"
        + table(
            ("", "CPU", "memory"), [(name, f"{ratio.cpu:.2f}", f"{ratio.memory:.2f}") for name, ratio in ratios.items()]
        )
        + "\n\nCPU seconds of the import on this machine, from a read-only layer; medians.\n\n"
        + table(
            ("", "without bytecode", "as built", "ratio"),
            [
                (name, f"{without:.2f}", f"{with_bytecode:.2f}", f"{with_bytecode / without:.2f}")
                for name, (with_bytecode, without) in compiled.items()
            ],
        ),
    )


def _compiled_ratios(repeats: int) -> dict[str, tuple[float, float]]:
    """The CPU time of importing each function, with the bytecode of the layer and without."""
    with tempfile.TemporaryDirectory() as folder:
        built, bare = Path(folder, "built"), Path(folder, "bare")
        zipfile.ZipFile(io.BytesIO(layer_zip())).extractall(built)
        shutil.copytree(built, bare, ignore=shutil.ignore_patterns("__pycache__"))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in FUNCTIONS}
        for _ in range(repeats):
            for name in FUNCTIONS:
                functions = PROJECT / "functions" / name
                runs = [_run_from((functions, layer / "python"), f"import {name}_handler") for layer in (built, bare)]
                times[name].append((runs[0].cpu, runs[1].cpu))
    return {
        name: (median(compiled for compiled, _ in runs), median(plain for _, plain in runs))
        for name, runs in times.items()
    }


def _aim(title: str, ratios: Mapping[str, Cost], names: Sequence[str]) -> Aim:
    cpu, memory = (max(getattr(ratios[name], figure) for name in names) for figure in ("cpu", "memory"))
    return Aim(
        f"{title}: at most {MAX_RATIO} times boto3 and a client",
        f"CPU {cpu:.2f}, memory {memory:.2f} at most",
        max(cpu, memory) <= MAX_RATIO,
    )


def _ratios(programs: Mapping[str, str], repeats: int) -> dict[str, Cost]:
    """The median ratios of each program to the bare one, round by round."""
    # The first round only writes bytecode.
    rounds = [{name: _run(program) for name, program in programs.items()} for _ in range(repeats + 1)][1:]
    return {
        name: Cost(
            *(
                median(costs[name][index] / costs[_BARE_NAME][index] for costs in rounds)
                for index in range(len(Cost._fields))
            )
        )
        for name in programs
    }


def _run(program: str) -> Cost:
    folders = [PROJECT / "layers/manifest", *(PROJECT / "functions" / name for name in FUNCTIONS)]
    return _python(folders, program)


def _run_from(folders: Sequence[Path], program: str) -> Cost:
    """Runs with only the packages in the folders, and writes no bytecode."""
    return _python(folders, program, "-S", "-B")


def _python(folders: Sequence[Path], program: str, *options: str) -> Cost:
    environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "HOME": str(Path.home())}
    process = subprocess.run(
        [sys.executable, *options, "-c", program + _REPORT],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu, memory = process.stdout.split()
    return Cost(float(cpu), float(memory))
