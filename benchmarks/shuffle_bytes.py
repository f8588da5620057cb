"""Bytes that the session shuffle carries: encoded keys and accumulators of all batches of a warehouse.

`python -m benchmarks.shuffle_bytes WAREHOUSE` prints total bytes, events, sessions of a batch.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline import tables
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.parquet import read_shard, table_shards
from transforms.events import EventDecoder
from transforms.metrics import load_metrics
from transforms.preaggregate import preaggregate
from transforms.session_accumulator import encode


def shuffle_bytes(warehouse: Path) -> tuple[int, int, int]:
    """(bytes of keys and values, kept events, sessions)."""
    metrics = load_metrics()
    decoder = EventDecoder(metrics)
    total = events = 0
    sessions = set()
    label = "posthog_etl.events"
    for shard in table_shards(files_of(warehouse / "posthog_etl" / "events"), label):
        for batch in read_shard(shard, tables.EVENTS, label):
            decoded = decoder.decode(batch)
            events += len(decoded.timestamps)
            for key, part in preaggregate(decoded, metrics):
                sessions.add(key)
                total += len(key.encode()) + len(encode(part))
    return total, events, len(sessions)


if __name__ == "__main__":
    print(*shuffle_bytes(Path(sys.argv[1])))
