"""What load jobs are given: only changed rows, as JSON that Beam's encoder and BigQuery take."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from apache_beam.io.gcp.bigquery_tools import RowAsDictJsonCoder

from pipeline import tables
from pipeline.warehouse.bigquery.stage import json_rows, only_changes
from tests.builders import METRICS
from transforms.published.changes import CHANGES, with_change

SCHEMA = with_change(tables.REJECTED_EVENTS.under(METRICS).bare)


def rows(*changes: str) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([{"row_key": change, "_change": change} for change in changes], schema=SCHEMA)


def test_unchanged_rows_are_not_loaded() -> None:
    [changed] = only_changes(rows(*CHANGES))
    assert changed.column("row_key").to_pylist() == ["inserted", "updated", "deleted"]
    assert list(only_changes(rows("unchanged"))) == []


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.000006+00:00"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.000000+00:00"),
        (datetime(9999, 12, 31, tzinfo=UTC), "9999-12-31T00:00:00.000000+00:00"),
    ],
)
def test_every_time_that_bigquery_can_hold_is_text_that_it_can_read(moment: datetime, text: str) -> None:
    batch = pa.RecordBatch.from_pylist([{"row_key": "a", "timestamp": moment}], schema=SCHEMA)
    assert list(json_rows(batch)) == [{"row_key": "a", "timestamp": text}]


def test_nulls_are_left_out_and_lists_stay() -> None:
    schema = tables.SESSIONS.under(METRICS).bare
    batch = pa.RecordBatch.from_pylist([{"session_id": "a", "distinct_ids": ["é", "\u2028"]}], schema=schema)
    [row] = json_rows(batch)
    assert row == {"session_id": "a", "distinct_ids": ["é", "\u2028"]}
    assert RowAsDictJsonCoder().decode(RowAsDictJsonCoder().encode(row)) == row
