"""What warehouses share: staged pieces against counts, names of tables, what follows from a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import LastRun, Plan
from pipeline.terms import Terms
from pipeline.warehouse.base import Inputs, Problem, Run, Scan, check_staged, names_told, published_names
from tests.builders import METRICS
from transforms.incremental.window import EVERYTHING, Window
from transforms.published.changes import STAYS, TOUCHED

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TABLES = tables.outputs(METRICS)
FULL = Plan("full", EVERYTHING, "", None)
SAMPLE = Plan("sample", EVERYTHING, "", None, limit=5)
INCREMENTAL = Plan("incremental", Window(scan_start=1, new_from=2), "", LastRun("run-1", NOW, "", ""))
RUN = Run("run-2", NOW, FULL, Scan(0, 0, 0, 0), Terms(""), 0.5, "1", {}, TABLES[:2])


def test_pieces_of_a_table_are_added_up() -> None:
    pieces = [("sessions", "a", 2), ("persons", "b", 1), ("sessions", "c", 3)]
    counts = {"sessions.inserted": 1, "sessions.updated": 1, "sessions.unchanged": 3, "persons.inserted": 1}
    assert check_staged(RUN, pieces, counts.items(), STAYS) == {"sessions": 5, "persons": 1}
    assert check_staged(RUN, [], [("sessions.deleted", 4)], STAYS) == {"sessions": 0, "persons": 0}


def test_which_changes_are_staged_is_the_warehouses_to_say() -> None:
    counts = {"sessions.inserted": 1, "sessions.deleted": 2, "sessions.unchanged": 4}.items()
    assert check_staged(RUN, [("sessions", "a", 3)], counts, TOUCHED)["sessions"] == 3
    for rows in (3, 6):
        with pytest.raises(RunError, match=rf"^sessions: {rows} rows were staged, the graph counted 5$"):
            check_staged(RUN, [("sessions", "a", rows)], counts, STAYS)


def test_a_table_that_lost_all_pieces_is_named() -> None:
    with pytest.raises(RunError, match=r"^persons: 0 rows were staged, the graph counted 1$"):
        check_staged(RUN, [], [("persons.inserted", 1)], STAYS)


def test_a_sample_publishes_few_tables_of_other_names_and_no_ledger() -> None:
    assert published_names(SAMPLE) == ["sessions_sample", "persons_sample"]
    assert published_names(FULL) == [*(output.name for output in tables.OUTPUTS), "runs"]
    assert names_told(SAMPLE) == "{sessions_sample,persons_sample}"
    assert names_told(FULL) == "*"  # a line fits a screen
    assert replace(RUN, plan=SAMPLE).published_name(TABLES[0]) == "sessions_sample"
    assert RUN.published_name(TABLES[0]) == "sessions"


def test_problems_are_counted_by_name_once_however_many_files_have_them() -> None:
    lines = [Problem("b in 1", "b"), Problem("a", "a"), Problem("b in 2", "b"), Problem("only told")]
    assert Inputs(problems=tuple(lines)).counts == (("a", 1), ("b", 1))
    assert Inputs().counts == ()
    assert Inputs(("users",), {"firebase_events": "firebase.events"}).counts == (("inputs.users", 1),)


def test_dead_letters_stay_unless_everything_is_read() -> None:
    every = replace(RUN, tables=TABLES)
    assert every.loaded_by.append_only == frozenset()
    assert replace(every, plan=INCREMENTAL).loaded_by.append_only == {"rejected_events"}
    assert (every.loaded_by.run_id, every.loaded_by.loaded_at) == ("run-2", NOW)


def test_blocks_follow_from_what_is_read_and_what_is_there() -> None:
    large = replace(RUN, scan=Scan(rows=50_000_000, rows_total=10**9, bytes=0, bytes_total=0))
    assert (large.session_blocks, large.partitions) == (2_048, 4_096)
    assert (RUN.session_blocks, RUN.partitions) == (4, 4)
