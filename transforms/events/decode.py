"""Events as they come → slim rows in blocks of sessions, and whatever else is known of them: the step of the graph."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection, TaggedOutput

from transforms.events.decoder import EventDecoder
from transforms.events.distinct_ids import session_ids
from transforms.events.outcomes import MATCHING
from transforms.events.session_blocks import Blocks
from transforms.events.slim_rows import layout
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.incremental.watermark import Latest
from transforms.incremental.window import Window
from transforms.machinery.blocks import Gather, block_name, block_of
from transforms.machinery.columns import Columns
from transforms.machinery.combine import Slice
from transforms.machinery.counts import NAMESPACE, Count
from transforms.machinery.guard import guarded
from transforms.machinery.steps import collect_less, split
from transforms.machinery.uuids import Words, mix
from transforms.metrics.definitions import Metrics


@guarded("Decode events")
@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(tuple[str, Slice])
class DecodeBatch(Gather[Columns]):
    """Record batches of `posthog.events` → (block, slice of slim rows); tags `rejected`, `counts` and more shuffles.

    `rejected` are record batches of the source's columns plus `reason`; `counts` are `Count`s of rows by
    outcome. A block's slices all go to the main output or all to the tag of one other shuffle. Nothing of a row is
    ever logged.
    """

    REJECTED, COUNTS, ARRIVALS, LATE, LEFT_OUT, SEEN = "rejected", "counts", "arrivals", "late", "left_out", "seen"

    def __init__(
        self,
        metrics: Metrics,
        excluded: frozenset[str],
        window: Window,
        blocks: Blocks,
        shuffles: Sequence[str],
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        super().__init__(blocks.number)
        self._metrics, self._excluded, self._window, self._shuffles = metrics, excluded, window, shuffles
        self._pseudonyms = pseudonyms
        self._layout = layout(metrics)
        self._slice_rows = BeamMetrics.distribution(NAMESPACE, "event_slice_rows")
        self._slice_bytes = BeamMetrics.distribution(NAMESPACE, "event_slice_bytes")

    def setup(self) -> None:
        """Build the typed decoder once a worker."""
        collect_less()
        self._decoder = EventDecoder(self._metrics, self._excluded, self._window, self._pseudonyms)

    def process(self, batch: pa.RecordBatch) -> Iterator[Any]:
        """Decode one batch, and hold it until there are rows enough."""
        events = self._decoder.decode(batch)
        yield from self.hold(events.kept, len(events.kept))
        if events.rejected.num_rows:
            yield TaggedOutput(self.REJECTED, events.rejected)
        for count in events.counts.items():
            yield TaggedOutput(self.COUNTS, count)
        for name, number in events.matches.items():
            yield TaggedOutput(self.COUNTS, (f"{MATCHING}{name}", number))
        if events.latest:
            yield TaggedOutput(self.ARRIVALS, events.latest)
        if events.left_out:
            yield TaggedOutput(self.LEFT_OUT, session_ids(events.left_out))
        if events.late.num_rows:
            yield TaggedOutput(self.LATE, events.late)
        if events.seen.num_rows:
            yield TaggedOutput(self.SEEN, events.seen)

    def cut(self, held: list[Columns]) -> Iterator[Any]:
        """Slices, by block."""
        rows = Columns.concat(held)
        key: Words = mix(rows.numbers["session_high"], rows.numbers["session_low"])
        order = np.argsort(key)  # by session too: rows of one are alike, which packs well
        blocks = block_of(key[order], self._blocks)
        starts = np.flatnonzero(np.diff(blocks, prepend=-1))
        slices = rows.take(order).slices(np.append(starts, len(blocks)), self._layout)
        for block, (size, packed) in zip(blocks[starts].tolist(), slices, strict=True):
            self._slice_rows.update(size)
            self._slice_bytes.update(len(packed))
            keyed = block_name(block), (size, packed)
            shuffle = block * len(self._shuffles) // self._blocks
            yield TaggedOutput(self._shuffles[shuffle], keyed) if shuffle else keyed


class Decoded(NamedTuple):
    """The outputs of `DecodeEvents`."""

    slices: tuple[PCollection[tuple[str, Slice]], ...]
    """(block of sessions, slim event rows), one PCollection a shuffle."""
    rejected: PCollection[pa.RecordBatch]
    """The source's columns of rejected rows plus `reason`."""
    counts: PCollection[Count]
    """Rows by outcome."""
    arrivals: PCollection[Latest]
    """The greatest arrivals of each batch, µs."""
    late: PCollection[pa.RecordBatch]
    """`UNSETTLED` of events that came too late for the run's window."""
    left_out: PCollection[pa.RecordBatch]
    """`SESSION_IDS` of events with an excluded distinct id."""
    seen: PCollection[pa.RecordBatch]
    """What the ledger remembers of rows that arrived late, see `transforms.incremental.seen`."""


class DecodeEvents(beam.PTransform):
    """PCollection[pa.RecordBatch] of `posthog.events` → `Decoded`."""

    def __init__(
        self,
        metrics: Metrics,
        excluded: frozenset[str],
        window: Window,
        blocks: Blocks = Blocks(),  # noqa: B008 (immutable)
        pseudonyms: Pseudonyms = PLAIN,
    ) -> None:
        super().__init__()
        self._shuffles = [f"slices_{i}" for i in range(blocks.shuffles)]
        self._decode = DecodeBatch(metrics, excluded, window, blocks, self._shuffles, pseudonyms)

    def expand(self, batches: PCollection[pa.RecordBatch]) -> Decoded:
        """One pass, no shuffle."""
        types = dict.fromkeys(self._shuffles, tuple[str, Slice]) | {
            DecodeBatch.REJECTED: pa.RecordBatch,
            DecodeBatch.COUNTS: Count,
            DecodeBatch.ARRIVALS: Latest,
            DecodeBatch.LATE: pa.RecordBatch,
            DecodeBatch.LEFT_OUT: pa.RecordBatch,
            DecodeBatch.SEEN: pa.RecordBatch,
        }
        outputs = split(batches, self._decode, **types)
        return Decoded(tuple([outputs.pop(name) for name in self._shuffles]), **outputs)
