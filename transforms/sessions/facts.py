"""Events → session facts: the first combine.

Facts are the columns of `sessions` that follow from a session's events alone. They are also the pipeline's
memory: an incremental run takes the facts of untouched sessions from the published table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection

from transforms.events.event_sets import EventSet, prune, resolve
from transforms.events.session_blocks import LEAST_BOUND, Blocks
from transforms.events.slim_rows import layout
from transforms.machinery.blocks import block_of
from transforms.machinery.columns import Columns, lists_of_different
from transforms.machinery.combine import SetCombineFn, Slice
from transforms.machinery.counts import NAMESPACE
from transforms.machinery.record_batches import columns_to_batch
from transforms.machinery.uuids import mix, uuid_texts
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.links import link_type, links_of
from transforms.schemas.fields import INTEGER, TIMESTAMP

#: Facts that are not columns of `sessions`: input rows (for the ledger), the greatest arrival (µs), and links.
ROWS, ARRIVAL, LINKS = "_rows", "_arrival", "_links"
#: The ids of a session that its row keeps: the smallest.
MAX_DISTINCT_IDS = 1_000
#: Rows of a block that are looked at together; a larger block goes hash range by hash range.
_RANGE_ROWS = 500_000


def fact_names(metrics: Metrics) -> list[str]:
    """The columns of session facts that are columns of `sessions`."""
    return [
        "session_id",
        "distinct_id",
        "distinct_ids",
        "start_timestamp",
        "end_timestamp",
        "event_count",
        *(column.name for kind in metrics.every for column in kind.columns()),
        "is_oversized",
    ]


def fact_schema(metrics: Metrics, sessions: pa.Schema) -> pa.Schema:
    """The Arrow schema of facts; `sessions` is the schema of the sessions table, whose types it shares."""
    fields = [sessions.field(name) for name in fact_names(metrics)]
    others = [(ROWS, INTEGER), (ARRIVAL, TIMESTAMP), (LINKS, link_type(metrics.actions))]
    return pa.schema([*fields, *(pa.field(*one) for one in others)])


class SessionCombineFn(SetCombineFn):
    """Slices of slim event rows of a block → the facts of its sessions, one row each."""

    width = BeamMetrics.distribution(NAMESPACE, "session_merge_width")

    def __init__(self, metrics: Metrics, schema: pa.Schema, bound: int = LEAST_BOUND) -> None:
        super().__init__(bound)
        self._metrics, self._schema, self._layout = metrics, schema, layout(metrics)

    def prune(self, slices: Sequence[bytes]) -> Slice:
        """See `event_sets.prune`."""
        rows = prune(Columns.unpack(slices, self._layout), self._metrics.max_events_per_session)
        [one] = rows.slices(np.array([0, len(rows)]), self._layout)
        return one

    def output(self, slices: Sequence[bytes]) -> pa.RecordBatch:
        """See `facts_of`."""
        if not slices:
            return pa.RecordBatch.from_pylist([], schema=self._schema)
        rows = Columns.unpack(slices, self._layout)
        parts = [facts_of(resolve(part, self._metrics), self._schema) for part in _ranges(rows)]
        return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def facts_of(events: EventSet, schema: pa.Schema) -> pa.RecordBatch:
    """The facts of the sessions of a set, with `schema`."""
    rows, starts = events.rows, events.starts
    values: dict[str, Any] = {
        "session_id": _session_ids(rows, starts),
        "distinct_id": rows.texts["distinct_id"].take(starts).texts(),
        "distinct_ids": lists_of_different(rows.texts["distinct_id"], starts, events.ends, MAX_DISTINCT_IDS)[0],
        "start_timestamp": events.first_time,
        "end_timestamp": events.last_time,
        "event_count": events.ends - starts,
        "is_oversized": events.oversized,
        ROWS: events.input_rows,
        ARRIVAL: events.arrival,
        LINKS: links_of(events.metrics.links, events, events.metrics.actions),
    }
    for kind in events.metrics.every:
        names = [column.name for column in kind.columns()]
        values |= zip(names, kind.values(events), strict=True)
    return columns_to_batch(values, schema)


def _ranges(rows: Columns) -> Iterator[Columns]:
    """The rows in parts of whole sessions, about `_RANGE_ROWS` each."""
    number = -(-len(rows) // _RANGE_ROWS)
    if number == 1:
        yield rows
        return
    key = mix(rows.numbers["session_high"], rows.numbers["session_low"])
    # the upper half tells the block, so the lower half tells ranges of one
    part = block_of(key << np.uint64(32), number)
    for i in range(number):
        chosen = np.flatnonzero(part == i)
        if len(chosen):
            yield rows.take(chosen)


def _session_ids(rows: Columns, starts: Any) -> pa.Array:
    high, low = rows.numbers["session_high"][starts], rows.numbers["session_low"][starts]
    other = rows.texts["session_id"].take(starts)
    ids = uuid_texts(high, low)
    return ids if (other.codes < 0).all() else pc.coalesce(other.texts(), ids)


class AggregateSessions(beam.PTransform):
    """(block, slice) in several shuffles → (block, record batch of facts, one row a session), as many.

    Each is a shuffle of its own: a runner in memory makes several copies of a shuffle while it hands it over, and frees
    them before the next.
    """

    def __init__(self, metrics: Metrics, schema: pa.Schema, blocks: Blocks) -> None:
        super().__init__()
        self._combine = SessionCombineFn(metrics, schema, blocks.bound)

    def expand(
        self, shuffles: tuple[PCollection[tuple[str, Slice]], ...]
    ) -> tuple[PCollection[tuple[str, pa.RecordBatch]], ...]:
        """One shuffle by block of sessions, in parts."""
        return tuple(
            slices | f"Combine per session{name}" >> beam.CombinePerKey(self._combine)
            for slices, name in zip(shuffles, ["", *(f" {i}" for i in range(1, len(shuffles)))], strict=True)
        )
