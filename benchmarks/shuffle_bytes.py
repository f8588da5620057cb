"""Bytes that the session shuffle carries: the slices of slim event rows that a full load of a warehouse makes.

`python -m benchmarks.shuffle_bytes WAREHOUSE` prints bytes, kept events and slices; with `kinds` after it, also what
one more entry of each kind would add to an event, in bytes and in CPU time of decoding and making facts.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from pipeline import tables
from pipeline.plan import session_blocks_for
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.parquet import read_shard, table_shards
from transforms.events.decode import DecodeBatch
from transforms.events.session_blocks import Blocks
from transforms.incremental.window import EVERYTHING
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import PACKAGED, load_metrics, parse_metrics
from transforms.sessions.facts import SessionCombineFn, fact_schema

_ROUNDS = 7

#: One more entry of each kind, of what the packaged file does not keep already.
ENTRIES = {
    "flag, count, first_time, last_time": "kind = 'count'\nevents = ['send_message']",
    "the same where a property has a value": "kind = 'count'\nwhere = { '$device_name' = 'iPhone 14 Pro Max' }",
    "distinct, first, last, values of a text of the device": "kind = 'values'\nproperty = '$device_name'",
    "the same of a text of its own in four of ten events": "kind = 'values'\nproperty = '$touch_x'",
    "the same of the event's name": "kind = 'values'\nproperty = 'event'",
    "max, min, sum of a number in four of ten events": "kind = 'sum'\nproperty = '$touch_x'\ndecimals = 2",
    "sequence of three steps": "kind = 'sequence'\nsteps = ['send_message', '$exception', 'Application Installed']",
    "a link": "[links.one_more]\nproperty = 'quiz'\nactions = { started = ['start_quiz'], done = ['finish_quiz'] }",
    "duration": "kind = 'duration'\npauses = ['send_message']\nresumes = ['$exception']",
}


def shuffle_bytes(warehouse: Path, blocks: int | None = None, metrics: Metrics | None = None) -> tuple[int, int, int]:
    """(bytes of all slices, kept events, slices), by default under the packaged metrics."""
    slices, _ = aggregated(_batches(warehouse), blocks, metrics or load_metrics())
    return sum(len(packed) for _, packed in slices), sum(size for size, _ in slices), len(slices)


def aggregated(
    batches: Sequence[pa.RecordBatch], blocks: int | None, metrics: Metrics
) -> tuple[list[tuple[int, bytes]], float]:
    """The slices of some batches of events, and the CPU seconds that decoding them and making facts of them takes."""
    rows = sum(batch.num_rows for batch in batches)
    number = blocks or session_blocks_for(rows, rows)
    step = DecodeBatch(metrics, frozenset(), EVERYTHING, Blocks(number), ["slices"])
    step.setup()
    combine = SessionCombineFn(metrics, fact_schema(metrics, tables.SESSIONS.under(metrics).bare))
    begin = time.process_time()
    step.start_bundle()
    outputs = [output for batch in batches for output in step.process(batch)]
    outputs += [windowed.value for windowed in step.finish_bundle()]
    slices = [output for output in outputs if isinstance(output, tuple)]
    by_block: dict[str, list[bytes]] = {}
    for block, (_, packed) in slices:
        by_block.setdefault(block, []).append(packed)
    for packed_slices in by_block.values():
        combine.output(packed_slices)
    return [found for _, found in slices], time.process_time() - begin


def _batches(warehouse: Path) -> list[pa.RecordBatch]:
    label = "posthog_etl.events"
    shards = table_shards(files_of(_events_of(warehouse)), label)
    return [batch for shard in shards for batch in read_shard(shard, tables.EVENTS, label)]


def _events_of(warehouse: Path) -> Path:
    return warehouse / "posthog_etl" / "events"


def costs_of_kinds(warehouse: Path) -> None:
    """Print what one more entry of each kind adds to an event: bytes, and CPU time as the least of several rounds."""
    batches, files = _batches(warehouse), {"": PACKAGED.read_text()}
    for kinds, entry in ENTRIES.items():
        head = "" if entry.startswith("[") else "[metrics.one_more]\n"
        files[kinds] = f"{PACKAGED.read_text()}\n{head}{entry}\ndescription = 'More.'\n"
    metrics = {kinds: parse_metrics(text) for kinds, text in files.items()}
    size, seconds = dict[str, int](), dict.fromkeys(metrics, math.inf)
    for _ in range(_ROUNDS):  # one after the other, so that a busy machine is busy for all
        for kinds, one in metrics.items():
            slices, taken = aggregated(batches, None, one)
            events = sum(number for number, _ in slices)
            size[kinds] = sum(len(packed) for _, packed in slices)
            seconds[kinds] = min(seconds[kinds], taken)
    print(f"{size[''] / events:.1f} bytes and {seconds[''] / events * 1e6:.2f} µs an event")
    for kinds in ENTRIES:
        more, longer = (found[kinds] - found[""] for found in (size, seconds))
        print(f"{more / events:+.2f} bytes, {longer / events * 1e6:+.2f} µs: {kinds}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shuffle_bytes", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("warehouse", type=Path, metavar="WAREHOUSE")
    parser.add_argument("kinds", nargs="?", choices=["kinds"], help="also what one more entry of each kind would add")
    given = parser.parse_args()
    if not files_of(_events_of(given.warehouse)):
        parser.error(f"no events: {_events_of(given.warehouse)} has no *.parquet file")
    print(*shuffle_bytes(given.warehouse))
    if given.kinds:
        costs_of_kinds(given.warehouse)
