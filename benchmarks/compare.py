"""The pipeline against its peers and its targets, in one go on one machine.

`make bench` (large) or `make bench-quick` (under three minutes); or `python -m benchmarks.compare --help`. Prints one
table and writes it to benchmarks/results.md (quick: results-quick.md). The data is made first, in a temporary folder.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import scaling
from benchmarks.measure import (
    ONE_WORKER,
    PEERS_PYTHON,
    TWO_WORKERS,
    Measured,
    environment,
    first_load,
    paired,
    pipeline,
    run_once,
    table,
)
from benchmarks.shuffle_bytes import shuffle_bytes


@dataclass(frozen=True)
class Sizes:
    """Events of each comparison, and how often it is run."""

    duckdb: int
    plain: int
    pandas: int
    history: int
    scaling: tuple[int, ...]
    reads: int
    runs: int


LARGE = Sizes(10_000_000, 2_000_000, 200_000, 10_000_000, (1_000_000, 3_000_000, 10_000_000, 30_000_000), 50_000, 3)
QUICK = Sizes(1_000_000, 300_000, 50_000, 1_000_000, (1_000_000,), 20_000, 1)
HEAD = ("what", "events", "seconds", "events/s", "CPU µs an event", "peak MB", "result", "target")


def row(one: Measured, result: str = "", target: str = "") -> tuple[str, ...]:
    """A line of the table."""
    cpu = f"{one.cpu_seconds / one.events * 1e6:.1f}"
    return (
        one.name,
        f"{one.events:,}",
        f"{one.seconds:.1f}",
        f"{one.rate:,.0f}",
        cpu,
        f"{one.megabytes:,.0f}",
        result,
        target,
    )


def note(name: str, events: int, result: str, target: str) -> tuple[str, ...]:
    """A line of a figure that is not a whole process."""
    return (name, f"{events:,}", "", "", "", "", result, target)


def against(
    runs: int,
    tables: tuple[Path, Path],
    ours: Callable[[], Measured],
    peer: Callable[[], Measured],
    tell: Callable[[Measured, Measured], str],
    target: str,
) -> list[tuple[str, ...]]:
    """Two lines: us and a peer, run in turns; `tables` are where our warehouse is and where the peer's tables are."""
    mine, other = paired(runs, ours, peer)
    _check_same(*tables)
    return [row(mine, tell(mine, other), target), row(other)]


def command(name: str, events: int, *arguments: str, python: str = sys.executable) -> Callable[[], Measured]:
    """A command that can be measured."""
    return functools.partial(run_once, name, events, arguments, python)


def full_load(name: str, warehouse: Path, events: int, *options: str) -> Callable[[], Measured]:
    """A first full load that can be measured."""
    return functools.partial(first_load, name, warehouse, events, *options)


def against_duckdb(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """Full load on two workers and DuckDB's SQL on two threads."""
    warehouse, out = _sample(folder, sizes.duckdb), folder / "duckdb"
    return against(
        sizes.runs,
        (warehouse, out),
        full_load("full load, two workers", warehouse, sizes.duckdb, *TWO_WORKERS),
        command("DuckDB, two threads", sizes.duckdb, "benchmarks.duckdb_sql", str(warehouse), str(out)),
        lambda ours, peer: f"{ours.seconds / peer.seconds:.2f} × its time",
        "at most 1.5 ×",
    )


def against_plain_beam(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """Full load on one worker and the usual Beam pipeline of dict rows, on the same runner."""
    warehouse, out = _sample(folder, sizes.plain), folder / "plain"
    return against(
        sizes.runs,
        (warehouse, out),
        full_load("full load, one worker", warehouse, sizes.plain, ONE_WORKER),
        command("plain dict-rows Beam", sizes.plain, "benchmarks.plain_beam", str(warehouse), str(out)),
        lambda ours, peer: f"{peer.seconds / ours.seconds:.1f} × faster",
        "at least 5 ×",
    )


def against_pandas(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """Full load on one worker and row-wise pandas."""
    warehouse, out = _sample(folder, sizes.pandas), folder / "pandas"
    return against(
        sizes.runs,
        (warehouse, out),
        full_load("full load, one worker", warehouse, sizes.pandas, ONE_WORKER),
        command(
            "row-wise pandas",
            sizes.pandas,
            "benchmarks.rowwise_pandas",
            str(warehouse),
            str(out),
            python=PEERS_PYTHON,
        ),
        lambda ours, peer: (
            f"{peer.seconds / ours.seconds:.0f} × faster, {ours.megabytes / peer.megabytes:.0%} of its memory"
        ),
        "at least 50 ×, a tenth of its memory",
    )


def incremental(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """One night, 1 %, after 99 % of 100 days, from the same state each time, and the full load of all; one worker."""
    warehouse = _sample(folder, sizes.history, "--days", "100")
    later = hold_back_one_percent(warehouse)
    full = full_load("full load of 100 days", warehouse, sizes.history, ONE_WORKER)
    full()
    for file in later.glob("*.parquet"):
        shutil.move(str(file), warehouse / "posthog_etl" / "events" / file.name)
    published, kept = warehouse / ".posthog_aggregated", folder / "kept"
    shutil.copytree(published, kept, symlinks=True)
    link = os.readlink(warehouse / "posthog_aggregated")

    def daily() -> Measured:
        shutil.rmtree(published)
        shutil.copytree(kept, published, symlinks=True)
        (warehouse / "posthog_aggregated").unlink()
        (warehouse / "posthog_aggregated").symlink_to(link)
        return run_once("incremental, 1 % new", sizes.history, pipeline(warehouse, ONE_WORKER))

    whole, new = paired(sizes.runs, full, daily)
    runs = pq.read_table(warehouse / "posthog_aggregated" / "runs").sort_by("run_id").to_pylist()
    share = runs[-1]["bytes_read"] / runs[-1]["bytes_total"]
    return [
        row(whole),
        row(new, f"{new.seconds / whole.seconds:.0%} of its time, {share:.0%} of the bytes read", "at most 10 %"),
    ]


def memory(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """Peak memory of all processes of large runs; the other sizes are on the scaling page."""
    started = datetime.now()
    found = scaling.measure(list(sizes.scaling))
    if sizes is LARGE:
        scaling.write_page(found, started)
    limits = {10_000_000: "at most 1.5 GB", 30_000_000: "at most 3 GB"}
    largest = [
        replace(one, name=f"full load, {'one worker' if workers == 1 else 'two workers'}")
        for workers, runs in found.items()
        for one in runs
        if one.events in limits or one is runs[-1]
    ]
    return [row(one, f"{one.megabytes / 1000:.1f} GB", limits.get(one.events, "")) for one in largest]


def figures(folder: Path, sizes: Sizes) -> list[tuple[str, ...]]:
    """Bytes into the shuffle, start-up, and CPU time of the read methods."""
    warehouse = _sample(folder, sizes.plain)
    total, events, sessions = shuffle_bytes(warehouse)
    allowed = 12 * events + 250 * sessions
    first = command("start-up to the first event", 1, "benchmarks.first_event", str(warehouse))
    [start] = paired(max(3, sizes.runs), first)
    micros = _read_methods(_sample(folder, sizes.reads))
    rows, arrow = micros["DIRECT_READ"], micros["ARROW"]
    return [
        note(
            "bytes into the session shuffle",
            events,
            f"{total:,} = {total / allowed:.0%} of 12 an event + 250 a session",
            "at most 100 %",
        ),
        note("start-up to the first event, one worker", 1, f"{start.seconds:.1f} s", "at most 3 s"),
        note(
            "CPU of an event out of BigQuery (emulator)",
            sizes.reads,
            f"dict rows {rows:.1f} µs, ARROW {arrow:.1f} µs: {rows / arrow:.1f} × less",
            "at least 5 ×",
        ),
    ]


PARTS = (against_plain_beam, against_pandas, incremental, figures, against_duckdb, memory)


def hold_back_one_percent(warehouse: Path) -> Path:
    """Move the events that arrived last (1 %) into a folder beside the table; gives the folder."""
    events = warehouse / "posthog_etl" / "events"
    later = warehouse / "later"
    later.mkdir()
    table = pq.read_table(events, columns=["bq_ingested_timestamp"])
    ordered = pc.sort_indices(table, sort_keys=[("bq_ingested_timestamp", "ascending")])
    cut = table["bq_ingested_timestamp"][ordered[int(table.num_rows * 0.99)].as_py()]
    for file in sorted(events.glob("*.parquet")):
        content = pq.read_table(file)
        new = pc.greater(content["bq_ingested_timestamp"], cut)
        if pc.any(new).as_py():
            pq.write_table(content.filter(new), later / f"late-{file.name}", compression="zstd")
            kept = content.filter(pc.invert(new))
            pq.write_table(kept, file, compression="zstd", row_group_size=32_768)
    return later


def _sample(folder: Path, events: int, *options: str) -> Path:
    """A warehouse of so many events; made once, by a process of its own so that its memory is not counted as ours."""
    warehouse = folder / f"sample-{events}"
    if not warehouse.exists():
        arguments = ["pipeline.sample", "--warehouse", str(warehouse), "--events", str(events), *options]
        subprocess.run([sys.executable, "-m", *arguments], check=True, stdout=subprocess.DEVNULL)
    return warehouse


def _read_methods(warehouse: Path) -> dict[str, float]:
    """What `benchmarks.read_methods` prints; a process of its own, as ours is large by now, which costs CPU time."""
    arguments = [sys.executable, "-m", "benchmarks.read_methods", str(warehouse)]
    printed = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {name: float(micros) for name, micros in map(str.split, printed.splitlines())}


#: Columns that the peers do not make.
_OURS = frozenset(
    (
        *("is_oversized", "_loaded_at", "_run_id", "foreground_duration", "total_foreground_duration"),
        *("session_number", "is_first_session", "previous_session_end", "seconds_since_previous_session"),
        *("active_days", "longest_gap_days", "times_churned"),
    )
)


def _check_same(warehouse: Path, peer: Path) -> None:
    """A peer that makes other tables is none: values and sums of all columns agree with ours to one in a thousand."""
    for name in ("sessions", "persons"):
        mine = duckdb.read_parquet(str(warehouse / "posthog_aggregated" / name / "*.parquet"))
        other = duckdb.read_parquet(str(peer / f"{name}*.parquet"))
        asked = ["count(*)"]
        for column, kind in zip(mine.columns, mine.types, strict=True):
            if column not in _OURS:
                asked.append(f'count("{column}")')
                if str(kind) in ("BIGINT", "DOUBLE", "BOOLEAN"):
                    asked.append(f'sum("{column}"::double)')
        results = [table.aggregate(", ".join(asked)).fetchall()[0] for table in (mine, other)]
        for what, ours, theirs in zip(asked, *results, strict=True):
            if not abs(ours - theirs) <= abs(ours) / 1_000:  # not: NaN is never the same
                raise SystemExit(f"{what} of {name} in {peer} is {theirs}, ours is {ours}")


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small data, one run each, under three minutes")
    given = parser.parse_args()
    sizes = QUICK if given.quick else LARGE
    started = datetime.now()
    rows: list[tuple[str, ...]] = []
    for part in PARTS:
        with tempfile.TemporaryDirectory() as folder:
            rows += part(Path(folder), sizes)
            print(table(HEAD, rows), flush=True)
    text = f"{environment(started)}\n\n{table(HEAD, rows)}\n"
    print(text)
    Path(__file__).with_name("results-quick.md" if given.quick else "results.md").write_text(text)


if __name__ == "__main__":
    main()
