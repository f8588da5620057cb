"""The last step of a local run: what it compares before the switch, and that it switches nothing when that differs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import ledger_row
from pipeline.plan import LastRun, Plan
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan, Staged
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.local import LocalWarehouse
from tests.builders import METRICS
from transforms.incremental.unsettled import Unsettled
from transforms.incremental.window import EVERYTHING
from transforms.machinery.counts import Count

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SESSIONS = tables.outputs(METRICS)[0]


def run_of(run_id: str, previous: str | None = None) -> Run:
    last = LastRun(previous, NOW, "", "") if previous else None
    return Run(run_id, NOW, Plan("full", EVERYTHING, "", last), Scan(0, 0, 0, 0), Terms(""), 0.5, "1", {}, (SESSIONS,))


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[LocalWarehouse]:
    (tmp_path / "posthog" / "events").mkdir(parents=True)
    (tmp_path / "posthog" / "events" / "part-0.parquet").touch()
    found = LocalWarehouse(tmp_path, Datasets("posthog", "firebase", "out", "privacy"))
    found.acquire()
    yield found
    found.close()


def stage(warehouse: LocalWarehouse, run: Run, rows: int) -> list[Staged]:
    """A staged table of so many rows."""
    warehouse.begin(run)
    path = warehouse.snapshots.staging(run.run_id) / "sessions" / "part.parquet"
    pq.write_table(pa.table({"session_id": [f"s{n}" for n in range(rows)]}), path)
    return [("sessions", str(path), rows)]


def publish(warehouse: LocalWarehouse, run: Run, staged: list[Staged], counts: dict[str, int]) -> None:
    numbers: list[Count] = list(counts.items())
    warehouse.publish(run, staged, numbers, ledger_row(run, numbers, (), Unsettled(), NOW))


def state(warehouse: LocalWarehouse) -> tuple[list[Any], Path | None]:
    return warehouse.ledger(), warehouse.snapshots.current()


def test_a_run_that_was_overtaken_publishes_nothing(warehouse: LocalWarehouse) -> None:
    slow = run_of("run-1")  # planned before anything was published
    quick = run_of("run-2")
    publish(warehouse, quick, stage(warehouse, quick, 2), {"sessions.inserted": 2})
    before, staged = state(warehouse), stage(warehouse, slow, 1)
    with pytest.raises(RunError, match="published meanwhile"):
        publish(warehouse, slow, staged, {"sessions.inserted": 1})
    assert state(warehouse) == before
    third = run_of("run-3", previous="run-2")
    publish(warehouse, third, stage(warehouse, third, 2), {"sessions.unchanged": 2})
    assert [row["run_id"] for row in warehouse.ledger()] == ["run-2", "run-3"]


@pytest.mark.parametrize("counted", [1, 3])
def test_what_is_staged_is_what_the_graph_counted(warehouse: LocalWarehouse, counted: int) -> None:
    run = run_of("run-1")
    staged = stage(warehouse, run, 2)
    with pytest.raises(RunError, match=rf"sessions: 2 rows were staged, the graph counted {counted}"):
        publish(warehouse, run, staged, {"sessions.inserted": counted, "sessions.deleted": 2})
    assert state(warehouse) == ([], None)
    publish(warehouse, run, staged, {"sessions.inserted": 1, "sessions.unchanged": 1, "sessions.deleted": 9})
    assert len(warehouse.ledger()) == 1


def test_a_sample_has_no_row_in_the_ledger_and_takes_nobodys_turn(warehouse: LocalWarehouse) -> None:
    sample = dataclasses.replace(run_of("sample"), plan=Plan("sample", EVERYTHING, "", None, limit=1))
    warehouse.begin(sample)
    publish(warehouse, sample, [], {})
    assert warehouse.ledger() == []
    run = run_of("run-1")
    publish(warehouse, run, stage(warehouse, run, 1), {"sessions.inserted": 1})
    assert len(warehouse.ledger()) == 1


def test_an_engine_may_publish_again_what_is_published(warehouse: LocalWarehouse) -> None:
    run = run_of("run-1")
    staged = stage(warehouse, run, 2)
    publish(warehouse, run, staged, {"sessions.inserted": 2})
    before = state(warehouse)
    publish(warehouse, run, staged, {"sessions.inserted": 2})
    assert state(warehouse) == before
    assert len(before[0]) == 1


def test_rows_of_an_attempt_that_was_given_up_are_not_published(warehouse: LocalWarehouse) -> None:
    run = run_of("run-1")
    staged = stage(warehouse, run, 2)
    [(_, path, _)] = staged
    pq.write_table(pq.read_table(path), Path(path).with_name("part-lost.parquet"))
    publish(warehouse, run, staged, {"sessions.inserted": 2})
    published = warehouse.snapshots.current()
    assert published is not None
    assert pq.read_table(published / "sessions").num_rows == 2


def test_a_file_is_no_warehouse(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    mistaken = LocalWarehouse(tmp_path / "file", Datasets("posthog", "firebase", "out", "privacy"))
    with pytest.raises(RunError, match=r"^no warehouse at .*: it is no folder; "):
        mistaken.acquire()


@pytest.mark.parametrize("name", ["", "nothing-here"])
def test_a_folder_that_is_no_warehouse_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    (tmp_path / "letters").mkdir()
    mistaken = LocalWarehouse(tmp_path / name, Datasets("posthog", "firebase", "out", "privacy"))
    with pytest.raises(RunError, match="^no warehouse at .*, or the word bigquery$" if name else "^no events: "):
        mistaken.acquire()
    assert [path.name for path in tmp_path.iterdir()] == ["letters"]
