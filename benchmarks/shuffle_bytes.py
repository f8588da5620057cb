"""Bytes that the session shuffle carries: the slices of slim event rows that a full load of a warehouse makes.

`python -m benchmarks.shuffle_bytes WAREHOUSE [BLOCKS]` prints bytes, kept events and slices.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import tables
from pipeline.plan import session_blocks_for
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.parquet import read_shard, table_shards
from transforms.metrics import load_metrics
from transforms.scope import EVERYTHING
from transforms.sessions import Blocks, DecodeBatch


def shuffle_bytes(warehouse: Path, blocks: int | None = None) -> tuple[int, int, int]:
    """(bytes of all slices, kept events, slices)."""
    label = "posthog_etl.events"
    shards = table_shards(files_of(warehouse / "posthog_etl" / "events"), label)
    batches = [batch for shard in shards for batch in read_shard(shard, tables.EVENTS, label)]
    rows = sum(batch.num_rows for batch in batches)
    number = blocks or session_blocks_for(rows, rows)
    step = DecodeBatch(load_metrics(), frozenset(), EVERYTHING, Blocks(number), ["slices"])
    step.setup()
    step.start_bundle()
    outputs = [output for batch in batches for output in step.process(batch)]
    outputs += [windowed.value for windowed in step.finish_bundle()]
    slices = [output[1] for output in outputs if isinstance(output, tuple)]
    return sum(len(packed) for _, packed in slices), sum(size for size, _ in slices), len(slices)


if __name__ == "__main__":
    print(*shuffle_bytes(Path(sys.argv[1]), *map(int, sys.argv[2:3])))
