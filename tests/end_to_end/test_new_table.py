"""A new table is a transform, a record and two lines in the graph: it is then published, compared and kept anywhere."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import graph, tables
from pipeline.plan import Plan
from pipeline.publish import add_publishing
from pipeline.warehouse.base import published_names
from tests import builders, new_table
from tests.builders import event, ledger, published, run, tables_of, write_events
from transforms.incremental.window import EVERYTHING
from transforms.schemas.outputs import LOADED_AT

DAY = 86_400


@pytest.fixture(autouse=True)
def with_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project with one table more."""

    def add(pipeline: Any, of: Any, source: Any, sink: Any, written: dict[Any, Any], *others: Any) -> None:
        if new_table.VISITS.name in (table.name for table in of.tables):  # no sample has it
            new_table.add_to_graph(pipeline, of, sink, written)
        add_publishing(pipeline, of, source, sink, written, *others)

    monkeypatch.setattr(tables, "OUTPUTS", (*tables.OUTPUTS, new_table.VISITS))
    monkeypatch.setattr(builders, "OUTPUTS", (*builders.OUTPUTS, new_table.VISITS.name))
    monkeypatch.setattr(graph, "add_publishing", add)


def visits(warehouse: Path) -> dict[tuple[str, date], int]:
    """(person, day) → sessions, as published."""
    rows = published(warehouse, "visits").to_pylist()
    assert len({(row["person_id"], row["day"]) for row in rows}) == len(rows)
    return {(row["person_id"], row["day"]): row["sessions"] for row in rows}


def wanted(warehouse: Path) -> Mapping[tuple[str, date], int]:
    """The same, counted from the published sessions."""
    rows = tables_of(warehouse)["sessions"].to_pylist()
    return Counter((row["person_id"], row["start_timestamp"].date()) for row in rows)


def loaded(warehouse: Path) -> dict[tuple[str, date], Any]:
    """(person, day) → when the row changed last."""
    rows = published(warehouse, "visits", run_columns=True).to_pylist()
    return {(row["person_id"], row["day"]): row[LOADED_AT] for row in rows}


def changes(warehouse: Path) -> dict[str, int]:
    """The changes of the last run."""
    notes = json.loads(ledger(warehouse)[-1]["notes"])
    return {name: number for name, number in notes.items() if name.startswith("visits.")}


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_it_is_published_compared_and_kept(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n, f"s{n}", distinct_id=f"anon-{n % 3}", seconds=DAY * n / 2) for n in range(8)])
    assert run(tmp_path) == 0
    assert visits(tmp_path) == wanted(tmp_path)
    assert changes(tmp_path) == {"visits.inserted": len(wanted(tmp_path))}
    before = loaded(tmp_path)
    assert "visits" in published_names(Plan("full", EVERYTHING, "it is told where to look", None))
    # one day of a person gets a session more, another person is new
    again = [event(20, "s20", distinct_id="anon-0", seconds=7.0), event(21, "s21", distinct_id="new", seconds=8.0)]
    write_events(tmp_path, [{**row, "bq_ingested_timestamp": builders.at(DAY * 4)} for row in again], "part-1")
    assert run(tmp_path) == 0
    assert visits(tmp_path) == wanted(tmp_path)
    assert changes(tmp_path) == {"visits.inserted": 1, "visits.unchanged": len(before) - 1, "visits.updated": 1}
    after = loaded(tmp_path)
    assert {key for key, at in after.items() if before.get(key) != at} == {
        ("anon-0", builders.START.date()),
        ("new", builders.START.date()),
    }
    # a person who is excluded leaves it
    (tmp_path / "excluded.txt").write_text("anon-1\n")
    listed = f"--excluded_users={tmp_path / 'excluded.txt'}"
    assert run(tmp_path, listed) == 0
    assert visits(tmp_path) == wanted(tmp_path)
    assert changes(tmp_path)["visits.deleted"] == sum(person == "anon-1" for person, _ in after)
    # a sample has none, and takes nothing away
    assert run(tmp_path, "--limit=3", listed) == 0
    assert visits(tmp_path) == wanted(tmp_path)


@pytest.mark.emulator
def test_it_has_its_partitions_and_clusters(tmp_path: Path, bigquery: Any) -> None:
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    made = bigquery.metadata(tmp_path, "visits")
    assert (made.time_partitioning.field, made.clustering_fields) == ("day", ["person_id"])
    assert [column.field_type for column in made.schema[:3]] == ["STRING", "DATE", "INTEGER"]


def test_it_comes_to_a_warehouse_that_had_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_events(tmp_path, [event(1), event(2, "s2")])
    with monkeypatch.context() as before:
        before.setattr(tables, "OUTPUTS", tables.OUTPUTS[:-1])
        assert run(tmp_path) == 0
    assert run(tmp_path) == 0
    assert visits(tmp_path) == wanted(tmp_path)
    assert isinstance(published(tmp_path, "visits"), pa.Table)
