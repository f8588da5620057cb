"""A full load on Flink with two workers beside one of the local runner with two: a page, engines.md.

`make bench-engines`; alone, after `make test-engines` has fetched Flink: `python -m benchmarks.engines --millions 1 2`.
Informative, without a target: on one machine an engine can only be slower. Flink's start is not measured, a job's is.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psutil

from benchmarks.data import Data
from benchmarks.measure import TWO_WORKERS, Measured, environment, first_load, table
from tests.engines import servers

HERE = Path(__file__).parent


def measure(sizes: list[int], data: Data, folder: Path) -> list[Measured]:
    """A full load of every size on both, in turns."""
    found = []
    with servers.flink(folder) as engine, servers.pool(engine) as pool:
        for events in sizes:
            warehouse = data.variant("random", events)
            found.append(first_load("local runner, two workers", warehouse, events, *TWO_WORKERS))
            before = _cluster_cpu()
            one = first_load("Flink, two workers", warehouse, events, *engine.options, *pool.options)
            found.append(replace(one, cpu_seconds=one.cpu_seconds + _cluster_cpu() - before))
    return found


def _cluster_cpu() -> float:
    """CPU seconds of the cluster and its workers, those that have ended included."""
    times = [one.cpu_times() for one in psutil.Process().children(recursive=True)]
    return float(sum(one.user + one.system + one.children_user + one.children_system for one in times))


def page(found: list[Measured], started: datetime) -> str:
    """The text of engines.md."""
    rows = [
        (
            one.name,
            f"{one.events:,}",
            f"{one.seconds:.1f}",
            f"{one.rate:,.0f}",
            f"{one.cpu_seconds / one.events * 1e6:.1f}",
        )
        for one in found
    ]
    return f"""# Flink beside the local runner

{environment(started)}. Full loads of sample rows in random order; whole runs, with a cluster that is up
already: two task managers with a slot and a Python worker each, all on the machine's cores. CPU is that of the
launcher, the cluster and the workers. There is no target: on one machine two workers pay for the engine's
serialisation and its Java processes and get nothing for it. What the page shows is the price of an engine, which
more machines then divide. Other work on the machine shows in the seconds, less in the CPU.

{table(("what", "events", "seconds", "events/s", "CPU µs an event"), rows)}
"""


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--millions", type=float, nargs="+", default=[0.5, 2], help="sizes (default 0.5 2)")
    parser.add_argument("--data", type=Path, help="keep the data in this folder, and use what is there")
    options, started = parser.parse_args(), datetime.now()
    sizes = [round(millions * 1_000_000) for millions in options.millions]
    with tempfile.TemporaryDirectory() as folder:
        data = Data(options.data or Path(folder, "data"))
        data.folder.mkdir(exist_ok=True)
        cluster = Path(folder, "flink")
        cluster.mkdir()
        text = page(measure(sizes, data, cluster), started)
    (HERE / "engines.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
