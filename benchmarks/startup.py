"""*Start-up*: what importing each function takes, beside importing boto3 and making one client.

Each in processes of its own, all in turn, several times; what counts is their CPU time and peak memory
as a ratio to boto3's of the same round. Twice: the import alone, which is what Lambda does before
the first event and what the aim is about, and with the clients, which the first event asks for.

And from a layer as it is deployed, which is read-only, with the bytecode that its build puts there and
without: what a cold start would have to compile.
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

MAX_RATIO = 1.25
MAX_COMPILED = 0.6
"""Of the CPU that importing takes without bytecode."""

FUNCTIONS = ("reconcile", "sweep", "query", "edit", "rescan", "subscription")
BARE = 'import boto3; boto3.client("s3")'

_BARE_NAME = "boto3 and a client"
# A process begins with the peak of the one that made it as its own, by getrusage; not so by /proc.
_TELL = """
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
    "reconcile": "from s3_manifest.aws import runtime; runtime.store()",
    "sweep": "from s3_manifest.aws import runtime; runtime.store()",
    "query": "from s3_manifest.aws import runtime; runtime.store()",
    "edit": "from s3_manifest.aws import runtime; runtime.store()",
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


class Took(NamedTuple):
    """CPU time and peak memory, as ratios or as measured."""

    cpu: float
    memory: float


def section(repeats: int = 9) -> Section:
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
                f"importing from the layer: at most {MAX_COMPILED} of the CPU that it takes without bytecode",
                f"{worst:.2f} at most",
                worst <= MAX_COMPILED,
            ),
        ],
        "Ratios to `import boto3` and one client, of CPU time and of peak memory; medians of "
        f"{repeats} rounds of fresh processes.\n\n"
        + table(
            ("", "CPU", "memory"), [(name, f"{ratio.cpu:.2f}", f"{ratio.memory:.2f}") for name, ratio in ratios.items()]
        )
        + "\n\nSeconds of CPU on this machine for the import, from a layer that nothing is written to; medians.\n\n"
        + table(
            ("", "without bytecode", "as it is built", "ratio"),
            [
                (name, f"{without:.2f}", f"{with_bytecode:.2f}", f"{with_bytecode / without:.2f}")
                for name, (with_bytecode, without) in compiled.items()
            ],
        ),
    )


def _compiled_ratios(repeats: int) -> dict[str, tuple[float, float]]:
    """Of each function the CPU of its import, with the bytecode that the layer is built with and without any."""
    with tempfile.TemporaryDirectory() as folder:
        built, bare = Path(folder, "built"), Path(folder, "bare")
        zipfile.ZipFile(io.BytesIO(layer_zip())).extractall(built)
        shutil.copytree(built, bare, ignore=shutil.ignore_patterns("__pycache__"))
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in FUNCTIONS}
        for _ in range(repeats):
            for name in FUNCTIONS:
                functions = PROJECT / "functions" / name
                runs = [_run_from((functions, layer / "python"), f"import {name}_handler") for layer in (built, bare)]
                found[name].append((runs[0].cpu, runs[1].cpu))
    return {name: (median(one for one, _ in runs), median(other for _, other in runs)) for name, runs in found.items()}


def _aim(what: str, ratios: Mapping[str, Took], names: Sequence[str]) -> Aim:
    cpu, memory = (max(getattr(ratios[name], of) for name in names) for of in ("cpu", "memory"))
    return Aim(
        f"{what}: at most {MAX_RATIO} times boto3 and a client",
        f"CPU {cpu:.2f}, memory {memory:.2f} at most",
        max(cpu, memory) <= MAX_RATIO,
    )


def _ratios(programs: Mapping[str, str], repeats: int) -> dict[str, Took]:
    """The medians of each program's ratios to the bare one, round by round."""
    # The first round only makes the bytecode.
    rounds = [{name: _run(program) for name, program in programs.items()} for _ in range(repeats + 1)][1:]
    return {
        name: Took(*(median(one[name][of] / one[_BARE_NAME][of] for one in rounds) for of in range(len(Took._fields))))
        for name in programs
    }


def _run(program: str) -> Took:
    folders = [PROJECT / "layers/manifest", *(PROJECT / "functions" / name for name in FUNCTIONS)]
    return _python(folders, program)


def _run_from(folders: Sequence[Path], program: str) -> Took:
    """With no other packages than those in the folders, into which no bytecode is written."""
    return _python(folders, program, "-S", "-B")


def _python(folders: Sequence[Path], program: str, *options: str) -> Took:
    environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "HOME": str(Path.home())}
    done = subprocess.run(
        [sys.executable, *options, "-c", program + _TELL],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    cpu, memory = done.stdout.split()
    return Took(float(cpu), float(memory))
