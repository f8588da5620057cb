"""What failures of Google's clients mean to the user, and the record batches of a read stream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import google.cloud.bigquery_storage
import pyarrow as pa
import pytest
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, RefreshError
from google.cloud import bigquery
from requests.exceptions import ConnectionError as RequestError

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse.bigquery.client import BigQueryClient, told
from pipeline.warehouse.bigquery.read import Selection, _OpenStreams, _ReadStream
from pipeline.warehouse.bigquery.schema import About, about, fields_of
from pipeline.warehouse.binding import Binding
from tests.builders import METRICS


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (exceptions.Forbidden("row"), "no permission for table in.events: grant roles/bigquery.dataViewer"),
        (exceptions.NotFound("row"), "table in.events does not exist; check --project"),
        (exceptions.BadRequest("row", errors=[{"reason": "invalidQuery"}]), "refuses table in.events: invalidQuery"),
        (exceptions.ServiceUnavailable("row"), "BigQuery does not answer for table in.events (ServiceUnavailable)"),
        (RequestError("row"), "BigQuery does not answer for table in.events (ConnectionError)"),
        (DefaultCredentialsError("row"), "gcloud auth application-default login"),
        (RefreshError("row"), "credentials do not work for table in.events: RefreshError"),
    ],
)
def test_every_failure_is_one_line_with_resource_and_remedy(error: Exception, line: str) -> None:
    with pytest.raises(RunError) as caught, told("table in.events", "roles/bigquery.dataViewer"):
        raise error
    assert line in str(caught.value)
    assert "row" not in str(caught.value)
    assert "\n" not in str(caught.value)


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


class Service:
    """What is sent to BigQuery about tables; it keeps the last one."""

    def __init__(self) -> None:
        self.sent: dict[str, Any] = {}
        self.parts: list[str] = []

    def create_table(self, table: bigquery.Table, **_: Any) -> None:
        self.sent = table.to_api_repr()

    def get_table(self, name: str, **_: Any) -> bigquery.Table:
        return bigquery.Table.from_api_repr({**self.sent, "labels": {"team": "growth"}})

    def update_table(self, table: bigquery.Table, parts: list[str], **_: Any) -> None:
        self.sent, self.parts = table.to_api_repr(), parts


def test_tables_say_what_they_are_and_what_is_unique_in_them() -> None:
    """The emulator does not keep the key."""
    client, service = object.__new__(BigQueryClient), Service()
    client._project, client._client = "p", service
    table = tables.SESSIONS.under(METRICS)
    client.create_table("out", "sessions", fields_of(table), about=about(table))
    assert service.sent["tableConstraints"] == {"primaryKey": {"columns": ["session_id"]}}
    assert service.sent["description"] == table.output.description
    assert service.sent["labels"] == about(table).labels
    known = client.table("out", "sessions")
    assert known is not None
    assert known.about == About(table.output.description, ("session_id",), {"team": "growth"})
    client.describe("out", "sessions", fields_of(table), about(table))
    assert service.sent["labels"] == {"team": "growth", **about(table).labels}
    assert service.parts == ["schema", "description", "labels", "table_constraints"]


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("User does not have bigquery.jobs.create permission in project p.", "grant roles/bigquery.jobUser "),
        ("User does not have permission to query table p:d.t, or perhaps", "grant roles/bigquery.dataViewer "),
        ("Permission bigquery.tables.create denied on dataset p:d", "grant roles/bigquery.dataEditor "),
        ("User does not have bigquery.datasets.create permission", "grant roles/bigquery.user "),
        ("something else", "grant roles/given "),
        ("BigQuery API has not been used in project 1 before", "gcloud services enable bigquery.googleapis.com"),
    ],
)
def test_the_role_is_the_one_that_googles_message_points_at(message: str, line: str) -> None:
    with pytest.raises(RunError) as caught, told("a query", "roles/given"):
        raise exceptions.Forbidden(message)
    assert line in str(caught.value)
    assert message not in str(caught.value)
