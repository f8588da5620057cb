"""Reading tables: rows of Beam's `ReadFromBigQuery` and batches of streams, bounded and cast like those of files."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import google.cloud.bigquery_storage
import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.warehouse.bigquery import read
from pipeline.warehouse.bigquery.read import Selection, _BatchRows, _OpenStreams, _ReadStream, open_session
from pipeline.warehouse.bigquery.schema import binding_of, fields_of
from pipeline.warehouse.binding import Binding
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


SCHEMA = pa.schema([("uuid", pa.string()), ("missing", pa.string()), ("timestamp", pa.timestamp("us", "UTC"))])


class Storage:
    """A read client with one stream of three small batches."""

    asked: Any = None

    def create_read_session(self, *, parent: str, read_session: Any, max_stream_count: int) -> Any:
        type(self).asked = (parent, read_session, max_stream_count)
        return SimpleNamespace(streams=[SimpleNamespace(name="stream-1"), SimpleNamespace(name="stream-2")])

    def read_rows(self, stream: str) -> Any:
        assert stream == "stream-1"
        for start in (0, 10, 20):
            batch = pa.record_batch(
                {
                    "uuid": [str(number) for number in range(start, start + 10)],
                    "timestamp": pa.array(range(10), pa.int64()),
                }
            ).set_column(1, "timestamp", pa.array(range(start, start + 10), pa.timestamp("us", "UTC")))
            schema = batch.schema.serialize().to_pybytes() if start == 0 else b""
            yield SimpleNamespace(
                arrow_schema=SimpleNamespace(serialized_schema=schema),
                arrow_record_batch=SimpleNamespace(serialized_record_batch=batch.serialize().to_pybytes()),
            )


@pytest.fixture(autouse=True)
def storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(google.cloud.bigquery_storage, "BigQueryReadClient", Storage)


def test_one_session_with_projection_and_pruning() -> None:
    source = Selection("p", "d", "t", ("uuid", "timestamp"), "timestamp > TIMESTAMP '2026-01-01'")
    assert list(_OpenStreams().process(source)) == ["stream-1", "stream-2"]
    parent, session, streams = Storage.asked
    assert (parent, session.table, streams) == ("projects/p", "projects/p/datasets/d/tables/t", 256)
    assert list(session.read_options.selected_fields) == ["uuid", "timestamp"]
    assert session.read_options.row_restriction == "timestamp > TIMESTAMP '2026-01-01'"


@pytest.mark.parametrize("limit", [None, 30, 25, 10, 1])
def test_a_stream_gives_its_rows_in_the_schema_up_to_the_limit(limit: int | None) -> None:
    table = tables.Table("posthog", "events", SCHEMA)
    binding = Binding(table, "d.events", {"uuid": "uuid", "timestamp": "timestamp"}, {}, {})
    batches = list(_ReadStream(binding, limit).process("stream-1"))
    assert {batch.schema for batch in batches} == {SCHEMA}
    found = pa.Table.from_batches(batches)
    assert found.column("uuid").to_pylist() == [str(number) for number in range(limit or 30)]
    assert found.column("missing").null_count == found.num_rows


def test_a_stream_tells_of_values_that_could_not_be_read() -> None:
    binding = Binding(tables.USERS, "d.users", {"createdAt": "uuid"}, {}, {})
    *_, last = _ReadStream(binding, None).process("stream-1")
    assert (last.tag, last.value) == ("counts", ("unreadable_values.users.createdAt", 30))
