"""Reading from BigQuery: what is asked of it, in which order, and what is told of what is not there."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from google.api_core import exceptions

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import Plan
from pipeline.warehouse.bigquery import source as module
from pipeline.warehouse.bigquery.client import TableInfo, told
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.read import Selection
from pipeline.warehouse.bigquery.schema import fields_of
from pipeline.warehouse.binding import Binding
from pipeline.warehouse.datasets import Datasets
from transforms.incremental.window import EVERYTHING


@pytest.mark.parametrize("failing", ["check_bucket", "check_streams"])
def test_a_check_that_fails_comes_before_anything_is_made(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []

    def check(name: str) -> Any:
        def run(*arguments: object) -> None:
            checked.append((name, arguments))
            if name == failing:
                raise RunError(name)

        return run

    for name in ("check_bucket", "check_streams"):
        monkeypatch.setattr(module, name, check(name))
    warehouse = module.BigQuerySource(
        Places("p", Datasets("in", "in", "out", "privacy")), "DIRECT_READ", "gs://files/temp"
    )
    binding = Binding(tables.EVENTS, "in.events", {"uuid": "uuid"}, {}, {})
    warehouse._location, warehouse._bindings = "EU", {"in.events": binding}
    vars(warehouse)["_client"] = client = Mock()
    run: Any = SimpleNamespace(plan=Plan("full", EVERYTHING, "", None))
    with pytest.raises(RunError, match=failing):
        warehouse.prepare(run)
    assert client.method_calls == []
    expected = [
        ("check_bucket", ("gs://files/temp", "EU")),
        ("check_streams", (Selection("p", "in", "events", ("uuid",)),)),
    ]
    assert checked == expected[: 1 if failing == "check_bucket" else 2]


class Client:
    """What reading asks of BigQuery: tables with their columns, a dataset that is denied, queries in turn."""

    def __init__(self, *answers: list[dict[str, Any]], denied: str = "", places: dict[str, str] | None = None) -> None:
        self.answers, self.denied, self.asked = list(answers), denied, list[str]()
        self.places = {"in": "EU", "users": "EU"} if places is None else places
        self.tables = {
            "in.events": TableInfo(tuple(fields_of(tables.EVENTS)), 100, 1),
            "users.users": TableInfo(tuple(fields_of(tables.USERS)), 9, 1, "VIEW"),
        }

    def dataset_location(self, dataset: str) -> str | None:
        if dataset == self.denied:
            with told(f"dataset {dataset}", "roles/bigquery.dataViewer"):
                raise exceptions.Forbidden("denied")
        return self.places.get(dataset)

    def table(self, dataset: str, name: str) -> TableInfo | None:
        return self.tables.get(f"{dataset}.{name}")

    def name(self, dataset: str, table: str) -> str:
        return f"`p.{dataset}.{table}`"

    def rows(self, query: str, what: str | None = None) -> list[dict[str, Any]]:
        self.asked.append(query)
        return self.answers.pop(0)

    def number(self, query: str) -> int:
        self.asked.append(query)
        return 7

    def bytes_of(self, query: str) -> int:
        return len(query)

    def run(self, query: str, what: str | None = None) -> None:
        self.asked.append(query)

    def create_dataset(self, dataset: str, location: str) -> None:
        self.places[dataset] = location

    def delete_table(self, dataset: str, name: str) -> None:
        self.asked.append(f"drop {dataset}.{name}")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[[Client], module.BigQuerySource]:
    def open_source(client: Client) -> module.BigQuerySource:
        monkeypatch.setattr(module, "BigQueryClient", lambda *_: client)
        return module.BigQuerySource(Places("p", Datasets("in", "users", "out", "privacy")), "ARROW")

    return open_source


Opened = Callable[[Client], module.BigQuerySource]


def test_what_is_not_there_is_told_and_views_are_copied(opened: Opened) -> None:
    found = opened(Client()).inputs()
    assert tuple(found.absent.values()) == ("in.sessions", "users.events", "users.userinvites")
    assert found.there == ("users",)
    assert [problem.line.split(",")[0] for problem in found.problems] == ["users.users is a view"]


@pytest.mark.parametrize(
    ("places", "told_"),
    [
        ({}, "dataset in does not exist in project p; check --project and --posthog_dataset"),
        ({"in": "EU", "out": "US"}, r"different locations \(in in EU, out in US\)"),
    ],
)
def test_datasets_are_there_and_in_one_place(places: dict[str, str], told_: str, opened: Opened) -> None:
    with pytest.raises(RunError, match=told_):
        opened(Client(places=places)).inputs()


def test_events_are_needed(opened: Opened) -> None:
    client = Client()
    del client.tables["in.events"]
    with pytest.raises(RunError, match=r"^no events: table in\.events does not exist in project p$"):
        opened(client).inputs()


def test_only_the_dataset_of_deletion_requests_may_be_denied(opened: Opened) -> None:
    """To who has no role in the project, Google denies what does not exist."""
    source = opened(Client(denied="privacy"))
    [*_, hidden] = source.inputs().problems
    assert hidden.line.startswith("privacy.deletion_requests: the dataset does not exist, or its roles/bigquery.data")
    assert source.deletion_requests() is None
    with pytest.raises(RunError, match=r"^no permission for dataset users: grant roles/bigquery\.dataViewer"):
        opened(Client(denied="users")).inputs()


def test_deletion_requests_are_read_by_a_query_and_a_column_that_is_not_there_is_null(opened: Opened) -> None:
    client = Client([{"user_id": "u-1", "distinct_id": None, "requested_at": "2026-01-05"}])
    kinds = {"requested_at": "STRING"}
    fields = [
        field | {"type": kinds.get(field["name"], field["type"])} for field in fields_of(tables.DELETION_REQUESTS)
    ]
    client.tables["privacy.deletion_requests"] = TableInfo(tuple(fields[:2]), 1, 1)
    source = opened(client)
    source.inputs()
    rows = source.deletion_requests()
    assert rows is not None
    assert rows.schema == tables.DELETION_REQUESTS.bare
    assert rows.to_pylist() == [{"user_id": "u-1", "distinct_id": None, "requested_at": None}]
    assert client.asked == ["SELECT `user_id`, `distinct_id` FROM `p.privacy.deletion_requests`"]


def test_accounts_are_asked_for_in_parts_and_each_is_there_once(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDS_A_QUERY", 2)
    nothing = dict.fromkeys(("user_id", "phoneNumber", "document_id", "etl_loaded_at"))
    account = nothing | {"user_id": "u-1", "phoneNumber": "+12015550100"}
    emptied = [{"document_id": "d", "etl_loaded_at": datetime(2026, 1, day, tzinfo=UTC)} for day in (1, 2)]
    versions = [account | emptied[0] | {"user_id": "u-3"}, nothing | emptied[1]]
    client = Client([account, *versions], [account, nothing | {"user_id": "u-2"}])
    source = opened(client)
    assert source.user_accounts(frozenset({"u-1"})) == [], "before the inputs were looked at there is no table"
    source.inputs()
    assert source.user_accounts(frozenset()) == []
    found = source.user_accounts(frozenset({"u-1", "u-2", "+1 201 555 0100"}))
    assert sorted(found, key=str) == [("u-1", "+12015550100"), ("u-2", None), (None, None)]
    first, second = client.asked
    assert '["+1 201 555 0100", "u-1"]' in first
    assert '["1", "12015550100"]' in first
    assert '["u-2"]' in second


def test_a_scan_reads_no_more_than_the_limit_and_counts_views(opened: Opened) -> None:
    client = Client()
    source = opened(client)
    source.inputs()
    scan = source.scan(Plan("full", EVERYTHING, "", None))
    assert (scan.rows, scan.rows_total) == (100, 100)
    assert scan.bytes == scan.bytes_total > 0
    assert source.scan(Plan("sample", EVERYTHING, "", None, limit=5)).rows == 5
    client.tables["in.events"] = replace(client.tables["in.events"], kind="VIEW", rows=0)
    again = opened(client)
    again.inputs()
    assert again.scan(Plan("full", EVERYTHING, "", None)).rows == 7


def test_copies_of_views_are_made_beside_the_staging_tables_and_go(opened: Opened) -> None:
    client = Client()
    source = opened(client)
    source.inputs()
    run: Any = SimpleNamespace(run_id="20260105T1-ab", plan=Plan("sample", EVERYTHING, "", None, limit=5))
    source._make_copies(run)
    copy = "_staging_firebase_users_20260105T1_ab"
    assert client.asked[0].startswith(f"CREATE OR REPLACE TABLE `p.out.{copy}` OPTIONS(expiration_timestamp = ")
    assert " LIMIT " not in client.asked[0], "a limit is of events"
    source.release(run)
    assert client.asked[1:] == [f"drop out.{copy}"]


def test_its_client_does_not_travel(opened: Opened) -> None:
    source = opened(Client())
    source.inputs()
    assert source._client is not None
    assert "_client" not in vars(pickle.loads(pickle.dumps(source)))
