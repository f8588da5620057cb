"""Bytes that the session shuffle carries: the slices of slim event rows that a full load of a warehouse makes.

`python -m benchmarks.shuffle_bytes WAREHOUSE` prints bytes, kept events and slices; with `kinds` after it, also what
one more entry of each kind would add to an event.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import tables
from pipeline.plan import session_blocks_for
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.parquet import read_shard, table_shards
from transforms.events.decode import DecodeBatch
from transforms.events.session_blocks import Blocks
from transforms.incremental.window import EVERYTHING
from transforms.metrics.definitions import PACKAGED, Metrics, load_metrics, parse_metrics

#: One more entry of each kind, of what the packaged file does not keep already.
ENTRIES = {
    "flag, count, first_time, last_time": "kind = 'count'\nevents = ['send_message']",
    "the same where a property has a value": "kind = 'count'\nwhere = { '$device_name' = 'iPhone 14 Pro Max' }",
    "distinct, first, last, values of a text of the device": "kind = 'values'\nproperty = '$device_name'",
    "the same of a text of its own in four of ten events": "kind = 'values'\nproperty = '$touch_x'",
    "the same of the event's name": "kind = 'values'\nproperty = 'event'",
    "max, min, sum of a number in four of ten events": "kind = 'sum'\nproperty = '$touch_x'\ndecimals = 2",
    "sequence of three steps": "kind = 'sequence'\nsteps = ['send_message', '$exception', 'Application Installed']",
    "duration": "kind = 'duration'\npauses = ['send_message']\nresumes = ['$exception']",
}


def shuffle_bytes(warehouse: Path, blocks: int | None = None, metrics: Metrics | None = None) -> tuple[int, int, int]:
    """(bytes of all slices, kept events, slices), by default under the packaged metrics."""
    label = "posthog_etl.events"
    shards = table_shards(files_of(warehouse / "posthog_etl" / "events"), label)
    batches = [batch for shard in shards for batch in read_shard(shard, tables.EVENTS, label)]
    rows = sum(batch.num_rows for batch in batches)
    number = blocks or session_blocks_for(rows, rows)
    step = DecodeBatch(metrics or load_metrics(), frozenset(), EVERYTHING, Blocks(number), ["slices"])
    step.setup()
    step.start_bundle()
    outputs = [output for batch in batches for output in step.process(batch)]
    outputs += [windowed.value for windowed in step.finish_bundle()]
    slices = [output[1] for output in outputs if isinstance(output, tuple)]
    return sum(len(packed) for _, packed in slices), sum(size for size, _ in slices), len(slices)


if __name__ == "__main__":
    base, events, slices = shuffle_bytes(Path(sys.argv[1]))
    print(base, events, slices)
    for kinds, entry in ENTRIES.items() if sys.argv[2:] == ["kinds"] else ():
        with_it = parse_metrics(f"{PACKAGED.read_text()}\n[metrics.one_more]\ndescription = 'More.'\n{entry}\n")
        added = shuffle_bytes(Path(sys.argv[1]), metrics=with_it)[0] - base
        print(f"{added / events:+.2f} bytes an event: {kinds}")
