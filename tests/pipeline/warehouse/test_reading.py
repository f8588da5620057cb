"""What reading a table gives: values that were lost are told once, and a table that is not there has both outputs."""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa
from apache_beam.typehints.native_type_compatibility import convert_to_beam_type

from pipeline import tables
from pipeline.warehouse.reading import Losses, Nothing, OnlyRows
from transforms.machinery.counts import Count


def test_losses_are_added_up_by_column_and_told_once() -> None:
    lost = Losses(tables.POSTHOG_SESSIONS)
    for column, values in (("is_bounce", 2), ("end_timestamp", 1), ("is_bounce", 3)):
        lost(column, values)
    prefix = "unreadable_values.posthog_sessions."
    assert dict(lost.told()) == {f"{prefix}is_bounce": 5, f"{prefix}end_timestamp": 1}
    assert list(lost.told()) == []
    lost("is_bounce", 1)
    [tagged] = lost.tagged()
    assert (tagged.tag, tagged.value) == ("counts", (f"{prefix}is_bounce", 1))


def test_two_tables_of_one_name_are_told_apart() -> None:
    names = []
    for table in (tables.FIREBASE_EVENTS, tables.EVENTS, tables.USERS):
        lost = Losses(table)
        lost("a", 1)
        names += [name.split(".")[1] for name, _ in lost.told()]
    assert names == ["firebase_events", "posthog_events", "users"]


def test_a_table_that_is_not_there_has_rows_and_counts_of_their_types() -> None:
    p = beam.Pipeline("FnApiRunner")
    nothing = p | "Read" >> Nothing()
    assert nothing.rows.element_type == pa.RecordBatch
    assert nothing.counts.element_type == convert_to_beam_type(Count)
    assert nothing.also == {}
    assert (p | "Read rows" >> OnlyRows(Nothing())).element_type == pa.RecordBatch
