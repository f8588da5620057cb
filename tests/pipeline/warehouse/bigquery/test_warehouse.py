"""BigQuery as a place of outputs: published tables are compared with the ledger before they are memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import Plan
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.client import TableInfo
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.read import ReadTable
from pipeline.warehouse.bigquery.schema import Field, about, fields_of
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.reading import Nothing, OnlyRows
from tests.builders import METRICS
from transforms.incremental.window import EVERYTHING

NAMES = ("sessions", "persons", "rejected_events")
LEDGER = {
    **{f"sessions_{change}": number for change, number in (("inserted", 1), ("updated", 2), ("unchanged", 4))},
    **{f"persons_{change}": number for change, number in (("inserted", 0), ("updated", 0), ("unchanged", 3))},
    "sessions_deleted": 9,
    "persons_deleted": 9,
    "notes": '{"rejected_events.inserted": 5}',
}
WHOLE = {"sessions": 7, "persons": 3, "rejected_events": 5}


def damage(found: dict[str, int], last: dict[str, Any] | None) -> str | None:
    """What is told of tables with so many rows; one that is not named does not exist."""
    warehouse = BigQueryWarehouse(Places("p", Datasets("in", "in", "out", "privacy")), "DIRECT_READ")

    client = SimpleNamespace(
        rows=lambda query: [found], table=lambda _, name: found.get(name), name=lambda *parts: ".".join(parts)
    )
    warehouse.__dict__["_client"] = client
    return warehouse._damage(last)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_missing_or_too_many(name: str) -> None:
    assert damage(WHOLE, LEDGER) is None
    for number in (WHOLE[name] - 1, WHOLE[name] + 1):
        told = f"the published tables are damaged: out.{name} has {number} rows, {WHOLE[name]} were published"
        assert damage(WHOLE | {name: number}, LEDGER) == told


def test_a_table_that_is_missing() -> None:
    there = {name: number for name, number in WHOLE.items() if name != "persons"}
    assert damage(there, LEDGER) == "the published tables are damaged: out.persons does not exist, 3 were published"


def test_rows_without_a_ledger() -> None:
    assert damage({}, None) is None
    assert damage(dict.fromkeys(NAMES, 0), None) is None  # a first run that failed has made the tables
    told = "the published tables are damaged: out.sessions has 7 rows, 0 were published"
    assert damage({"sessions": 7}, None) == told


class Service(SimpleNamespace):
    """What a warehouse asks of BigQuery, answered by what a test gives; statements are kept."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(statements=list[str](), made=list[str](), described=list[str](), dropped=list[str]())
        self.answers = answers

    def name(self, dataset: str, table: str) -> str:
        return f"`p.{dataset}.{table}`"

    def table(self, dataset: str, name: str) -> TableInfo | None:
        found: TableInfo | None = self.answers.get(name)
        return found

    def rows(self, query: str) -> list[dict[str, Any]]:
        self.statements.append(query)
        rows: list[dict[str, Any]] = self.answers["rows"].pop(0)
        return rows

    def number(self, query: str) -> int:
        self.statements.append(query)
        return int(self.answers["number"])

    def run(self, query: str, what: str | None = None) -> None:
        self.statements.append(query)

    def dataset_location(self, dataset: str) -> str:
        return "EU"

    def create_table(self, dataset: str, name: str, fields: object, **options: Any) -> None:
        self.made.append(name)

    def add_columns(self, dataset: str, name: str, fields: list[Field]) -> None:
        self.made += [f"{name}.{field['name']}" for field in fields]

    def describe(self, dataset: str, name: str, fields: object, about: object) -> None:
        self.described.append(name)

    def delete_table(self, dataset: str, name: str) -> None:
        self.dropped.append(name)


def opened(service: Service) -> BigQueryWarehouse:
    made = BigQueryWarehouse(Places("p", Datasets("in", "in", "out", "privacy")), "DIRECT_READ")
    made._location, made.__dict__["_client"] = "EU", service
    return made


TABLES = tables.outputs(METRICS)
NOW = datetime(2026, 1, 5, tzinfo=UTC)
RUN = Run("r-1", NOW, Plan("full", EVERYTHING, "", None), Scan(0, 0, 0, 0), Terms(""), 0.5, "1", {}, TABLES)


def test_a_first_run_makes_targets_ledger_fence_and_staging_tables() -> None:
    service = Service(number=0)
    opened(service).begin(RUN)
    names = [output.name for output in tables.OUTPUTS]
    assert service.made == [*names, "runs", *(f"_staging_{name}_r_1" for name in names)]
    assert service.described == []
    assert [statement.split(" AS ")[0] for statement in service.statements] == [
        "CREATE TABLE IF NOT EXISTS `p.out.run_fence`",
        "SELECT COUNTIF(run_id != (SELECT IFNULL(MAX(run_id), '') FROM `p.out.runs` WHERE run_id NOT IN "
        "(SELECT IFNULL(previous_run_id, '') FROM `p.out.runs`)))",
    ]


def test_a_target_that_is_there_gets_the_columns_that_it_lacks_and_says_what_it_is() -> None:
    there = {
        table.name: TableInfo(tuple(fields_of(table)), 1, 1, about=about(table)) for table in (*TABLES, tables.RUNS)
    }
    old = [field for field in fields_of(TABLES[0]) if field["name"] != "scrolled"]
    there["sessions"] = TableInfo(tuple(old), 1, 1, about=about(TABLES[0]))
    there["persons"] = TableInfo(tuple(fields_of(TABLES[1])), 1, 1)
    service = Service(number=1, **there)
    opened(service).begin(RUN)
    assert [name for name in service.made if not name.startswith("_staging")] == ["sessions.scrolled"]
    assert service.described == ["persons"], "what a new column means comes with it"
    assert service.statements[-1].startswith("UPDATE `p.out.run_fence` SET run_id = "), "what was edited is mended"


def test_samples_have_a_fence_of_their_own() -> None:
    sample = replace(RUN, plan=Plan("sample", EVERYTHING, "", None, limit=5), tables=TABLES[:2])
    service = Service(rows=[[{"run_id": "r-0"}]])
    warehouse = opened(service)
    warehouse.begin(sample)
    assert warehouse._sample_before == "r-0"
    assert all("`p.out.run_fence_sample`" in statement for statement in service.statements)
    assert {"sessions_sample", "persons_sample"} < {*service.made}
    warehouse.abandon(sample)
    assert service.dropped == ["_staging_sessions_r_1", "_staging_persons_r_1"]


def test_whom_a_changed_list_concerns_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.warehouse.bigquery.warehouse.IDS_A_QUERY", 1)
    later = NOW + timedelta(days=1)
    info = TableInfo((), 1, 1)
    service = Service(sessions=info, rows=[[{"earliest": later}], [{"earliest": None}], [{"earliest": NOW}]])
    assert opened(service).earliest_session_with(frozenset({"a", "b", "c"})) == NOW
    assert opened(Service(sessions=info)).earliest_session_with(frozenset()) is None
    assert opened(Service()).earliest_session_with(frozenset({"a"})) is None, "nothing is published yet"


def test_a_run_is_published_when_its_row_is_in_the_ledger() -> None:
    def lost(_: str) -> int:
        raise RunError("BigQuery does not answer")

    assert opened(Service(number=1)).is_published(RUN)
    assert not opened(Service(number=0)).is_published(RUN)
    service = Service()
    service.number = lost
    assert not opened(service).is_published(RUN), "the failure that is told is the first one"


def test_only_merges_of_more_days_than_a_statement_may_touch_are_cut() -> None:
    limit = sql.PARTITIONS_A_STATEMENT
    sessions, persons = TABLES[0], TABLES[1]
    changes = {
        "s": (sessions, "staged", limit + 1),
        "p": (persons, "staged", limit * 9),
        "few": (sessions, "few", limit),
    }
    for days, cut in ((limit + 1, {"s"}), (limit, set[str]())):
        service = Service(number=days)
        assert opened(service)._partitioned_merges(changes) == cut
        assert len(service.statements) == 1, "a nightly run asks nothing"


def test_a_table_that_is_not_there_is_read_as_no_row() -> None:
    there = Service(sessions=TableInfo((), 0, 0))
    for service, kind in ((Service(), Nothing), (there, ReadTable)):
        read = opened(service).read_published(RUN, TABLES[0])
        assert isinstance(read, OnlyRows)
        assert isinstance(read._read, kind)
