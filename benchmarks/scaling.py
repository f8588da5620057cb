"""Time, CPU time and memory against events and workers: a page with a plot, scaling.md and scaling.svg.

`make bench` makes it; alone: `python -m benchmarks.scaling --millions 1 3 10 30`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import matplotlib as mpl

from benchmarks.data import Data
from benchmarks.measure import ONE_WORKER, TWO_WORKERS, Measured, environment, first_load, table

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "the same file for the same figures"
import matplotlib.pyplot as plt  # noqa: E402 (after the backend is chosen)

WORKERS = {1: (ONE_WORKER,), 2: TWO_WORKERS}
HERE = Path(__file__).parent


def measure(sizes: list[int], sample: Callable[[int], Path]) -> dict[int, list[Measured]]:
    """Workers → a full load of every size; `sample` gives a warehouse of so many events."""
    found: dict[int, list[Measured]] = {workers: [] for workers in WORKERS}
    for events in sizes:
        warehouse = sample(events)
        for workers, options in WORKERS.items():
            found[workers].append(first_load(f"{workers}", warehouse, events, *options))
            print(found[workers][-1], flush=True)
    return found


def plot(found: dict[int, list[Measured]], path: Path) -> None:
    """Two small charts side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
    for workers, runs in found.items():
        millions = [one.events / 1e6 for one in runs]
        label = f"{workers} worker{'s' if workers > 1 else ''}"
        left.plot(millions, [one.seconds for one in runs], marker="o", label=label)
        right.plot(millions, [one.megabytes / 1000 for one in runs], marker="o", label=label)
    for axes, title in ((left, "seconds of a full load"), (right, "peak memory of all processes, GB")):
        axes.set_title(title)
        axes.set_xlabel("million events")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def write_page(found: dict[int, list[Measured]], started: datetime) -> str:
    """Write the page and its plot; gives the text."""
    plot(found, HERE / "scaling.svg")
    rows = [
        (
            f"{one.events:,}",
            str(workers),
            f"{one.seconds:.1f}",
            f"{one.rate:,.0f}",
            f"{one.cpu_seconds / one.events * 1e6:.1f}",
            f"{one.megabytes / 1000:.2f}",
        )
        for workers, runs in found.items()
        for one in runs
    ]
    head = ("events", "workers", "seconds", "events/s", "CPU seconds a million", "peak GB")
    cpu = found[1][-1].cpu_seconds / found[1][-1].events * 1e6
    an_hour, a_day = 3600 / cpu, 100 * cpu / 3600
    text = f"""# How it scales

{environment(started)}. Full loads of sample data (about 1.1 KB an event, 20 events a session) with users, Firebase
events and PostHog's sessions; whole processes, memory as the proportional set size of all of them.

{table(head, rows)}

![time and memory against events](scaling.svg)

## What that means on Dataflow

The largest run on one worker takes {cpu:.1f} CPU seconds a million events, a seventh of it for reading Parquet.
A vCPU so makes about {an_hour:,.0f} million events an hour: {a_day:.1f} vCPU hours for a day of 100 million. Out of
BigQuery, reading costs what the row "CPU of an event out of BigQuery" in [results.md](results.md) says instead;
[docs/deploy.md](../docs/deploy.md) calculates nights on Dataflow from both, with its shuffle and start-up.
"""
    (HERE / "scaling.md").write_text(text)
    return text


def main() -> None:
    """Measure, write the page and its plot."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 3, 10, 30], help="sizes (default 1 3 10 30)")
    started = datetime.now()
    sizes = [millions * 1_000_000 for millions in parser.parse_args().millions]
    with tempfile.TemporaryDirectory() as folder:
        print(write_page(measure(sizes, Data(Path(folder)).sample), started))


if __name__ == "__main__":
    main()
