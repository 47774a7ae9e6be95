"""``python -m benchmarks``: a table of aims and results, followed by a report of each section.

Every aim is a count, a ratio within one run, or virtual time in a model; none depends on the speed of the machine.
The sections of the client run real programs against real servers and also report seconds.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace

from benchmarks import (
    burst,
    client_bulk,
    client_kills,
    client_status,
    client_transfer,
    client_tree,
    cost,
    freshness,
    growth,
    query,
    startup,
    sweep_cost,
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
    "client-bulk",
    "client-transfer",
    "client-kills",
)


def main() -> None:
    arguments = _arguments()
    source = Source.of_template()
    overrides = {name: getattr(arguments, name) for name in ("window", "batch", "concurrency")}
    if arguments.window and not arguments.batch:
        arguments.batch = WITH_WINDOW.batch
    source = replace(source, **{name: value for name, value in overrides.items() if value is not None})
    min_keys = sys.maxsize if arguments.without_leases else arguments.min_keys
    sections: Mapping[str, Callable[[], Section]] = {
        "burst": lambda: burst.section(arguments.events, arguments.burst_rate, source, min_keys=min_keys),
        "freshness": lambda: freshness.section(arguments.rates, source, arguments.collections, min_keys=min_keys),
        "cost": lambda: cost.section(source),
        "startup": lambda: startup.section(arguments.start_rounds),
        "growth": lambda: growth.section(arguments.sizes),
        "query": lambda: query.section(arguments.sizes),
        "sweep": lambda: sweep_cost.section(arguments.sweep_keys),
        "client-status": lambda: client_status.section(arguments.status_files),
        "client-bulk": lambda: client_bulk.section(arguments.bulk_collections),
        "client-transfer": lambda: client_transfer.section(
            client_transfer.Files(arguments.transfer_small, client_tree.SIZE),
            client_transfer.Files(arguments.transfer_large, client_transfer.LARGE_MB << 20),
        ),
        "client-kills": lambda: client_kills.section(arguments.kills),
    }
    results = []
    for name in arguments.section or sections:
        print(f"{name} …", file=sys.stderr, flush=True)
        results.append(sections[name]())
    print(report(results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--section", action="append", choices=SECTIONS, help="run only this section (repeatable)")
    parser.add_argument("--events", type=int, default=burst.EVENTS, help="events in the burst")
    parser.add_argument("--burst-rate", type=float, default=burst.RATE, help="events per second in the burst")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=freshness.RATES, help="events per second in freshness"
    )
    parser.add_argument(
        "--collections", type=int, nargs="+", default=freshness.COLLECTIONS, help="numbers of collections in freshness"
    )
    parser.add_argument(
        "--start-rounds", type=int, default=startup.ROUNDS, help="fresh processes per import in startup"
    )
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=growth.SIZES, help="numbers of files in growth and query"
    )
    parser.add_argument("--sweep-keys", type=int, default=sweep_cost.KEYS, help="files in sweep")
    parser.add_argument("--status-files", type=int, default=client_status.FILES, help="files in client-status")
    parser.add_argument("--bulk-collections", type=int, default=client_bulk.COUNT, help="collections in client-bulk")
    parser.add_argument(
        "--transfer-small", type=int, default=client_transfer.SMALL, help="small files in client-transfer"
    )
    parser.add_argument(
        "--transfer-large", type=int, default=client_transfer.LARGE, help="large files in client-transfer"
    )
    parser.add_argument("--kills", type=int, default=client_kills.KILLS, help="kills of each command in client-kills")
    default = " (default: as in template.yaml)"
    parser.add_argument("--window", type=float, help=f"batching window in seconds{default}")
    parser.add_argument("--batch", type=int, help=f"maximum messages in a batch{default}")
    parser.add_argument("--concurrency", type=int, help=f"concurrent functions{default}")
    parser.add_argument("--min-keys", type=int, help="number of keys from which workers take the lease")
    parser.add_argument("--without-leases", action="store_true", help="run without leases")
    return parser.parse_args()


if __name__ == "__main__":
    main()
