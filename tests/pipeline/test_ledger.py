"""How the rows of a run must add up, and what the ledger says of it: pure."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.ledger import (
    NEVER_READ,
    check_filtered,
    check_rejected,
    filtered_ratio,
    latest_run,
    ledger_row,
    never_read,
)
from pipeline.plan import EVENTS_TOTAL, Plan, Request
from pipeline.terms import Terms
from pipeline.warehouse.base import Run, Scan
from tests.builders import assert_adds_up
from tests.pipeline.test_plan import BACKFILL, DAY, LAST, MARK, NOW, WAITING, plan
from transforms.incremental.unsettled import Unsettled, unsettled_of


def run_of(found: Plan) -> Run:
    return Run("run-2", MARK, found, Scan(100, 100, 1, 2), Terms("digest"), 0.05, "1", {"limit": "1"}, ())


COUNTS = {"read": 100, "kept": 80, "duplicates": 5, "filtered.library": 5, "rejected.uuid_missing": 10}


def test_a_ledger_row_adds_up_and_keeps_reasons() -> None:
    counts = COUNTS | {"sessions.inserted": 3, "users.duplicates": 2, "sessions.too_old": 2}
    unsettled = unsettled_of([("2026-01-02", "s2"), ("2026-01-01", "s1")], {"2026-01-02": 1, "2026-01-01": 1})
    row = ledger_row(run_of(plan(Request())), counts.items(), (), unsettled, MARK + timedelta(seconds=2))
    assert_adds_up(row)
    assert json.loads(row["rejected"]) == {"uuid_missing": 10}
    assert json.loads(row["notes"]) == {"users.duplicates": 2}
    assert (row["sessions_inserted"], row["sessions_too_old"], row["seconds"]) == (3, 2, 2)
    assert (row["too_old_sessions"], row["too_old_session_days"]) == (["s1", "s2"], ["2026-01-01", "2026-01-02"])
    assert row["too_old_days"] == '{"2026-01-01": 1, "2026-01-02": 1}'
    assert (row["watermark"], row["previous_run_id"]) == (MARK, "run-1")


def test_a_row_unaccounted_for_is_an_error() -> None:
    with pytest.raises(RunError, match="does not add up"):
        ledger_row(run_of(plan(Request())), (COUNTS | {"kept": 79}).items(), (), Unsettled(), MARK)


def test_too_many_rejected_rows_are_an_error_with_reasons() -> None:
    row = ledger_row(run_of(plan(Request())), COUNTS.items(), (), Unsettled(), MARK)
    check_rejected(row, 0.1)
    with pytest.raises(RunError, match=r"10 of 100 rows were rejected .*uuid_missing 10"):
        check_rejected(row, 0.09)


@pytest.mark.parametrize(
    ("request_", "before", "looked_at", "told"),
    [
        (Request(), 90, 10, 0),  # the table has 100 rows
        (Request(), 90, 100, 0),
        (Request(), 70, 10, 20),
        (Request(), 200, 10, 0),  # rows were removed
        (Request(), None, 10, 0),
        (Request(full_load=True), 10, 10, 0),
        (BACKFILL, 10, 10, 0),
    ],
)
def test_rows_that_no_run_reads_are_told_by_the_growth_of_the_table(
    request_: Request, before: int | None, looked_at: int, told: int
) -> None:
    notes = json.dumps({} if before is None else {EVENTS_TOTAL: before})
    run = run_of(plan(request_, replace(LAST, notes=notes)))
    counts = {"read": looked_at + 7, "filtered.outside_scan": 7}
    assert never_read(run, counts) == ({NEVER_READ: told} if told else {})
    total = run.plan.events_total(100)
    assert total == (before if run.plan.mode == "backfill" else 100)


def test_the_last_run_is_the_end_of_the_chain() -> None:
    def last(*chain: tuple[str, str | None]) -> str | None:
        found = latest_run([{"run_id": one, "previous_run_id": before} for one, before in chain])
        return found and found["run_id"]

    assert last() is None
    assert last(("2026", None)) == "2026"
    assert last(("2045", None), ("2026-1", "2045"), ("2026-2", "2026-1")) == "2026-2"
    assert last(("2045", None), ("2026-1", "2045"), ("2026-2", "2045")) == "2026-2"  # as an earlier version wrote it


@pytest.mark.parametrize(
    ("library", "before", "stops"),
    [(96, 0, True), (95, 0, False), (96, 96, False), (96, 95, True), (10, 0, False)],
)
def test_nearly_all_rows_of_other_libraries_are_an_error_when_they_were_not_before(
    library: int, before: int, stops: bool
) -> None:
    def row(number: int) -> dict[str, Any]:
        filtered = json.dumps({"library": number, "outside_scan": 900})
        return {"mode": "incremental", "rows_read": 1_000, "filtered": filtered}

    last = replace(LAST, rows_read=1_000, filtered=row(before)["filtered"])
    with pytest.raises(RunError, match="--max_filtered_ratio") if stops else nullcontext():
        check_filtered(row(library), last, 0.95)
    check_filtered(row(library), None, 0.95)
    check_filtered(row(library) | {"mode": "sample"}, last, 0.95)


def test_no_rows_are_no_share() -> None:
    assert filtered_ratio(0, "{}") == filtered_ratio(10, '{"outside_scan": 10}') == 0


def test_of_what_waits_unlisted_nobody_knows_whether_it_is_settled() -> None:
    # the window begins on the 4th, then on the 5th: what begins a day after it is known whole
    for later, left in ((-DAY, (0, "{}")), (0 * DAY, (2, '{"2026-01-06": 2}'))):
        previous = replace(WAITING, watermark=MARK + later)
        row = ledger_row(run_of(plan(Request(), previous)), COUNTS.items(), (), Unsettled(), NOW)
        assert (row["sessions_too_old"], row["too_old_days"]) == left
