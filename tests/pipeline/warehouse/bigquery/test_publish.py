"""Publishing ends in exactly the old or exactly the new tables, whatever is lost, aborted or killed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import ledger_row
from pipeline.plan import LastRun, Plan
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan, Staged
from pipeline.warehouse.bigquery import publish as publishing
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.client import JobState
from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.schema import Field, fields_of, staging_fields
from pipeline.warehouse.bigquery.stage import ROWS
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse, staging_name
from pipeline.warehouse.datasets import Datasets
from tests.bigquery.fake import FakeBigQuery, Killed
from tests.builders import METRICS
from transforms.incremental.unsettled import Unsettled
from transforms.incremental.window import EVERYTHING

NOW = datetime(2026, 1, 2, tzinfo=UTC)
LAST = LastRun("run-1", NOW, METRICS.digest, "")
TABLES = tables.outputs(METRICS)
#: Of each table the runs of its rows by key, before and after; the others have none, and no changes.
NO_ROWS: dict[str, dict[str, str]] = {table.name: {} for table in TABLES}
OLD = NO_ROWS | {"sessions": {"a": "run-1", "b": "run-1", "c": "run-1"}, "persons": {"p": "run-1"}}
NEW = NO_ROWS | {"sessions": {"a": "run-2", "c": "run-1", "d": "run-2"}, "persons": {"q": "run-2"}}
NO_CHANGES: dict[str, list[tuple[str, str]]] = {table.name: [] for table in TABLES}
CHANGES = NO_CHANGES | {
    "sessions": [("a", "updated"), ("b", "deleted"), ("d", "inserted")],
    "persons": [("p", "deleted"), ("q", "inserted")],
}
COUNTS = [
    *(("sessions.updated", 1), ("sessions.deleted", 1), ("sessions.inserted", 1), ("sessions.unchanged", 1)),
    *(("persons.deleted", 1), ("persons.inserted", 1)),
]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing.time, "sleep", lambda _: None)
    monkeypatch.setattr(publishing.wait_for_loads, "__defaults__", (lambda _: None,))
    monkeypatch.setattr(publishing.publish_once, "__defaults__", (lambda _: None,))


class Service:
    """A fake with the tables of a warehouse, the changes of a run staged, and its finished load jobs."""

    def __init__(self) -> None:
        self.fake = FakeBigQuery()
        self.run = Run(
            run_id="run-2",
            started_at=NOW,
            plan=Plan("incremental", EVERYTHING, "", LAST),
            scan=Scan(0, 0, 0, 0),
            terms=Terms(METRICS.digest),
            max_rejected_ratio=1,
            code_version="1",
            options={},
            tables=TABLES,
        )
        self.staged: list[Staged] = []
        self.fake.database.execute("BEGIN")
        for table in TABLES:
            self._create(table.name, fields_of(table))
            self._fill(table.name, [(key, run_id, None) for key, run_id in OLD[table.name].items()])
            staging = staging_name(self.run, table)
            self._create(staging, staging_fields(table))
            changes = CHANGES[table.name]
            self._fill(staging, [(key, "run-2", change) for key, change in changes])
            if changes:
                self.staged += [(table.name, ROWS, len(changes)), (table.name, f"load-{table.name}", 0)]
                self.fake.jobs[f"load-{table.name}"] = JobState(True)
        self._create("runs", fields_of(tables.RUNS))
        self._fill("runs", [("run-1", None, None)])
        self._create("run_fence", [{"name": "run_id", "type": "STRING", "mode": "NULLABLE"}])
        self._fill("run_fence", [("run-1", None, None)])
        self.fake.database.execute("COMMIT")

    def publish(self, temp_location: str | None = None) -> None:
        warehouse = BigQueryWarehouse(
            Places("test-project", Datasets("in", "in", "out", "privacy")), "DIRECT_READ", temp_location
        )
        vars(warehouse)["_client"] = self.fake
        row = ledger_row(self.run, COUNTS, (), Unsettled(), NOW)
        warehouse.publish(self.run, self.staged, COUNTS, row)

    def tables(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for table in TABLES:
            rows = self.fake.database.execute(
                f'SELECT "{table.output.key[0]}", _run_id FROM {_name(table.name)}'
            ).fetchall()
            assert len(rows) == len(dict(rows)), "rows are doubled"
            found[table.name] = dict(rows)
        return found

    def runs(self) -> list[str]:
        return [run_id for (run_id,) in self.fake.database.execute(f"SELECT run_id FROM {_name('runs')}").fetchall()]

    def assert_old(self) -> None:
        assert (self.tables(), self.runs()) == (OLD, ["run-1"])

    def assert_new(self) -> None:
        assert (self.tables(), self.runs()) == (NEW, ["run-1", "run-2"])

    def _create(self, name: str, fields: list[Field]) -> None:
        kinds = {"INTEGER": "BIGINT", "FLOAT": "DOUBLE", "TIMESTAMP": "TIMESTAMPTZ", "STRING": "VARCHAR"}
        columns = [
            f'"{field["name"]}" {kinds.get(field["type"], field["type"])}{"[]" if field["mode"] == "REPEATED" else ""}'
            for field in fields
        ]
        self.fake.database.execute(f"CREATE TABLE {_name(name)} ({', '.join(columns)})")

    def _fill(self, name: str, rows: list[tuple[str, str | None, str | None]]) -> None:
        if not rows:
            return
        database = self.fake.database
        names = [row[0] for row in database.execute(f"DESCRIBE {_name(name)}").fetchall()]
        for key, run_id, change in rows:
            values: dict[str, Any] = {names[0]: key}
            values |= {column: run_id for column in ("_run_id",) if column in names}
            values |= {column: change for column in ("_change",) if column in names}
            columns = ", ".join(f'"{column}"' for column in values)
            holders = ", ".join("?" for _ in values)
            database.execute(f"INSERT INTO {_name(name)} ({columns}) VALUES ({holders})", list(values.values()))


def _name(table: str) -> str:
    return f'"test-project.out.{table}"'


def raising(error: BaseException) -> Callable[[], None]:
    def fault() -> None:
        raise copy.copy(error)  # the one that is a parameter would keep what it has gone through to the end

    return fault


LOST = exceptions.ServiceUnavailable("lost")


def test_a_clean_run() -> None:
    service = Service()
    service.publish()
    service.assert_new()
    left = service.fake.database.execute("SHOW TABLES").fetchall()
    assert (_name("sessions").strip('"'),) in left
    assert not [name for (name,) in left if "_staging_" in name]


@pytest.mark.parametrize("when", ["faults", "before"])
def test_every_answer_can_be_lost_once(when: str) -> None:
    calls = _calls()
    for number in range(1, calls + 1):
        service = Service()
        getattr(service.fake, when)[number] = raising(LOST)
        try:
            service.publish()
        except (RunError, exceptions.ServiceUnavailable):  # only plain queries, which the real client repeats itself
            service.publish()
        service.assert_new()


@pytest.mark.parametrize("when", ["faults", "before"])
def test_killed_anywhere_and_repeated_by_the_runner(when: str) -> None:
    for number in range(1, _calls() + 1):
        service = Service()
        getattr(service.fake, when)[number] = raising(Killed())
        with pytest.raises(Killed):
            service.publish()
        assert service.tables() in (OLD, NEW)
        assert (service.tables() == NEW) == ("run-2" in service.runs())
        service.publish()
        service.assert_new()


def test_a_job_that_committed_and_then_failed_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service()
    start = service.fake._start

    def commits_and_fails(job_id: str, script: str) -> None:
        start(job_id, script)
        service.fake.jobs[job_id] = JobState(True, "backendError", "the answer was lost")

    monkeypatch.setattr(service.fake, "_start", commits_and_fails)
    service.publish()
    service.assert_new()
    assert service.fake.calls.count("submit") == 1


def test_a_repeated_publish_after_success_changes_nothing() -> None:
    service = Service()
    service.publish()
    again = Service()
    again.fake.database = service.fake.database
    again.publish()
    service.assert_new()


def test_conflicts_are_retried_with_a_new_job_each_and_not_for_ever() -> None:
    service = Service()
    service.fake.conflicts = 3
    service.publish()
    service.assert_new()
    assert [name for name in service.fake.jobs if name.startswith("sessions_")] == [
        f"sessions_run_2_{attempt}" for attempt in range(1, 5)
    ]
    service = Service()
    service.fake.conflicts = 99
    with pytest.raises(RunError, match=f"in {publishing.ATTEMPTS} attempts; nothing is published"):
        service.publish()
    service.assert_old()


class Scripted:
    """An `Api` that answers looks at jobs from a list; nothing is ever in the ledger."""

    def __init__(self, *looks: JobState | Exception | None) -> None:
        self.looks, self.submitted = list(looks), list[str]()

    def submit(self, job_id: str, script: str) -> None:
        self.submitted.append(job_id)
        if len(self.submitted) == 1:
            raise LOST
        if job_id in self.submitted[:-1]:
            raise exceptions.Conflict("Already Exists")

    def job(self, job_id: str) -> JobState | None:
        look = self.looks.pop(0)
        if isinstance(look, Exception):
            raise look
        return look

    def number(self, query: str) -> int:
        return 0


def test_a_job_that_shows_late_is_sent_again_under_its_own_id() -> None:
    api = Scripted(None, None, JobState(False), JobState(True))
    publishing.publish_once(api, "SELECT 1", "sessions_run_2", "SELECT 0")
    assert api.submitted == ["sessions_run_2_1"] * 3


def test_answers_lost_now_and_then_do_not_end_a_long_wait() -> None:
    api = Scripted(*[LOST, JobState(False)] * (publishing.ATTEMPTS + 2), JobState(True))
    publishing.wait_for_loads(api, [("sessions", "load")])
    assert not api.looks


def test_storms_end_in_the_new_tables_or_in_a_clear_line() -> None:
    service = Service()
    first_look = _position("job", after="submit")
    for number in range(first_look, first_look + publishing.ATTEMPTS):
        service.fake.before[number] = raising(LOST)
    service.publish()
    service.assert_new()
    service = Service()
    for number in range(first_look, first_look + 99):
        service.fake.before[number] = raising(LOST)
    with pytest.raises(RunError, match="whether it was published shows in the ledger"):
        service.publish()
    assert service.tables() in (OLD, NEW)


def test_a_ledger_that_moved_on_stops_the_run() -> None:
    for table in ("runs", "run_fence"):
        service = Service()
        if table == "run_fence":
            service.fake.database.execute(f"UPDATE {_name(table)} SET run_id = 'run-1b'")
        else:
            service._fill("runs", [("run-1b", None, None)])
        with pytest.raises(RunError, match="another run was published meanwhile: nothing is published, run again"):
            service.publish()
        assert service.tables() == OLD
        assert "run-2" not in service.runs()


def test_a_fence_that_is_not_the_ledgers_latest_is_mended() -> None:
    service = Service()
    fence, runs = _name("run_fence").replace('"', "`"), _name("runs").replace('"', "`")
    broken, mend = sql.broken_fence(fence, runs), sql.mend_fence(fence, runs)
    assert service.fake.number(broken) == 0
    service.fake.database.execute(f"UPDATE {_name('run_fence')} SET run_id = 'a run that was deleted by hand'")
    assert service.fake.number(broken) == 1
    service.fake.database.execute(mend.replace("`", '"'))
    assert service.fake.number(broken) == 0
    service.publish()
    service.assert_new()
    service.fake.database.execute(f"DELETE FROM {_name('runs')}")
    assert service.fake.number(broken) == 1
    service.fake.database.execute(mend.replace("`", '"'))
    assert service.fake.number(f"SELECT LENGTH(run_id) AS number FROM {fence}") == 0


def test_repeated_keys_in_staging_stop_the_run() -> None:
    service = Service()
    name = staging_name(service.run, TABLES[0])
    service.fake.database.execute(f"UPDATE {_name(name)} SET session_id = 'a'")
    with pytest.raises(RunError, match="repeated keys in the staging table of sessions"):
        service.publish()
    service.assert_old()


def test_rows_missing_in_staging_stop_the_run() -> None:
    service = Service()
    service.fake.database.execute(f"DELETE FROM {_name(staging_name(service.run, TABLES[1]))}")
    with pytest.raises(RunError, match="rows missing in the staging table of persons"):
        service.publish()
    service.assert_old()


def test_counts_of_the_graph_that_differ_stop_the_run() -> None:
    service = Service()
    service.staged = service.staged[:2]
    with pytest.raises(RunError, match="persons: 0 rows were staged, the graph counted 2"):
        service.publish()
    service.assert_old()


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (JobState(True, "backendError", "of a row"), "load of sessions failed .backendError, job load-sessions."),
        (None, "load job of sessions is unknown"),
    ],
)
def test_a_failed_load_stops_the_run(state: JobState | None, told: str) -> None:
    service = Service()
    del service.fake.jobs["load-sessions"]
    if state:
        service.fake.jobs["load-sessions"] = state
    with pytest.raises(RunError, match=told) as caught:
        service.publish()
    assert "of a row" not in str(caught.value)
    service.assert_old()


def test_a_table_loaded_in_two_jobs_stops_the_run() -> None:
    service = Service()
    service.staged.append(("sessions", "load-more", 0))
    with pytest.raises(RunError, match="loaded by 2 jobs"):
        service.publish()
    service.assert_old()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (exceptions.Forbidden("row +1"), "roles/bigquery.jobUser"),
        (exceptions.BadRequest("row +1"), "BigQuery refuses the transaction .BadRequest."),
        (exceptions.NotFound("row +1"), "NotFound"),
    ],
)
def test_what_no_retry_can_help_is_tried_once(error: Exception, told: str) -> None:
    service = Service()
    service.fake.before[_position("submit")] = raising(error)
    with pytest.raises(RunError, match=told) as caught:
        service.publish()
    assert "+1" not in str(caught.value)
    assert service.fake.calls.count("submit") == 1
    service.assert_old()


def _calls() -> int:
    service = Service()
    service.publish()
    return len(service.fake.calls)


def _position(name: str, after: str | None = None) -> int:
    service = Service()
    service.publish()
    calls = service.fake.calls
    start = calls.index(after) if after else 0
    return calls.index(name, start) + 1
