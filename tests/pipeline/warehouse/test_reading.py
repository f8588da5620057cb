"""What a step that reads a table gives: its rows, and the values of them that could not be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.typehints import with_input_types, with_output_types
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type

from pipeline import tables
from pipeline.warehouse.reading import Losses, Nothing, OnlyRows, rows_and_counts
from transforms.machinery.counts import Count
from transforms.machinery.join import Outcome

BATCH = pa.RecordBatch.from_pydict({"n": [1, 2]})


@with_input_types(int)
@with_output_types(pa.RecordBatch)
class Read(beam.DoFn):
    """Two rows an element, and as many lost values as it says."""

    def process(self, lost: int) -> Iterator[Any]:
        losses = Losses(tables.POSTHOG_SESSIONS)
        losses("is_bounce", lost)
        yield BATCH
        yield from losses.tagged()


class ReadAll(beam.PTransform):
    def expand(self, begin: beam.pvalue.PBegin) -> Outcome:
        return rows_and_counts(begin | beam.Create([3, 4]), Read())


def test_losses_are_told_once_by_column() -> None:
    losses = Losses(tables.USERS)
    assert list(losses.told()) == []
    for column, values in (("email", 1), ("createdAt", 2), ("email", 4)):
        losses(column, values)
    assert sorted(losses.told()) == [("unreadable_values.users.createdAt", 2), ("unreadable_values.users.email", 5)]
    assert list(losses.told()) == []


def test_two_tables_of_one_name_are_told_apart() -> None:
    names = []
    for table in (tables.FIREBASE_EVENTS, tables.EVENTS, tables.USERS):
        lost = Losses(table)
        lost("a", 1)
        names += [name.split(".")[1] for name, _ in lost.told()]
    assert names == ["firebase_events", "posthog_events", "users"]


def test_rows_and_counts_are_two_outputs() -> None:
    with beam.Pipeline(runner="FnApiRunner") as p:
        found = p | "Read it" >> ReadAll()
        rows = p | "Read again" >> OnlyRows(ReadAll())
        name = "unreadable_values.posthog_sessions.is_bounce"
        assert_that(found.counts, equal_to([(name, 3), (name, 4)]), "counts")
        for label, batches in (("all", found.rows), ("only", rows)):
            numbers = batches | f"Rows {label}" >> beam.Map(lambda batch: batch.num_rows)
            assert_that(numbers, equal_to([2, 2]), label)


def test_nothing_is_no_row_and_no_count() -> None:
    with beam.Pipeline(runner="FnApiRunner") as p:
        found = p | Nothing()
        assert_that(found.rows, equal_to([]), "rows")
        assert_that(found.counts, equal_to([]), "counts")


def test_a_table_that_is_not_there_has_rows_and_counts_of_their_types() -> None:
    p = beam.Pipeline("FnApiRunner")
    nothing = p | "Read" >> Nothing()
    assert nothing.rows.element_type == pa.RecordBatch
    assert nothing.counts.element_type == convert_to_beam_type(Count)
    assert (p | "Read rows" >> OnlyRows(Nothing())).element_type == pa.RecordBatch
