"""The pipeline against its peers and its targets, in one go on one machine.

`make bench` (large) or `make bench-quick` (under three minutes). `python -m benchmarks.compare --only PART[,PART]`
measures some parts again and merges them into the page, benchmarks/results.md (quick: results-quick.md), which is
written after every part.
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
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import scaling
from benchmarks.checks import check_orders, check_peers
from benchmarks.data import Data
from benchmarks.measure import (
    ONE_WORKER,
    PEERS_PYTHON,
    TWO_WORKERS,
    Measured,
    environment,
    first_event,
    first_load,
    paired,
    pipeline,
    run_once,
)
from benchmarks.results import Line, note, read_sections, row, section, write_page

#: The rows of a day whose number of blocks is forced upon a smaller one.
TEN_BILLION = 10**10
ORDERS = ("order of arrival", "random order")


@dataclass(frozen=True)
class Sizes:
    """Events of each comparison, and how often it is run."""

    small: int
    large: int
    plain: int
    pandas: int
    history: int
    scaling: tuple[int, ...]
    reads: int
    runs: int
    long_runs: int
    """Of what takes minutes a run."""


LARGE = Sizes(1_800_000, 9_000_000, 2_000_000, 200_000, 5_000_000, (1_800_000, 9_000_000, 27_000_000), 50_000, 3, 2)
QUICK = Sizes(100_000, 200_000, 50_000, 20_000, 200_000, (200_000,), 20_000, 1, 1)


def full_load(name: str, warehouse: Path, events: int, *options: str) -> Callable[[], Measured]:
    """A first full load that can be measured."""
    return functools.partial(first_load, name, warehouse, events, *options)


def peer(name: str, module: str, warehouse: Path, events: int, python: str = sys.executable) -> Callable[[], Measured]:
    """A peer that can be measured; its tables go to `_tables(warehouse, module)`."""
    out = _tables(warehouse, module)
    return functools.partial(run_once, name, events, [f"benchmarks.{module}", str(warehouse), str(out)], python)


def duckdb_sql(warehouse: Path, events: int, suffix: str = "") -> Callable[[], Measured]:
    """DuckDB's SQL."""
    return peer(f"DuckDB, two threads{suffix}", "duckdb_sql", warehouse, events)


def clickhouse_sql(warehouse: Path, events: int, suffix: str = "") -> Callable[[], Measured]:
    """ClickHouse's SQL."""
    return peer(f"ClickHouse, two threads{suffix}", "clickhouse_sql", warehouse, events, PEERS_PYTHON)


def times(one: float, other: float, what: str = "its time") -> str:
    """A ratio as text."""
    return f"{one / other:.2f} × {what}"


def small_orders(data: Data, sizes: Sizes) -> list[Line]:
    """One worker and both SQL peers, in order of arrival and in random order."""
    events = sizes.small
    warehouses = data.sample(events), data.variant("random", events)
    commands = []
    for order, warehouse in zip(ORDERS, warehouses, strict=True):
        commands += [
            full_load(f"full load, one worker, {order}", warehouse, events, ONE_WORKER),
            duckdb_sql(warehouse, events, f", {order}"),
            clickhouse_sql(warehouse, events, f", {order}"),
        ]
    found = paired(sizes.runs, *commands)
    check_orders(*warehouses)
    lines = [row(one) for one in found]
    lines.append(
        note(
            "one worker, random order against order of arrival",
            events,
            times(found[3].seconds, found[0].seconds),
            "at most 1.1 ×",
        )
    )
    for order, (ours, duck, click) in zip(ORDERS, (found[:3], found[3:]), strict=True):
        against = f"one worker, {order}, against"
        lines.append(note(f"{against} DuckDB", events, times(ours.seconds, duck.seconds), "at most 1.0 ×"))
        lines.append(note(f"{against} ClickHouse", events, times(ours.seconds, click.seconds)))
    return lines


def large_orders(data: Data, sizes: Sizes) -> list[Line]:
    """The same on more events, on two workers and on one."""
    events = sizes.large
    warehouses = data.sample(events), data.variant("random", events)
    commands = []
    for order, warehouse in zip(ORDERS, warehouses, strict=True):
        commands += [
            full_load(f"full load, one worker, {order}", warehouse, events, ONE_WORKER),
            full_load(f"full load, two workers, {order}", warehouse, events, *TWO_WORKERS),
            duckdb_sql(warehouse, events, f", {order}"),
            clickhouse_sql(warehouse, events, f", {order}"),
        ]
    found = paired(sizes.long_runs, *commands)
    check_orders(*warehouses)
    lines = [row(one) for one in found]
    for number, workers in enumerate(("one worker", "two workers")):
        ratio = times(found[4 + number].seconds, found[number].seconds)
        lines.append(note(f"{workers}, random order against order of arrival", events, ratio, "at most 1.1 ×"))
    for order, (one, two, duck, click) in zip(ORDERS, (found[:4], found[4:]), strict=True):
        both = f"{times(two.seconds, duck.seconds)}, {times(two.cpu_seconds, duck.cpu_seconds, 'its CPU time')}"
        alone = f"{times(one.seconds, duck.seconds)}, {times(one.cpu_seconds, duck.cpu_seconds, 'its CPU time')}"
        cpu, memory = f"{one.cpu_seconds / events * 1e6:.1f} µs", "{:.1f} GB"
        lines += [
            note(f"two workers, {order}, against DuckDB", events, both, "at most 0.7 ×, 0.5 ×"),
            note(f"one worker, {order}, against DuckDB", events, alone),
            note(
                f"two workers, {order}, against ClickHouse", events, times(two.seconds, click.seconds), "at most 1.0 ×"
            ),
            note(f"CPU time an event, one worker, {order}", events, cpu, "at most 4.0 µs"),
            note(f"memory, one worker, {order}", events, memory.format(one.megabytes / 1000), "at most 2 GB"),
            note(f"memory, two workers, {order}", events, memory.format(two.megabytes / 1000), "at most 3 GB"),
        ]
    return lines


def against_rows(
    data: Data, events: int, runs: int, peer_of: Callable[[Path, str], Callable[[], Measured]], name: str, target: str
) -> list[Line]:
    """One worker and a peer that works row by row, in both orders."""
    warehouses = data.sample(events), data.variant("random", events)
    commands = []
    for order, warehouse in zip(ORDERS, warehouses, strict=True):
        commands.append(full_load(f"full load, one worker, {order}", warehouse, events, ONE_WORKER))
        commands.append(peer_of(warehouse, f"{name}, {order}"))
    found = paired(runs, *commands)
    check_orders(*warehouses)
    lines = [row(one) for one in found]
    for order, (ours, other) in zip(ORDERS, (found[:2], found[2:]), strict=True):
        result = f"{other.seconds / ours.seconds:.1f} × faster, {ours.megabytes / other.megabytes:.0%} of its memory"
        lines.append(note(f"one worker, {order}, against {name}", events, result, target))
    return lines


def against_plain_beam(data: Data, sizes: Sizes) -> list[Line]:
    """The usual Beam pipeline of dict rows, on the same runner."""

    def plain(warehouse: Path, name: str) -> Callable[[], Measured]:
        return peer(name, "plain_beam", warehouse, sizes.plain)

    runs = min(sizes.long_runs, 1)
    return against_rows(data, sizes.plain, runs, plain, "plain dict-rows Beam", "at least 5 ×")


def against_pandas(data: Data, sizes: Sizes) -> list[Line]:
    """Row-wise pandas."""

    def pandas(warehouse: Path, name: str) -> Callable[[], Measured]:
        return peer(name, "rowwise_pandas", warehouse, sizes.pandas, PEERS_PYTHON)

    return against_rows(data, sizes.pandas, sizes.long_runs, pandas, "row-wise pandas", "at least 8 ×")


def hot_session(data: Data, sizes: Sizes) -> list[Line]:
    """Six of ten rows in one session, and none; both in random order."""
    events = sizes.small
    usual, hot = paired(
        sizes.runs,
        full_load("full load, one worker, the usual sessions", data.variant("random", events), events, ONE_WORKER),
        full_load("full load, one worker, a hot session", data.variant("hot", events), events, ONE_WORKER),
    )
    result = f"{times(hot.seconds, usual.seconds, 'the time')}, {hot.megabytes / 1000:.1f} GB"
    return [row(usual), row(hot), note("one session with 60 % of the rows", events, result, "at most 1.2 ×, 1 GB")]


def single_events(data: Data, sizes: Sizes) -> list[Line]:
    """As many sessions as events, and half as many persons."""
    events = sizes.small
    warehouse = data.variant("single", events)
    ours, duck, click = paired(
        sizes.long_runs,
        full_load("full load, one worker", warehouse, events, ONE_WORKER),
        duckdb_sql(warehouse, events),
        clickhouse_sql(warehouse, events),
    )
    check_peers(warehouse)
    result = f"{times(ours.seconds, duck.seconds)}, {ours.megabytes / 1000:.1f} GB"
    name = "one event a session, one worker, against"
    return [
        row(ours),
        row(duck),
        row(click),
        note(f"{name} DuckDB", events, result, "at most 1.2 ×, 1.5 GB"),
        note(f"{name} ClickHouse", events, times(ours.seconds, click.seconds)),
    ]


def many_blocks(data: Data, sizes: Sizes) -> list[Line]:
    """As many blocks of sessions as 10 billion rows have, forced upon the large sample in random order."""
    events, warehouse = sizes.large, data.variant("random", sizes.large)

    def forced() -> Measured:
        full_load_arguments = pipeline(warehouse, "--full_load", ONE_WORKER)[1:]
        _forget(warehouse)
        arguments = ["benchmarks.forced_blocks", str(TEN_BILLION), *full_load_arguments]
        return run_once("full load, one worker, blocks of 10 billion rows", events, arguments)

    usual, many = paired(
        sizes.long_runs, full_load("full load, one worker, its own blocks", warehouse, events, ONE_WORKER), forced
    )
    result = (
        f"{times(many.seconds, usual.seconds, 'the time')}, "
        f"{times(many.cpu_seconds, usual.cpu_seconds, 'the CPU time')}, {many.megabytes / 1000:.1f} GB"
    )
    return [row(usual), row(many), note("an event with the blocks of 10 billion", events, result, "at most 1.5 ×")]


def incremental(data: Data, sizes: Sizes) -> list[Line]:
    """One night, 1 %, after 99 % of 100 days, from the same state each time, and the full load of all; one worker."""
    with tempfile.TemporaryDirectory(dir=data.folder) as folder:
        warehouse, kept = Path(folder, "warehouse"), Path(folder, "kept")
        shutil.copytree(data.sample(sizes.history, "--days", "100"), warehouse, symlinks=True)
        later = hold_back_one_percent(warehouse)
        full = full_load("full load of 100 days, one worker", warehouse, sizes.history, ONE_WORKER)
        full()
        for file in later.glob("*.parquet"):
            shutil.move(str(file), warehouse / "posthog_etl" / "events" / file.name)
        published = warehouse / ".posthog_aggregated"
        shutil.copytree(published, kept, symlinks=True)
        link = os.readlink(warehouse / "posthog_aggregated")

        def daily() -> Measured:
            _forget(warehouse)
            shutil.copytree(kept, published, symlinks=True)
            (warehouse / "posthog_aggregated").symlink_to(link)
            return run_once("incremental, 1 % new, one worker", sizes.history, pipeline(warehouse, ONE_WORKER))

        whole, new = paired(sizes.long_runs, full, daily)
        runs = pq.read_table(warehouse / "posthog_aggregated" / "runs").sort_by("run_id").to_pylist()
    share = runs[-1]["bytes_read"] / runs[-1]["bytes_total"]
    result = f"{new.seconds / whole.seconds:.0%} of its time, {share:.0%} of the bytes read"
    return [row(whole), row(new), note("incremental against full load", sizes.history, result)]


def figures(data: Data, sizes: Sizes) -> list[Line]:
    """Bytes into the shuffle, start-up, and CPU time of the read methods."""
    lines = []
    allowed = {"order of arrival": "at most 40", "random order": "at most 60"}
    warehouses = data.sample(sizes.small), data.variant("random", sizes.small)
    for order, warehouse in zip(ORDERS, warehouses, strict=True):
        total, events, slices = map(int, _printed("benchmarks.shuffle_bytes", warehouse).split())
        result = f"{total / events:.1f} in {slices:,} slices"
        lines.append(note(f"bytes of an event in the shuffle, {order}", events, result, allowed[order]))
    [start] = paired(max(3, sizes.runs), functools.partial(first_event, "start-up", warehouses[0]))
    read = _printed("benchmarks.read_methods", data.sample(sizes.reads))
    micros = {name: float(value) for name, value in map(str.split, read.splitlines())}
    rows, arrow = micros["DIRECT_READ"], micros["ARROW"]
    result = f"dict rows {rows:.1f} µs, ARROW {arrow:.1f} µs: {rows / arrow:.1f} × less"
    return [
        *lines,
        note("start-up to the first event, one worker", 1, f"{start.seconds:.1f} s", "at most 3 s"),
        note("CPU of an event out of BigQuery (emulator)", sizes.reads, result),
    ]


def scale(data: Data, sizes: Sizes) -> list[Line]:
    """Time and memory against events on one and two workers; the page of scaling when large."""
    started = datetime.now()
    found = scaling.measure(list(sizes.scaling), data.sample)
    if sizes is LARGE:
        scaling.write_page(found, started)
    return [
        row(replace(one, name=f"full load, {'one worker' if workers == 1 else 'two workers'}"))
        for workers, runs in found.items()
        for one in runs
    ]


#: Name (for --only) → title, function; in this order on the page.
PARTS: dict[str, tuple[str, Callable[[Data, Sizes], list[Line]]]] = {
    "small": ("Order of arrival and random order, one worker", small_orders),
    "large": ("Order of arrival and random order, large", large_orders),
    "hot": ("A hot session", hot_session),
    "single": ("One event a session", single_events),
    "blocks": ("The blocks of 10 billion rows", many_blocks),
    "figures": ("Shuffle, start-up, reading", figures),
    "pandas": ("Row-wise pandas", against_pandas),
    "plain": ("Plain Beam", against_plain_beam),
    "incremental": ("Incremental", incremental),
    "scaling": ("Scaling", scale),
}


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


def _tables(warehouse: Path, module: str) -> Path:
    """Where a peer's tables of a warehouse are."""
    return warehouse / "peers" / module


def _forget(warehouse: Path) -> None:
    """Nothing is published."""
    shutil.rmtree(warehouse / ".posthog_aggregated", ignore_errors=True)
    (warehouse / "posthog_aggregated").unlink(missing_ok=True)


def _printed(module: str, warehouse: Path) -> str:
    """What a module prints about a warehouse; a process of its own, as ours is large by now, which costs CPU time."""
    arguments = [sys.executable, "-m", module, str(warehouse)]
    return subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True).stdout


def _parts(text: str) -> list[str]:
    unknown = [name for name in text.split(",") if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return text.split(",")


def main() -> None:
    """Measure, print, save after every part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small data, one run each, under three minutes")
    parser.add_argument("--only", type=_parts, default=list(PARTS), help=f"some parts: {','.join(PARTS)}")
    parser.add_argument("--data", type=Path, help="keep the data in this folder, and use what is there")
    given = parser.parse_args()
    sizes = QUICK if given.quick else LARGE
    page = Path(__file__).with_name("results-quick.md" if given.quick else "results.md")
    started = datetime.now()
    with tempfile.TemporaryDirectory() as folder:
        data = Data((given.data or Path(folder)).absolute())
        data.folder.mkdir(parents=True, exist_ok=True)
        sections = {one.title: one for one in read_sections(page)}
        for name in given.only:
            title, measure = PARTS[name]
            begun = datetime.now()
            lines = measure(data, sizes)
            took = timedelta(seconds=round((datetime.now() - begun).total_seconds()))
            sections[title] = section(title, f"{begun:%Y-%m-%d}, {took} with the making of its data", lines)
            print(f"## {title}\n\n{sections[title].text}\n", flush=True)
            ordered = [sections[known] for known, _ in PARTS.values() if known in sections]
            write_page(page, environment(started), ordered)


if __name__ == "__main__":
    main()
