"""The verdict: every thing that needs a look is told, and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.report.verdict import told_age, verdict

NOW = datetime(2026, 1, 10, 2, tzinfo=UTC)


def ran(**values: Any) -> dict[str, Any]:
    return {
        "watermark": NOW - timedelta(hours=3),
        "published_at": NOW,
        "rows_read": 10_000,
        "rows_kept": 9_700,
        "rows_rejected": 100,
        "rows_duplicate": 50,
        "sessions_too_old": 0,
        "notes": json.dumps({"matches.viewed_event": 5}),
        **values,
    }


def test_a_usual_night_is_well() -> None:
    found = verdict({"runs": [ran(), ran(rows_rejected=90)], "checks": [{"check": "a", "status": "ok"}]})
    assert found.good
    assert found.headline == "All is well."


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"watermark": NOW - timedelta(days=4)}, "the newest arrivals were 4 days old"),
        ({"watermark": None}, "nobody knows how far the export has come"),
        ({"rows_rejected": 300}, "3.0% of the rows are rejected, usually 1.0%"),
        ({"rows_duplicate": 900}, "9.0% of the rows are repetitions, usually 0.5%"),
        ({"sessions_too_old": 7}, "7 sessions wait for a backfill"),
        ({"sessions_too_old": 1}, "1 session waits for a backfill"),
        ({"notes": json.dumps({"matches.joined_event": 0, "matches.a": 3})}, "No event matches joined_event"),
    ],
)
def test_what_is_unusual_needs_a_look(run: dict[str, Any], told: str) -> None:
    found = verdict({"runs": [ran(**run), ran(), ran()]})
    assert not found.good
    assert found.headline == "One thing needs a look."
    [reason] = found.reasons
    assert told in reason


def test_a_check_that_fails_is_named_and_things_are_counted() -> None:
    checks = [{"check": "sessions_a_day", "status": "warn"}, {"check": "b", "status": "ok"}]
    found = verdict({"runs": [ran(sessions_too_old=1)], "checks": checks})
    assert found.headline == "2 things need a look."
    assert "sessions_a_day is not as expected (warn)" in found.reasons[-1]


def days(*sessions: int) -> list[dict[str, Any]]:
    return [{"sessions": number} for number in sessions]


def test_days_without_a_session_after_a_week_with_some_every_day_need_a_look() -> None:
    found = verdict({"runs": [ran()], "days": days(*[8] * 7, 0, 0)})
    assert found.reasons == ("On the last 2 finished days no session started.",)
    assert "On the last finished day no" in verdict({"runs": [ran()], "days": days(*[8] * 7, 0)}).reasons[0]
    for usual in (days(*[8] * 7), days(*[8] * 6, 0), days(8, 0, *[8] * 6, 0), days()):
        assert verdict({"runs": [ran()], "days": usual}).good


def test_a_check_without_a_judgement_is_no_reason() -> None:
    assert verdict({"runs": [ran()], "checks": [{"check": "a", "status": "unjudged"}]}).good


def test_many_checks_are_one_reason() -> None:
    found = verdict({"runs": [ran()], "checks": [{"check": name, "status": "fail"} for name in "abcdef"]})
    assert found.reasons == ("6 checks are not as expected: a, b, c and 3 more.",)
    assert len(verdict({"runs": [ran()], "checks": [{"check": name, "status": "warn"} for name in "abc"]}).reasons) == 3


def test_a_first_run_has_nothing_usual_to_be_compared_with() -> None:
    assert verdict({"runs": [ran(rows_rejected=400)]}).good
    assert not verdict({"runs": [ran(rows_rejected=600)]}).good
    assert verdict({"runs": [ran(rows_read=0, rows_rejected=0, rows_duplicate=0, rows_kept=0)]}).good


def test_a_small_run_says_nothing_of_silent_metrics() -> None:
    assert verdict({"runs": [ran(rows_kept=999, notes='{"matches.joined_event": 0}')]}).good


@pytest.mark.parametrize(("hours", "told"), [(0.5, "30 minutes"), (1.2, "1 hour"), (71, "71 hours"), (96, "4 days")])
def test_an_age_is_told_in_what_says_it(hours: float, told: str) -> None:
    assert told_age(timedelta(hours=hours)) == told
