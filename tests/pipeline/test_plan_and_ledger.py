"""What a run reads, and how its rows must add up: pure."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.excluded import digest
from pipeline.ledger import check_filtered, check_rejected, filtered_ratio, latest_run, ledger_row
from pipeline.plan import LastRun, Plan, Request, make_plan, next_watermark, partitions_for
from pipeline.terms import NOBODY, SEVERAL_LISTS, Terms
from pipeline.warehouse.base import Run, Scan
from tests.builders import assert_adds_up
from transforms.incremental.unsettled import Unsettled, unsettled_of
from transforms.incremental.window import Window
from transforms.machinery.times import from_micros, micros

MARK = datetime(2026, 1, 10, 12, tzinfo=UTC)
NOW = MARK + timedelta(days=1)
LAST = LastRun("run-1", MARK, "digest", "")

BACKFILL = Request(start_date=date(2026, 1, 5), end_date=date(2026, 1, 7))


def plan(request: Request, last: LastRun | None = LAST) -> Plan:
    return make_plan(request, last, now=NOW, terms=Terms("digest"))


def test_incremental_window() -> None:
    found = plan(Request())
    assert found.mode == "incremental"
    assert found.window.new_from == micros(MARK - timedelta(hours=24))
    assert found.window.scan_start == micros(MARK - timedelta(hours=24 + 72 + 24))


def test_without_arrival_everything_within_the_lateness_is_news() -> None:
    assert plan(Request()).window.undated_from == micros(MARK - timedelta(days=3))
    longer_overlap = plan(Request(overlap=timedelta(days=5))).window
    assert longer_overlap.undated_from == longer_overlap.new_from == micros(MARK - timedelta(days=5))


def test_full_first_backfill_sample() -> None:
    assert plan(Request(full_load=True)).window == Window(clock=micros(NOW))
    first = plan(Request(), None)
    assert (first.mode, first.reason) == ("full", "first run: nothing is published yet")
    found = plan(Request(start_date=date(2026, 1, 5), end_date=date(2026, 1, 6)))
    day = 86_400_000_000
    assert found.window.days is not None
    assert found.window.scan_start == found.window.days[0] - day
    assert found.window.scan_end == found.window.days[1] + day + 1
    assert plan(Request(limit=7)).suffix == "_sample"


@pytest.mark.parametrize(
    ("request_", "last"),
    [(Request(), None), (Request(full_load=True), LAST), (Request(), LAST), (BACKFILL, LAST), (Request(limit=5), LAST)],
)
def test_every_run_knows_its_clock(request_: Request, last: LastRun | None) -> None:
    """Arrivals after it say nothing, whatever the mode: a backfill must not reject what a full load keeps."""
    assert make_plan(request_, last, now=NOW, terms=Terms("digest")).window.clock == micros(NOW)


def test_other_metrics_need_a_full_load() -> None:
    with pytest.raises(RunError, match="--full_load"):
        make_plan(Request(), LAST, now=NOW, terms=Terms("other"))
    assert make_plan(Request(full_load=True), LAST, now=NOW, terms=Terms("other")).mode == "full"


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
    assert [partitions_for(n) for n in (0, 10_000_000, 10**12)] == [4, 50, 4_096]


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


DAY = timedelta(days=1)
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
WAITING = replace(
    LAST,
    too_old_sessions=["s1", "s2"],
    too_old_session_days=["2026-01-02", "2026-01-06"],
    too_old_days='{"2026-01-02": 1, "2026-01-06": 3}',
)


@pytest.mark.parametrize("request_", [Request(), BACKFILL])
def test_no_run_but_a_full_load_mixes_metric_definitions(request_: Request) -> None:
    with pytest.raises(RunError, match="metric definitions changed"):
        make_plan(request_, LAST, now=NOW, terms=Terms("other"))


@pytest.mark.parametrize("request_", [Request(), BACKFILL, Request(full_load=True)])
def test_a_list_of_excluded_users_is_not_forgotten(request_: Request) -> None:
    before = replace(LAST, excluded_digest=digest(frozenset({"a"})))
    for forgotten in (before, replace(LAST, excluded_digest=SEVERAL_LISTS)):
        with pytest.raises(RunError, match="--excluded_users"):
            plan(request_, forgotten)
    assert plan(request_, replace(LAST, excluded_digest=digest(frozenset())))
    assert make_plan(request_, before, now=NOW, terms=Terms("digest", excluded_digest=NOBODY))
    assert digest(frozenset()) == NOBODY
    assert plan(Request(limit=5), before).mode == "sample"


def test_persons_of_another_version_are_made_anew() -> None:
    assert plan(Request(), replace(LAST, code_version="1")).keeps_persons("1")
    assert not plan(Request(), replace(LAST, code_version="1")).keeps_persons("2")
    assert not plan(Request(full_load=True), replace(LAST, code_version="1")).keeps_persons("1")
    assert not plan(Request(), None).keeps_persons("")


def test_a_backfill_reads_its_sessions_to_their_ends() -> None:
    def end(last: LastRun = LAST, latest_end: datetime | None = None) -> int | None:
        return make_plan(BACKFILL, last, now=NOW, terms=Terms("digest"), latest_end=latest_end).window.scan_end

    assert end() == micros(FIRST + 3 * DAY) + 1
    assert end(latest_end=FIRST + DAY) == end()
    assert end(latest_end=FIRST + 9 * DAY) == micros(FIRST + 9 * DAY) + 1
    assert end(WAITING) is None  # of a session that waits nobody knows how long it is
    assert end(replace(WAITING, too_old_days='{"2026-01-02": 1}')) == end()


def test_a_backfill_does_not_end_what_a_changed_list_means() -> None:
    def after(made: Plan, digest: str | None = "other") -> str | None:
        return made.terms_after(Terms("digest", excluded_digest=digest)).excluded_digest

    assert after(plan(BACKFILL), NOBODY) == after(plan(BACKFILL), None) == NOBODY
    assert after(plan(BACKFILL)) == SEVERAL_LISTS
    assert after(plan(BACKFILL, None)) == "other"
    assert after(plan(Request())) == "other"


def test_a_changed_list_reaches_back_to_the_sessions_that_it_concerns_and_to_those_that_wait() -> None:
    def start(last: LastRun, reach_back_to: datetime | None) -> int | None:
        found = make_plan(Request(), last, now=NOW, terms=Terms("digest"), reach_back_to=reach_back_to)
        return found.window.scan_start

    assert start(LAST, MARK - 30 * DAY) == micros(MARK - 30 * DAY)
    assert start(LAST, MARK) == start(LAST, None) == micros(MARK - 5 * DAY)
    assert start(WAITING, None) == start(LAST, None)
    assert start(WAITING, MARK) == micros(datetime(2026, 1, 2, tzinfo=UTC))


def test_what_waits_is_carried_on_but_not_by_a_full_load() -> None:
    assert plan(Request(), WAITING).unsettled == WAITING.unsettled
    assert plan(BACKFILL, WAITING).unsettled == WAITING.unsettled
    assert plan(Request(full_load=True), WAITING).unsettled == plan(Request()).unsettled == Unsettled()
    row = ledger_row(run_of(plan(Request(), WAITING)), COUNTS.items(), (), Unsettled(), NOW)
    assert (row["sessions_too_old"], row["too_old_days"]) == (0, "{}")  # the window begins on the 5th
    later = replace(WAITING, watermark=MARK + 9 * DAY)
    row = ledger_row(run_of(plan(Request(), later)), COUNTS.items(), (), Unsettled(), NOW)
    assert (row["sessions_too_old"], row["too_old_days"]) == (2, '{"2026-01-06": 2}')


def test_a_session_without_a_row_is_known_whole_unless_it_may_be_left_out_or_wait_unlisted() -> None:
    def found(last: LastRun, digest: str | None = None) -> int | None:
        return make_plan(Request(), last, now=NOW, terms=Terms("digest", excluded_digest=digest)).window.whole_from

    later = micros(MARK - timedelta(hours=24 + 72))
    assert found(LAST) is None
    assert found(LAST, NOBODY) is None
    assert found(LAST, "of a list") == later
    assert found(replace(LAST, too_old_days='{"2026-01-01": 1}')) == later


def test_the_last_run_is_the_end_of_the_chain() -> None:
    def last(*chain: tuple[str, str | None]) -> str | None:
        found = latest_run([{"run_id": one, "previous_run_id": before} for one, before in chain])
        return found and found["run_id"]

    assert last() is None
    assert last(("2026", None)) == "2026"
    assert last(("2045", None), ("2026-1", "2045"), ("2026-2", "2026-1")) == "2026-2"
    assert last(("2045", None), ("2026-1", "2045"), ("2026-2", "2045")) == "2026-2"  # as an earlier version wrote it


def test_a_ledger_of_an_earlier_version_lacks_columns() -> None:
    row = {"run_id": "run-1", "watermark": None, "metrics_digest": "d", "excluded_digest": "", "too_old_days": None}
    assert LastRun.of(row | {"mode": "full"}) == LastRun("run-1", None, "d", "")


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
