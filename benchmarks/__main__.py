"""``python -m benchmarks``: a table of aims and results, and each section's own.

Every figure that is aimed at is a count, a ratio within one run, or virtual time in a model: none depends on how fast
the machine is. The client's sections run real programs against real servers, and show seconds beside.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks import (
    burst,
    client_kills,
    client_status,
    client_transfer,
    client_tree,
    cost,
    freshness,
    growth,
    query,
    startup,
    sweeping,
)
from benchmarks.lambda_queue import WITH_WINDOW, Source
from benchmarks.table import Section, report

SECTIONS = (
    "burst",
    "freshness",
    "cost",
    "startup",
    "growth",
    "query",
    "sweep",
    "client-status",
    "client-transfer",
    "client-kills",
)


def main() -> None:
    arguments = _arguments()
    source = Source.of_template()
    given = {name: getattr(arguments, name) for name in ("window", "batch", "concurrency")}
    if arguments.window and not arguments.batch:
        arguments.batch = WITH_WINDOW.batch
    source = replace(source, **{name: value for name, value in given.items() if value is not None})
    min_keys = sys.maxsize if arguments.without_turns else arguments.min_keys
    sections: Mapping[str, Callable[[], Section]] = {
        "burst": lambda: burst.section(arguments.events, arguments.burst_rate, source, min_keys=min_keys),
        "freshness": lambda: freshness.section(arguments.rates, source, arguments.collections, min_keys=min_keys),
        "cost": lambda: cost.section(source),
        "startup": startup.section,
        "growth": lambda: growth.section(arguments.sizes),
        "query": lambda: query.section(arguments.sizes),
        "sweep": lambda: sweeping.section(arguments.sweep_keys),
        "client-status": lambda: client_status.section(arguments.status_files),
        "client-transfer": lambda: client_transfer.section(
            client_transfer.Files(arguments.transfer_small, client_tree.SIZE),
            client_transfer.Files(arguments.transfer_large, client_transfer.LARGE_MB << 20),
        ),
        "client-kills": lambda: client_kills.section(arguments.kills),
    }
    done = []
    for name in arguments.section or sections:
        print(f"{name} …", file=sys.stderr, flush=True)
        done.append(sections[name]())
    print(report(done))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this one")
    parser.add_argument("--events", type=int, default=burst.EVENTS, help="of the burst")
    parser.add_argument("--burst-rate", type=float, default=burst.RATE, help="events a second in the burst")
    parser.add_argument("--rates", type=float, nargs="+", default=freshness.RATES, help="events a second, of freshness")
    parser.add_argument(
        "--collections", type=int, nargs="+", default=freshness.COLLECTIONS, help="over so many, of freshness"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=growth.SIZES, help="files, of growth and query")
    parser.add_argument("--sweep-keys", type=int, default=sweeping.KEYS, help="files, of the sweep")
    parser.add_argument("--status-files", type=int, default=client_status.FILES, help="files, of client-status")
    parser.add_argument(
        "--transfer-small", type=int, default=client_transfer.SMALL, help="small files, of client-transfer"
    )
    parser.add_argument(
        "--transfer-large", type=int, default=client_transfer.LARGE, help="large files, of client-transfer"
    )
    parser.add_argument("--kills", type=int, default=client_kills.KILLS, help="of each command, of client-kills")
    of_template = "; by default as in template.yaml"
    parser.add_argument("--window", type=float, help=f"seconds that a batch is gathered for{of_template}")
    parser.add_argument("--batch", type=int, help=f"the most messages in a batch{of_template}")
    parser.add_argument("--concurrency", type=int, help=f"functions at once{of_template}")
    parser.add_argument("--min-keys", type=int, help="from how many keys on workers take turns")
    parser.add_argument("--without-turns", action="store_true", help="what it would be if workers took no turns")
    return parser.parse_args()


if __name__ == "__main__":
    main()
