"""Rows of Beam's `ReadFromBigQuery` → batches: bounded by bytes, cast like the batches of files."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import google.cloud.bigquery_storage
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.warehouse.bigquery import read
from pipeline.warehouse.bigquery.read import Selection, _BatchRows, open_session
from pipeline.warehouse.bigquery.schema import binding_of, fields_of
from tests.builders import event


def test_batches_of_rows_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read, "BATCH_BYTES", 10_000)
    step = _BatchRows(binding_of(tables.EVENTS, fields_of(tables.EVENTS), "in.events"))
    step.start_bundle()
    rows = [event(number, properties={"pad": "x" * 4_000}) for number in range(7)]
    found = [batch for row in rows for batch in step.process(row)]
    found += [last.value for last in step.finish_bundle()]
    assert [batch.num_rows for batch in found] == [3, 3, 1]
    assert pa.Table.from_batches(found).to_pylist() == rows


def test_rows_are_cast_as_the_table_says() -> None:
    kinds = {"is_bounce": "INTEGER", "start_timestamp": "DATETIME", "end_timestamp": "NUMERIC", "screen_count": "FLOAT"}
    fields = [field | {"type": kinds.get(field["name"], field["type"])} for field in fields_of(tables.POSTHOG_SESSIONS)]
    step = _BatchRows(binding_of(tables.POSTHOG_SESSIONS, fields, "in.sessions"))
    step.start_bundle()
    row = {"session_id": "s", "is_bounce": 1, "start_timestamp": "2026-01-05T12:00:00", "screen_count": 2.0}
    assert list(step.process(row | {"end_timestamp": Decimal(1_767_614_400)})) == []
    assert list(step.process(row | {"is_bounce": 2, "screen_count": 0.5})) == []
    last, *counts = step.finish_bundle()
    found, _ = last.value.to_pylist()
    assert sorted(count.value.value for count in counts) == [
        ("unreadable_values.posthog_sessions.is_bounce", 1),
        ("unreadable_values.posthog_sessions.screen_count", 1),
    ]
    assert {count.tag for count in counts} == {"counts"}
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert (found["is_bounce"], found["screen_count"], found["channel_type"]) == (True, 2, None)
    assert found["start_timestamp"] == found["end_timestamp"] == noon


def test_reading_is_paid_by_the_project_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[dict[str, Any]]()

    class Storage:
        def create_read_session(self, **request: Any) -> None:
            asked.append(request)

    monkeypatch.setattr(google.cloud.bigquery_storage, "BigQueryReadClient", Storage)
    open_session(Selection("other-project", "posthog", "events", ("uuid",), billing="mine"), 1)
    [request] = asked
    assert request["parent"] == "projects/mine"
    assert request["read_session"].table == "projects/other-project/datasets/posthog/tables/events"
