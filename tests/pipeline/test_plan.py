"""What a run reads and why, what its watermark is then, and when it must not go on: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.errors import RunError
from pipeline.excluded import digest
from pipeline.marks import marks, together
from pipeline.plan import LastRun, Plan, Request, make_plan, next_watermark, partitions_for
from pipeline.terms import NOBODY, SEVERAL_LISTS, Terms
from tests.pipeline.test_marks import ACCOUNTS, request_marks
from transforms.incremental.unsettled import Unsettled
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
    hour = 3_600_000_000
    everything = Window(clock=micros(NOW), overlap=24 * hour, lateness=72 * hour)
    assert plan(Request(full_load=True)).window == everything
    assert (plan(Request()).window.overlap, plan(Request()).window.lateness) == (24 * hour, 72 * hour)
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


def test_a_run_does_not_go_on_without_what_the_last_one_had() -> None:
    """A misspelt dataset has no users: their sessions would be others', and those of excluded accounts come back."""
    last = replace(LAST, notes='{"inputs.users": 1, "events.total": 5}')

    def modes(absent: dict[str, str], *requests: Request) -> list[str]:
        return [make_plan(one, last, now=NOW, terms=Terms("digest"), absent=absent).mode for one in requests]

    for request in (Request(), BACKFILL):
        with pytest.raises(RunError, match=r"no fire\.users, and the last run had .*--firebase_dataset"):
            modes({"users": "fire.users", "firebase_events": "fire.events"}, request)
        assert modes({"firebase_events": "fire.events"}, request)
    assert modes({"users": "fire.users"}, Request(full_load=True), Request(limit=5)) == ["full", "sample"]
    assert make_plan(Request(), LAST, now=NOW, terms=Terms("digest"), absent={"users": "fire.users"})


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


@pytest.mark.parametrize("request_", [Request(), BACKFILL, Request(full_load=True), Request(limit=5)])
def test_a_list_of_excluded_users_is_not_forgotten(request_: Request) -> None:
    before = replace(LAST, excluded_digest=digest(frozenset({"a"})))
    for forgotten in (before, replace(LAST, excluded_digest=SEVERAL_LISTS)):
        with pytest.raises(RunError, match="--excluded_users"):
            plan(request_, forgotten)
    assert plan(request_, replace(LAST, excluded_digest=digest(frozenset())))
    assert make_plan(request_, before, now=NOW, terms=Terms("digest", excluded_digest=NOBODY))
    assert digest(frozenset()) == NOBODY


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


def test_a_session_without_a_row_is_known_whole_unless_it_may_be_left_out_or_wait_unlisted() -> None:
    def found(last: LastRun, digest: str | None = None) -> int | None:
        return make_plan(Request(), last, now=NOW, terms=Terms("digest", excluded_digest=digest)).window.whole_from

    later = micros(MARK - timedelta(hours=24 + 72))
    assert found(LAST) is None
    assert found(LAST, NOBODY) is None
    assert found(LAST, "of a list") == later
    assert found(replace(LAST, too_old_days='{"2026-01-01": 1}')) == later


def test_a_ledger_of_an_earlier_version_lacks_columns() -> None:
    row = {"run_id": "run-1", "watermark": None, "metrics_digest": "d", "excluded_digest": "", "too_old_days": None}
    assert LastRun.of(row | {"mode": "full"}) == LastRun("run-1", None, "d", "")


TODAY = datetime(2026, 1, 5, tzinfo=UTC)
BEFORE = LastRun("run-1", TODAY, "digest", NOBODY)


def planned(previous: LastRun, request: Request | None = None, *, known: str | None = NOBODY, now: str = "{}") -> Plan:
    return make_plan(
        request or Request(),
        previous,
        now=TODAY,
        terms=Terms("digest", deletion_digest=known, deletion_marks=now),
    )


@pytest.mark.parametrize("request_", [Request(), Request(full_load=True), Request(limit=5)])
def test_a_run_does_not_forget_the_table(request_: Request) -> None:
    for before in (digest(frozenset({"a"})), SEVERAL_LISTS):
        with pytest.raises(RunError, match="no table deletion_requests in --privacy_dataset"):
            planned(replace(BEFORE, deletion_digest=before), request_, known=None)
        assert planned(replace(BEFORE, deletion_digest=before), request_)
    assert planned(BEFORE, request_, known=None)


def test_only_a_full_load_that_is_asked_for_brings_somebody_back() -> None:
    before = replace(BEFORE, deletion_marks=request_marks("u-ann", "u-bob"))
    gone = request_marks("u-ann", "u-bob", accounts=ACCOUNTS[:2])
    with pytest.raises(RunError, match="1 ids of deletion requests would come back"):
        planned(before, now=gone)
    assert planned(before, Request(full_load=True), now=gone).mode == "full"
    removed = planned(before, now=request_marks("u-ann"))
    assert removed.mode == "incremental"
    kept = removed.terms_after(Terms("digest", deletion_marks=request_marks("u-ann"))).deletion_marks
    assert kept == together(before.deletion_marks, request_marks("u-ann")) == before.deletion_marks


def test_a_listed_id_that_is_requested_takes_a_full_load() -> None:
    listed = replace(BEFORE, excluded_marks=marks(frozenset({"u-ann"}), []), excluded_digest="x")
    plan = make_plan(
        Request(),
        listed,
        now=TODAY,
        terms=Terms(
            "digest",
            excluded_digest=NOBODY,
            deletion_digest="x",
            deletion_marks=request_marks("u-ann", accounts=[]),
        ),
    )
    assert plan.mode == "full"


def test_a_backfill_does_not_end_the_work_of_requests() -> None:
    days = Request(start_date=TODAY.date(), end_date=TODAY.date() + timedelta(days=1))
    plan = planned(BEFORE, days, known="other")
    assert plan.terms_after(Terms("digest", deletion_digest="other")).deletion_digest == SEVERAL_LISTS
    assert planned(BEFORE, days).terms_after(Terms("digest", deletion_digest=NOBODY)).deletion_digest == NOBODY
