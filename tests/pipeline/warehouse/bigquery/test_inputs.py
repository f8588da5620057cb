"""Inputs that BigQuery has in other forms than tables of this project: views, and tables of other projects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google.cloud.bigquery_storage
import pytest
from google.api_core import exceptions
from google.cloud import bigquery as cloud

from pipeline import tables
from pipeline.launcher import main
from pipeline.warehouse.bigquery.client import TableInfo
from pipeline.warehouse.bigquery.inputs import Places, copy_problem, needs_copy
from pipeline.warehouse.bigquery.sql import name_of
from pipeline.warehouse.datasets import Datasets
from tests.bigquery.emulators import PROJECT, Emulators
from tests.builders import OUTPUTS, at, event, ledger, published, run, write_events, write_table

OTHER = "other-project"


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    write_events(tmp_path, [event(n, distinct_id="u1") for n in range(3)])
    write_table(tmp_path, "firebase_etl_prod", tables.USERS, [{"user_id": "u1", "fullName": "Ann"}])
    write_table(tmp_path, "firebase_etl_prod", tables.FIREBASE_EVENTS, [{"user_id": "u1", "createdAt": at(1)}])
    invite = {"user_id": "u1", "createdAt": at(1), "status": "accepted"}
    write_table(tmp_path, "firebase_etl_prod", tables.USER_INVITES, [invite])
    acquisition = {"session_id": "s1", "end_timestamp": at(2), "channel_type": "Direct", "is_bounce": False}
    write_table(tmp_path, "posthog_etl", tables.POSTHOG_SESSIONS, [acquisition])
    return tmp_path


def replace_by_view(place: Emulators, warehouse: Path, dataset: str, table: str, kind: str) -> None:
    """Make a view of a table that lies elsewhere from now on."""
    name = f"{PROJECT}.{place.datasets(warehouse)[dataset]}.{table}"
    for statement in (
        f"CREATE TABLE `{name}_base` AS SELECT * FROM `{name}`",
        f"DROP TABLE `{name}`",
        f"CREATE {kind} `{name}` AS SELECT * FROM `{name}_base`",
    ):
        place.client().query(statement).result()


@pytest.mark.emulator
@pytest.mark.parametrize("method", ["DIRECT_READ", "EXPORT"])
def test_views_are_copied_by_a_query_and_the_copies_go(
    warehouse: Path,
    bigquery: Emulators,
    method: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    session = google.cloud.bigquery_storage.BigQueryReadClient
    views = list[str]()

    def refuse_views(*arguments: Any) -> Any:
        # the emulator reads views in streams, BigQuery does not
        made = session(*arguments)
        create = made.create_read_session

        def of_tables(**request: Any) -> Any:
            _, project, _, dataset, _, table = request["read_session"].table.split("/")
            if bigquery.client().get_table(f"{project}.{dataset}.{table}").table_type != "TABLE":
                raise exceptions.InvalidArgument("views have no streams")
            return create(**request)

        made.create_read_session = of_tables
        return made

    monkeypatch.setattr(google.cloud.bigquery_storage, "BigQueryReadClient", refuse_views)
    bigquery.copy(warehouse)
    for dataset, table, kind in (
        ("firebase_etl_prod", "users", "VIEW"),
        ("firebase_etl_prod", "events", "MATERIALIZED VIEW"),
        ("firebase_etl_prod", "userinvites", "VIEW"),
        ("posthog_etl", "sessions", "VIEW"),
        ("posthog_etl", "events", "VIEW"),
    ):
        replace_by_view(bigquery, warehouse, dataset, table, kind)
        views.append(f"{bigquery.datasets(warehouse)[dataset]}.{table} is a {kind.lower()}, which has no streams")
    assert run(warehouse, f"--read_method={method}") == 0
    out = capfd.readouterr().out
    for line in views:
        assert f"note       {line}" in out
    [row] = published(warehouse, "sessions").to_pylist()
    assert (row["fullName"], row["channel_type"], row["is_bounce"]) == ("Ann", "Direct", False)
    assert (row["events_created_count"], row["event_count"]) == (1, 3)
    [day] = published(warehouse, "person_days").to_pylist()
    assert (day["events_created_count"], day["invites_accepted"]) == (1, 1)
    assert set(bigquery.tables(warehouse)) == {*OUTPUTS, "run_fence"}
    assert run(warehouse, f"--read_method={method}") == 0
    assert ledger(warehouse)[-1]["mode"] == "incremental"


@pytest.mark.emulator
@pytest.mark.parametrize("method", ["DIRECT_READ", "EXPORT"])
def test_inputs_of_another_project(warehouse: Path, bigquery: Emulators, method: str) -> None:
    bigquery.copy(warehouse)
    names = bigquery.datasets(warehouse)
    there = cloud.Client(
        OTHER, bigquery.client()._credentials, client_options={"api_endpoint": f"http://127.0.0.1:{bigquery.rest}"}
    )
    for dataset in ("posthog_etl", "firebase_etl_prod"):
        there.create_dataset(names[dataset], exists_ok=True)
        for table in ("events", "sessions") if dataset == "posthog_etl" else ("users", "events"):
            name = f"{names[dataset]}.{table}"
            there.query(f"CREATE OR REPLACE TABLE `{OTHER}.{name}` AS SELECT * FROM `{PROJECT}.{name}`").result()
            bigquery.client().query(f"DROP TABLE `{PROJECT}.{name}`").result()
    options = [
        option.replace("_dataset=", f"_dataset={OTHER}.") if "posthog_d" in option or "firebase_d" in option else option
        for option in bigquery.options(warehouse)
    ]
    assert main(["--runner", "DirectRunner", "--quiet", f"--read_method={method}", *options]) == 0
    [row] = published(warehouse, "sessions").to_pylist()
    assert (row["fullName"], row["channel_type"], row["event_count"]) == ("Ann", "Direct", 3)


def info(kind: str) -> TableInfo:
    return TableInfo((), 0, 0, kind)


@pytest.mark.parametrize("kind", ["TABLE", "SNAPSHOT", "CLONE"])
def test_tables_are_read_in_streams(kind: str) -> None:
    assert not needs_copy(info(kind))
    assert copy_problem(info(kind), "in.users") == []


@pytest.mark.parametrize(
    ("kind", "word"),
    [("VIEW", "a view"), ("MATERIALIZED_VIEW", "a materialized view"), ("EXTERNAL", "an external table")],
)
def test_what_has_no_streams_is_told(kind: str, word: str) -> None:
    assert needs_copy(info(kind))
    [problem] = copy_problem(info(kind), "in.users")
    assert problem.line.startswith(f"in.users is {word}, which has no streams to read")
    assert problem.counts_as is None


def test_a_dataset_may_have_its_project_before_it() -> None:
    places = Places("mine", Datasets("other-project.posthog", "firebase", "out", "privacy"))
    assert places.place(places.datasets.posthog) == ("other-project", "posthog")
    assert places.place(places.datasets.firebase) == ("mine", "firebase")
    assert places.place("example.com:old-project.data") == ("example.com:old-project", "data")
    assert name_of("mine", "other-project.posthog", "events") == "`other-project.posthog.events`"
