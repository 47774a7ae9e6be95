"""*Start-up*: what importing each function takes, beside importing boto3 and making one client.

Each in processes of its own, all in turn, several times; what counts is their CPU time and peak memory
as a ratio to boto3's of the same round. Twice: the import alone, which is what Lambda does before
the first event and what the aim is about, and with the clients, which the first event asks for.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.table import Aim, Section, table
from s3_manifest_cli.stack import PROJECT

MAX_RATIO = 1.25
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
    "reconcile": "from s3_manifest import runtime; runtime.store()",
    "sweep": "from s3_manifest import runtime; runtime.store()",
    "query": "from s3_manifest import runtime; runtime.store()",
    "edit": "from s3_manifest import runtime; runtime.store()",
    "rescan": "from s3_manifest.aws import sqs_client; sqs_client()",
    "subscription": "from s3_manifest.aws import s3_client; s3_client()",
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
    """The ratios of every function, and a table of them."""
    programs = {_BARE_NAME: BARE}
    for name in FUNCTIONS:
        programs[name] = f"import {name}_handler"
        programs[f"{name}, and its clients"] = f"import {name}_handler; {_CLIENT[name]}"
    ratios = _ratios(programs, repeats)
    return Section(
        "Start-up",
        [
            _aim("importing a function", ratios, FUNCTIONS),
        ],
        "Ratios to `import boto3` and one client, of CPU time and of peak memory; medians of "
        f"{repeats} rounds of fresh processes.\n\n"
        + table(
            ("", "CPU", "memory"), [(name, f"{ratio.cpu:.2f}", f"{ratio.memory:.2f}") for name, ratio in ratios.items()]
        ),
    )


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
    environment = _ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "HOME": str(Path.home())}
    done = subprocess.run(
        [sys.executable, "-c", program + _TELL], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    cpu, memory = done.stdout.split()
    return Took(float(cpu), float(memory))
