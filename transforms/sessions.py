"""Events → session facts: the first combine.

Facts are the columns of `sessions` that follow from a session's events alone. They are also the pipeline's
memory: an incremental run takes the facts of untouched sessions from the published table.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.combine import EncodedCombineFn
from transforms.counts import NAMESPACE, Count
from transforms.elements import ToBatches, collect_less, split
from transforms.events import EventDecoder
from transforms.identity import session_ids
from transforms.metrics import Metrics
from transforms.preaggregate import preaggregate
from transforms.scope import Scope
from transforms.session_accumulator import (
    SessionAccumulator,
    Shape,
    compact,
    counts,
    decode,
    encode,
    event_count,
    merge,
)

#: Facts that are not columns of `sessions`: input rows (for the ledger) and the greatest arrival (µs).
ROWS, ARRIVAL = "_rows", "_arrival"


def fact_names(metrics: Metrics) -> list[str]:
    """The columns of session facts, in the order of the tuples that `SessionCombineFn` gives."""
    return [
        "session_id",
        "distinct_id",
        "distinct_ids",
        "start_timestamp",
        "end_timestamp",
        "event_count",
        *(entry.name for entry in metrics.entries),
        "is_oversized",
    ]


def fact_schema(metrics: Metrics, sessions: pa.Schema) -> pa.Schema:
    """The Arrow schema of facts; `sessions` is the schema of the sessions table, whose types it shares."""
    fields = [sessions.field(name) for name in fact_names(metrics)]
    return pa.schema([*fields, pa.field(ROWS, pa.int64()), pa.field(ARRIVAL, pa.timestamp("us", "UTC"))])


class SessionCombineFn(EncodedCombineFn[SessionAccumulator]):
    """Encoded `SessionAccumulator` parts of one session → its facts (without the session id), in `fact_names` order.

    Commutative, associative and idempotent by event id (`_rows` aside, which counts input rows). An accumulator
    takes about 10 bytes an event and 200 a session, and never holds more than `max_events_per_session` events.
    """

    width = BeamMetrics.distribution(NAMESPACE, "session_merge_width")

    def __init__(self, metrics: Metrics) -> None:
        self._shape = shape_of(metrics)
        self._facts_of = FactsOf(metrics)

    def encode(self, part: SessionAccumulator) -> bytes:
        """See `session_accumulator.encode`."""
        return encode(part)

    def decode(self, encoded: bytes) -> SessionAccumulator:
        """See `session_accumulator.decode`."""
        return decode(encoded)

    def union(self, parts: list[SessionAccumulator]) -> SessionAccumulator:
        """See `session_accumulator.merge`."""
        return merge(parts, self._shape)

    def pack(self, part: SessionAccumulator) -> SessionAccumulator:
        """See `session_accumulator.compact`."""
        return compact(part, self._shape)

    def values(self, part: SessionAccumulator) -> tuple[Any, ...]:
        """The facts."""
        return self._facts_of(part)


def shape_of(metrics: Metrics) -> Shape:
    """What merging accumulators must know of the metrics."""
    return Shape(metrics.max_events_per_session, tuple(entry.kind == "last" for entry in metrics.edges))


class FactsOf:
    """A packed part → its facts in `fact_names` order (session id aside), then rows and arrival.

    Called once a session, so where each value comes from is worked out once.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._counts = len(metrics.counts)
        self._flags = [1 << bit for bit in range(len(metrics.event_flags))]
        groups = (metrics.counts, metrics.event_flags, metrics.distincts, metrics.maxima, metrics.edges)
        place = {entry.name: i for i, entry in enumerate(itertools.chain(*groups))}
        self._derived = [place[entry.count] for entry in metrics.entries if entry.count is not None]
        derived = itertools.count(len(place))
        self._order = [place[entry.name] if entry.name in place else next(derived) for entry in metrics.entries]

    def __call__(self, part: SessionAccumulator) -> tuple[Any, ...]:
        """The facts of one part."""
        flags = part.flags
        values: list[Any] = [*counts(part, self._counts)]
        values += [flags & bit != 0 for bit in self._flags]
        values += [len(hashes) // 8 for hashes in part.distincts]
        values += part.maxima
        values += [edge and edge[2] for edge in part.edges]
        values += [values[i] > 0 for i in self._derived]
        return (
            part.first_distinct_id[2],
            part.distinct_ids,
            part.start,
            part.end,
            event_count(part),
            *[values[i] for i in self._order],
            part.oversized,
            part.rows,
            part.arrival,
        )


@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(tuple[bytes, bytes])
class _DecodeBatch(beam.DoFn):
    """Record batches of `posthog.events` → (session id, encoded part); tags `rejected` and `counts`, and more slices.

    `rejected` are record batches of the source's columns plus `reason`; `counts` are `Count`s of rows by
    outcome. A session's parts all go to the main output or all to the tag of one other slice. A batch is decoded at
    once; nothing of a row is ever logged.
    """

    REJECTED, COUNTS, ARRIVALS, LATE, LEFT_OUT = "rejected", "counts", "arrivals", "texts", "left_out"

    def __init__(self, metrics: Metrics, excluded: frozenset[str], scope: Scope, slices: Sequence[str]) -> None:
        self._metrics, self._excluded, self._scope, self._slices = metrics, excluded, scope, slices
        self._batch_rows = BeamMetrics.distribution(NAMESPACE, "event_batch_rows")
        self._batch_sessions = BeamMetrics.distribution(NAMESPACE, "event_batch_sessions")

    def setup(self) -> None:
        """Build the typed decoder once a worker."""
        collect_less()
        self._decoder = EventDecoder(self._metrics, self._excluded, self._scope)

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """Decode and pre-aggregate one batch."""
        events = self._decoder.decode(batch)
        slices, sessions = self._slices, 0
        for session_id, part in preaggregate(events, self._metrics):
            key = session_id.encode()
            number = zlib.crc32(key) % len(slices)
            yield TaggedOutput(slices[number], (key, encode(part))) if number else (key, encode(part))
            sessions += 1
        self._batch_rows.update(batch.num_rows)
        self._batch_sessions.update(sessions)
        if events.rejected.num_rows:
            yield TaggedOutput(self.REJECTED, events.rejected)
        for count in events.counts.items():
            yield TaggedOutput(self.COUNTS, count)
        if events.latest_arrival is not None:
            yield TaggedOutput(self.ARRIVALS, events.latest_arrival)
        if events.left_out:
            yield TaggedOutput(self.LEFT_OUT, session_ids(events.left_out))
        for session_id in events.late_sessions:
            yield TaggedOutput(self.LATE, session_id)


class Decoded(NamedTuple):
    """The outputs of `DecodeEvents`."""

    parts: tuple[PCollection[tuple[bytes, bytes]], ...]
    """(session id, what a batch knows of it: an encoded `SessionAccumulator`), in slices by session id."""
    rejected: PCollection[pa.RecordBatch]
    """The source's columns of rejected rows plus `reason`."""
    counts: PCollection[Count]
    """Rows by outcome."""
    arrivals: PCollection[int]
    """The greatest arrival of each batch, µs."""
    texts: PCollection[str]
    """Sessions of events that came too late for the run's window."""
    left_out: PCollection[pa.RecordBatch]
    """`SESSION_IDS` of events with an excluded distinct id."""


class DecodeEvents(beam.PTransform):
    """PCollection[pa.RecordBatch] of `posthog.events` → `Decoded`, its parts in so many slices."""

    def __init__(self, metrics: Metrics, excluded: frozenset[str], scope: Scope, slices: int = 1) -> None:
        super().__init__()
        self._slices = [f"parts_{i}" for i in range(slices)]
        self._decode = _DecodeBatch(metrics, excluded, scope, self._slices)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> Decoded:
        """One pass, no shuffle."""
        types = dict.fromkeys(self._slices, tuple[bytes, bytes]) | {
            _DecodeBatch.REJECTED: pa.RecordBatch,
            _DecodeBatch.COUNTS: Count,
            _DecodeBatch.ARRIVALS: int,
            _DecodeBatch.LATE: str,
            _DecodeBatch.LEFT_OUT: pa.RecordBatch,
        }
        outputs = split(batches, self._decode, **types)
        return Decoded(tuple([outputs.pop(name) for name in self._slices]), **outputs)


class AggregateSessions(beam.PTransform):
    """Slices of (session id, encoded part) → record batches of session facts, one row a session.

    Input: a tuple of PCollection[tuple[bytes, bytes]]; the parts of a session are in one of them. Output:
    PCollection[pa.RecordBatch] with `schema`; the session id stays the key. Each slice is a shuffle of its own: a
    runner in memory makes several copies of a shuffle while it hands it over, and frees them before the next.
    """

    def __init__(self, metrics: Metrics, schema: pa.Schema) -> None:
        super().__init__()
        self._metrics, self._schema = metrics, schema

    def expand(self, slices: tuple[PCollection[tuple[bytes, bytes]], ...]) -> PCollection[pa.RecordBatch]:
        """A shuffle by session id a slice."""
        first, *others = [
            parts
            | f"Combine per session{name}" >> beam.CombinePerKey(SessionCombineFn(self._metrics))
            | f"Batch facts{name}" >> beam.ParDo(ToBatches(self._schema))
            for parts, name in zip(slices, ["", *(f" {i}" for i in range(1, len(slices)))], strict=True)
        ]
        # a Flatten, even of one input, would keep the steps after it from being fused with those before
        return (first, *others) | "All facts" >> beam.Flatten() if others else first
