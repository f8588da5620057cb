"""Time and memory of the pipeline and its peers, as whole processes, in one run on one machine.

`make bench` or `python -m benchmarks.compare [--events N] [--history N] [--runs N]`. Prints a table and writes it to
`benchmarks/results.md`. The data is made first (not timed), in a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import apache_beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.sample import write_sample

PANDAS_ROWS = 200_000


@dataclass(frozen=True)
class Measured:
    """Medians of some runs of one command."""

    name: str
    events: int
    seconds: float
    megabytes: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def measure(name: str, events: int, runs: int, *arguments: str) -> Measured:
    """Run a command some times; peak memory is that of its largest process."""
    seconds, peaks = [], []
    for _ in range(runs):
        started = time.monotonic()
        process = subprocess.Popen([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{name} failed with exit code {process.returncode}")
        seconds.append(time.monotonic() - started)
        peaks.append(usage.ru_maxrss / 1024)
    return Measured(name, events, statistics.median(seconds), statistics.median(peaks))


def hold_back_one_percent(warehouse: Path) -> Path:
    """Move the events that arrived last (1 %) into a folder beside the table; gives the folder."""
    events = warehouse / "posthog_etl" / "events"
    later = warehouse / "later"
    later.mkdir()
    table = pq.read_table(events, columns=["bq_ingested_timestamp"])
    ordered = pc.sort_indices(table, sort_keys=[("bq_ingested_timestamp", "ascending")])
    cut: datetime = table["bq_ingested_timestamp"][ordered[int(table.num_rows * 0.99)].as_py()].as_py()
    for file in sorted(events.glob("*.parquet")):
        content = pq.read_table(file)
        new = pc.greater(content["bq_ingested_timestamp"], pa.scalar(cut))
        if pc.any(new).as_py():
            pq.write_table(content.filter(new), later / f"late-{file.name}", compression="zstd")
            kept = content.filter(pc.invert(new))
            pq.write_table(kept, file, compression="zstd", row_group_size=32_768)
    return later


def pipeline_on(warehouse: Path) -> list[str]:
    """The pipeline's command on a warehouse."""
    return ["pipeline", "--runner", "DirectRunner", "--quiet", "--warehouse", str(warehouse)]


def compare_full_loads(events: int, runs: int) -> list[tuple[Measured, str]]:
    """The pipeline's full load and its peers', with ratios of events a second."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "warehouse"
        write_sample(warehouse, events=events)
        run = [*pipeline_on(warehouse), "--full_load"]
        ours = measure("this pipeline, full load, one worker", events, runs, *run)
        plain = measure("plain dict-rows Beam pipeline", events, 1, "benchmarks.plain_beam", str(warehouse))
        few = min(PANDAS_ROWS, events)
        pandas = measure("row-wise pandas", few, 1, "benchmarks.rowwise_pandas", str(warehouse), str(few))
    return [
        (ours, ""),
        (plain, f"we are {ours.rate / plain.rate:.1f} × faster"),
        (pandas, f"we are {ours.rate / pandas.rate:.0f} × faster"),
    ]


def compare_incremental(events: int) -> list[tuple[Measured, str]]:
    """A full load of a history, and the run after 1 % more arrived, with the bytes that it read."""
    with tempfile.TemporaryDirectory() as folder:
        warehouse = Path(folder) / "warehouse"
        write_sample(warehouse, events=events)
        later = hold_back_one_percent(warehouse)
        full = measure("this pipeline, full load of a history", events, 1, *pipeline_on(warehouse), "--full_load")
        for file in later.glob("*.parquet"):
            shutil.move(str(file), warehouse / "posthog_etl" / "events" / file.name)
        daily = measure("this pipeline, incremental, 1 % new", events, 1, *pipeline_on(warehouse))
        runs = pq.read_table(warehouse / "posthog_aggregated" / "runs").sort_by("run_id").to_pylist()
    share = runs[-1]["bytes_read"] / runs[-1]["bytes_total"]
    return [(full, ""), (daily, f"{daily.seconds / full.seconds:.0%} of the time, {share:.0%} of the bytes read")]


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=1_000_000, help="events of the full load (default 1000000)")
    parser.add_argument("--history", type=int, default=5_000_000, help="of the incremental run (default 5000000)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each command; medians are told (default 3)")
    given = parser.parse_args()
    started = datetime.now()
    measured = compare_full_loads(given.events, given.runs) + compare_incremental(given.history)
    rows = [
        f"| {one.name} | {one.events:,} | {one.seconds:.1f} | {one.rate:,.0f} | {one.megabytes:,.0f} | {text} |"
        for one, text in measured
    ]
    took = timedelta(seconds=round((datetime.now() - started).total_seconds()))
    lines = [
        f"{started:%Y-%m-%d}, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"Beam {apache_beam.__version__}, pyarrow {pa.__version__}, {took} in all",
        "",
        "| what | events | seconds | events/s | peak MB | ratio |",
        "|---|---|---|---|---|---|",
        *rows,
    ]
    text = "\n".join(lines)
    print(text)
    Path(__file__).with_name("results.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
