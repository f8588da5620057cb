"""The step that decodes: slices by block, and every other output where it belongs."""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from tests.builders import SMALL_METRICS, START, event, events_batch
from transforms.events.decode import DecodeEvents
from transforms.events.session_blocks import Blocks, session_blocks
from transforms.events.slim_rows import layout
from transforms.incremental.window import EVERYTHING, Window
from transforms.machinery.blocks import block_name
from transforms.machinery.columns import Columns
from transforms.machinery.combine import Slice
from transforms.machinery.times import micros

SESSIONS = [f"session-{n}" for n in range(40)]


def sizes_of(keyed: tuple[str, Slice]) -> list[tuple[str, int]]:
    """The rows of a slice as it tells of them and as there are."""
    _, (number, packed) = keyed
    return [("told", number), ("there", len(Columns.unpack([packed], layout(SMALL_METRICS))))]


def values(column: str) -> beam.PTransform:
    """Record batches → the values of a column."""
    return beam.FlatMap(lambda batch: batch.column(column).to_pylist())


@pytest.mark.parametrize("shuffles", [1, 3])
def test_a_session_goes_to_its_block_in_one_shuffle(shuffles: int) -> None:
    blocks = Blocks(7, shuffles)
    batches = [events_batch([event(n, session) for n, session in enumerate(SESSIONS)]) for _ in range(2)]
    wanted = {block_name(int(block)) for block in session_blocks(pa.array(SESSIONS), blocks.number)}
    with beam.Pipeline() as p:
        decoded = p | beam.Create(batches) | DecodeEvents(SMALL_METRICS, frozenset(), EVERYTHING, blocks)
        assert len(decoded.slices) == shuffles
        keys = [
            slices | f"Keys {i}" >> beam.Keys() | f"Once {i}" >> beam.Distinct()
            for i, slices in enumerate(decoded.slices)
        ]
        assert_that(keys | beam.Flatten(), equal_to(sorted(wanted)), "blocks")  # no block in two shuffles
        sizes = [slices | f"Sizes {i}" >> beam.FlatMap(sizes_of) for i, slices in enumerate(decoded.slices)]
        total = sizes | "All sizes" >> beam.Flatten() | beam.CombinePerKey(sum)
        assert_that(total, equal_to([("told", 2 * len(SESSIONS)), ("there", 2 * len(SESSIONS))]), "rows")


def test_what_is_known_beside_slices_has_its_own_outputs() -> None:
    window = Window(micros(START), new_from=micros(START), undated_from=micros(START))
    rows = [
        event(1),
        event(2, properties="no json"),
        event(3, "late", seconds=-100, arrives=10),
        event(4, "theirs", distinct_id="staff"),
    ]
    with beam.Pipeline() as p:
        decoded = p | beam.Create([events_batch(rows)]) | DecodeEvents(SMALL_METRICS, frozenset({"staff"}), window)
        assert_that(decoded.rejected | "Reasons" >> values("reason"), equal_to(["properties_invalid"]), "rejected")
        assert_that(decoded.late | "Late" >> values("session_id"), equal_to(["late"]), "late")
        assert_that(decoded.left_out | "Left out" >> values("distinct_id"), equal_to(["staff"]), "left out")
        told = ("read", "filtered.excluded_user", "filtered.late")
        counts = decoded.counts | beam.CombinePerKey(sum) | beam.Filter(lambda count: count[0] in told)
        assert_that(counts, equal_to([("read", 4), ("filtered.excluded_user", 1), ("filtered.late", 1)]), "counts")
