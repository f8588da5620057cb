"""The checks of a run: which day, numbers of earlier runs, what stops it, what the ledger gets."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipeline.checks import Checks, as_json, finished_day, numbers_before, text
from pipeline.errors import RunError
from transforms.metrics.checks import Check, Finding
from transforms.sessions.days import schema

DAY = date(2026, 2, 8)
NOON = datetime(2026, 2, 9, 12, tzinfo=UTC)
SESSIONS = Check(name="sessions", measure="sessions", action="fail", minimum=100)
REJECTED = Check(name="rejected", measure="rejected", within=0.01)


def row(number: int = 9, **columns: Any) -> dict[str, Any]:
    """Of the ledger; the watermark is at noon of that day of February."""
    return {
        "run_id": f"run-{number}",
        "mode": "incremental",
        "watermark": NOON + timedelta(days=number - 9),
        "rows_read": 1_000,
        "rows_rejected": 10,
        "filtered": "{}",
        "notes": "{}",
    } | columns


def days(**weeks: int) -> pa.RecordBatch:
    """Numbers of the last days of five weeks: `w0=5` are 5 sessions on `DAY`, `w1` those a week before."""
    rows = [
        {"start_date": DAY - timedelta(weeks=int(week[1:])), "sessions": number, "users": 0, "anonymous": 0}
        for week, number in weeks.items()
    ]
    return pa.RecordBatch.from_pylist(rows, schema(()))


@pytest.mark.parametrize(
    ("watermark", "zone", "day"),
    [
        (NOON, "UTC", DAY),
        (datetime(2026, 2, 9, tzinfo=UTC), "UTC", DAY),
        (datetime(2026, 2, 9, 5, 59, tzinfo=UTC), "America/Chicago", date(2026, 2, 7)),
        (datetime(2026, 2, 9, 6, tzinfo=UTC), "America/Chicago", DAY),
        (None, "UTC", None),
    ],
)
def test_the_last_day_that_is_over(watermark: datetime | None, zone: str, day: date | None) -> None:
    assert finished_day(watermark, zone) == day


def test_a_day_too_few_stops_the_run_in_one_line() -> None:
    checks = Checks((SESSIONS, REJECTED))
    findings = checks.findings(days(w0=40, w1=200, w2=220, w3=180, w4=200), row())
    assert findings == (
        Finding("sessions", DAY, 40, 200, 100, 300, "fail"),
        Finding("rejected", DAY, 0.01, None, None, None, "unjudged"),
    )
    with pytest.raises(RunError) as caught:
        checks.stop_on_failure(findings)
    assert str(caught.value) == (
        "check sessions: 40 on 2026-02-08, expected 100 to 300; nothing is published "
        "(--ignore_checks publishes all the same)"
    )
    Checks((SESSIONS,), are_ignored=True).stop_on_failure(findings)
    assert json.loads(as_json(findings))[0] == {
        "check": "sessions",
        "date": "2026-02-08",
        "value": 40,
        "expected": 200,
        "lower": 100,
        "upper": 300,
        "status": "fail",
    }


def test_a_metric_of_several_checks_is_counted_once() -> None:
    of_each = Check(name="events.taps", measure="sessions_with", metric="taps")
    checks = Checks((of_each, SESSIONS, Check(name="taps", measure="sessions_with", metric="taps", within=0.1)))
    assert checks.metrics == ("taps",)


def test_a_warning_stops_nothing() -> None:
    before = numbers_before([row(2), row(-5), row(-12)], "UTC")
    checks = Checks((REJECTED,), before=before)
    [finding] = findings = checks.findings(days(), row(rows_rejected=30))
    assert (finding.value, finding.expected, finding.status) == (0.03, 0.01, "warn")
    checks.stop_on_failure(findings)
    assert text(finding) == "check rejected: 0.03 on 2026-02-08, expected 0 to 0.02"


def test_of_the_runs_before_the_last_of_a_day_counts_and_no_backfill() -> None:
    rows = [
        row(3, run_id="b", rows_rejected=1, notes='{"nulled.$lib": 3, "nulled.a": 4, "users.duplicates": 9}'),
        row(3, run_id="a", rows_rejected=2),
        row(3, run_id="c", rows_rejected=3, mode="backfill"),
        row(4, rows_read=900, filtered='{"library": 5, "outside_scan": 100}'),
        row(5, watermark=None),
    ]
    assert numbers_before(rows, "UTC") == {
        date(2026, 2, 2): {"rows": 1_000, "rejected": 1, "nulled": 7},
        date(2026, 2, 3): {"rows": 800, "rejected": 10, "nulled": 0},
    }


def test_numbers_are_needed_of_five_weeks_or_of_all_days() -> None:
    assert Checks().since(NOON) == DAY - timedelta(weeks=4)
    assert Checks().since(None) is None


def test_without_a_watermark_or_checks_nothing_is_found() -> None:
    assert Checks((SESSIONS,)).findings(days(w0=1), row(watermark=None)) == ()
    assert Checks().findings(days(w0=1), row()) == ()
    assert as_json(()) == "[]"
