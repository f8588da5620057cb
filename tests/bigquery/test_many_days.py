"""What BigQuery limits in one statement: a run that changes very many days; and two samples at once."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import ledger_row
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.stage import ROWS
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse, staging_name
from pipeline.warehouse.datasets import Datasets
from tests import new_table
from tests.builders import METRICS
from tests.pipeline.warehouse.bigquery.test_publish import COUNTS, NEW, NOW, TABLES, Service, _name, no_waiting
from transforms.incremental.unsettled import Unsettled

__all__ = ["no_waiting"]


def test_a_merge_of_many_days_is_cut_and_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "PARTITIONS_A_STATEMENT", 1)
    service = Service()
    staging = _name(staging_name(service.run, TABLES[0]))
    for key, day in (("a", "2016-01-01"), ("d", "2040-01-01"), ("b", None)):  # an update, an insert, a deletion
        service.fake.database.execute(f"UPDATE {staging} SET start_timestamp = ? WHERE session_id = ?", [day, key])
    sent: list[str] = []
    start = service.fake._start
    monkeypatch.setattr(service.fake, "_start", lambda job, script: (sent.append(script), start(job, script)))
    service.publish()
    service.assert_new()
    assert sent[0].count("MERGE `test-project.out.sessions`") == 4
    assert sent[0].count("MERGE `test-project.out.persons`") == 1


def test_a_run_of_many_days_that_is_published_can_be_published_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A runner that lost the answer does; the staging tables, whose days would be counted, are gone by then."""
    monkeypatch.setattr(sql, "PARTITIONS_A_STATEMENT", 1)
    service = Service()
    service.publish()
    service.publish()
    service.assert_new()


def test_few_days_are_one_statement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "PARTITIONS_A_STATEMENT", 2)
    service = Service()
    asked: list[str] = []
    execute = service.fake._execute
    monkeypatch.setattr(service.fake, "_execute", lambda query: (asked.append(query), execute(query))[1])
    service.publish()
    service.assert_new()
    assert sum("COUNT(DISTINCT DATE(start_timestamp))" in query for query in asked) == 1  # three rows: it might be


@pytest.mark.parametrize("table", [TABLES[0], new_table.TABLE], ids=["by time", "by date"])
def test_every_moment_is_in_one_part_and_no_part_is_too_long(table: tables.OutputTable) -> None:
    conditions = [part.partition(" WHERE ")[2].removesuffix(")") for part in sql._parts("staged", table)]
    service, column = Service(), table.output.partition_by
    assert column is not None
    moment = datetime(2015, 1, 1, tzinfo=UTC)
    days: dict[int, int] = {}
    while moment < datetime(2050, 1, 1, tzinfo=UTC):
        literal = sql.literal(moment, table.schema.field(column).type)
        query = f"SELECT {', '.join(f'({text})' for text in conditions)} FROM (SELECT {literal} AS {column}) AS t"
        [row] = service.fake._execute(query)
        assert list(row).count(True) == 1
        days[row.index(True)] = days.get(row.index(True), 0) + 73
        moment += timedelta(days=73)
    assert max(days.values()) < sql.PARTITIONS_A_STATEMENT


class Sample(Service):
    """A sample whose changes are staged; the sample before it was `sample-1`."""

    def __init__(self) -> None:
        super().__init__()
        database = self.fake.database
        for table in TABLES[:2]:
            database.execute(f"ALTER TABLE {_name(table.name)} RENAME TO {_name(table.name + '_sample')}")
        database.execute(f"CREATE TABLE {_name('run_fence_sample')} AS SELECT 'sample-1' AS run_id")
        plan = dataclasses.replace(self.run.plan, mode="sample", limit=10)
        self.run = dataclasses.replace(self.run, plan=plan, tables=TABLES[:2])
        self.staged = [piece for piece in self.staged if piece[1] == ROWS]

    def publish(self, temp_location: str | None = None) -> None:
        warehouse = BigQueryWarehouse(Places("test-project", Datasets("in", "in", "out", "privacy")), "DIRECT_READ")
        vars(warehouse).update(_client=self.fake, _sample_before="sample-1")
        warehouse.publish(self.run, self.staged, COUNTS, ledger_row(self.run, COUNTS, (), Unsettled(), NOW))

    def sample(self) -> dict[str, dict[str, str]]:
        """What is published of each table."""
        query = "SELECT {}, _run_id FROM {}"
        return {
            table.name: dict(
                self.fake.database.execute(query.format(table.output.key[0], _name(table.name + "_sample"))).fetchall()
            )
            for table in TABLES[:2]
        }


def test_a_sample_is_published_once_however_often_it_is_tried() -> None:
    service = Sample()
    service.publish()
    assert service.sample() == {name: NEW[name] for name in ("sessions", "persons")}
    assert service.runs() == ["run-1"]
    again = Sample()
    again.fake.database = service.fake.database
    again.publish()
    assert service.sample() == {name: NEW[name] for name in ("sessions", "persons")}


def test_of_two_samples_at_once_one_is_published_whole_and_the_other_not_at_all() -> None:
    service = Sample()
    before = service.sample()
    service.fake.database.execute(f"UPDATE {_name('run_fence_sample')} SET run_id = 'sample-2'")  # it was quicker
    with pytest.raises(RunError, match="another run was published meanwhile"):
        service.publish()
    assert service.sample() == before


def test_a_sample_does_not_stand_in_the_way_of_a_run() -> None:
    service = Service()
    service.fake.database.execute(f"CREATE TABLE {_name('run_fence_sample')} AS SELECT 'sample-9' AS run_id")
    service.publish()
    service.assert_new()
    assert METRICS.digest == service.run.terms.metrics_digest
