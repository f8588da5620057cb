"""What a run reads, and how its rows must add up: pure."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.errors import RunError
from pipeline.ledger import check_rejected, ledger_row
from pipeline.plan import (
    LastRun,
    Plan,
    Request,
    from_micros,
    make_plan,
    micros,
    next_watermark,
    partitions_for,
)
from pipeline.warehouse.base import Run, Scan
from tests.builders import assert_adds_up
from transforms.scope import Scope
from transforms.unsettled import Unsettled, unsettled_of

MARK = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOW = MARK + timedelta(days=1)
LAST = LastRun("run-1", MARK, "digest", "")


def plan(request: Request, last: LastRun | None = LAST) -> Plan:
    return make_plan(request, last, now=NOW, metrics_digest="digest")


def test_incremental_window() -> None:
    found = plan(Request())
    assert found.mode == "incremental"
    assert found.scope.new_from == micros(MARK - timedelta(hours=24))
    assert found.scope.scan_start == micros(MARK - timedelta(hours=24 + 72 + 24))


def test_without_arrival_everything_within_the_lateness_is_news() -> None:
    assert plan(Request()).scope.undated_from == micros(MARK - timedelta(days=3))
    longer_overlap = plan(Request(overlap=timedelta(days=5))).scope
    assert longer_overlap.undated_from == longer_overlap.new_from == micros(MARK - timedelta(days=5))


def test_full_first_backfill_sample() -> None:
    assert plan(Request(full_load=True)).scope == Scope(clock=micros(NOW))
    first = plan(Request(), None)
    assert (first.mode, first.reason) == ("full", "first run: nothing is published yet")
    found = plan(Request(start_date=date(2026, 1, 5), end_date=date(2026, 1, 6)))
    day = 86_400_000_000
    assert found.scope.days is not None
    assert found.scope.scan_start == found.scope.days[0] - day
    assert found.scope.scan_end == found.scope.days[1] + day + 1
    assert plan(Request(limit=7)).suffix == "_sample"


def test_other_metrics_need_a_full_load() -> None:
    with pytest.raises(RunError, match="--full_load"):
        make_plan(Request(), LAST, now=NOW, metrics_digest="other")
    assert make_plan(Request(full_load=True), LAST, now=NOW, metrics_digest="other").mode == "full"


def test_the_watermark_never_goes_back_nor_ahead_of_the_run() -> None:
    incremental = plan(Request())
    hour = timedelta(hours=1)

    def mark(found: Plan, *arrivals: datetime) -> datetime | None:
        return next_watermark(found, [micros(arrival) for arrival in arrivals], NOW)

    assert mark(incremental, MARK - 9 * hour) == MARK
    assert mark(incremental, MARK + hour) == MARK + hour
    assert mark(incremental, MARK + timedelta(days=900)) == MARK
    assert mark(incremental, MARK + timedelta(days=900), MARK + hour) == MARK + hour
    assert mark(incremental) == MARK
    assert mark(plan(Request(start_date=date(2026, 1, 5), end_date=date(2026, 1, 6))), NOW) == MARK
    assert mark(plan(Request(full_load=True)), MARK - hour) == MARK
    assert from_micros(micros(NOW)) == NOW


def test_one_row_does_not_move_the_watermark() -> None:
    many = [micros(MARK + timedelta(hours=1))] * 19
    found = next_watermark(plan(Request()), [micros(MARK + timedelta(hours=20)), *many][:19], NOW)
    assert found == MARK + timedelta(hours=1)


def test_partitions_grow_with_the_data() -> None:
    assert [partitions_for(n) for n in (0, 10_000_000, 10**12)] == [4, 10, 4_096]


def run_of(found: Plan) -> Run:
    return Run("run-2", MARK, found, Scan(100, 100, 1, 2), "digest", "", 0.05, "1", {"limit": "1"}, ())


COUNTS = {"read": 100, "kept": 80, "duplicates": 5, "filtered.library": 5, "rejected.uuid_missing": 10}


def test_a_ledger_row_adds_up_and_keeps_reasons() -> None:
    counts = COUNTS | {"sessions.inserted": 3, "users.duplicates": 2, "sessions.too_old": 2}
    unsettled = unsettled_of(["2026-01-02 s2", "2026-01-01 s1"], {"2026-01-02": 1, "2026-01-01": 1})
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
