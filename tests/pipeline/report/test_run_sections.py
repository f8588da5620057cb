"""Sections about runs: what they could not use, and what needs a look."""

from __future__ import annotations

import json

import pytest

from pipeline.report.run_sections import checks, posthog, quality, reasons
from pipeline.report.section import WITHHELD
from tests.pipeline.report.answers import column, ran


def test_runs_stand_from_the_oldest_to_the_newest_with_what_the_ledger_says() -> None:
    found = quality([ran(3), ran(2)])
    assert column(found, "published_at") == ["2026-01-02 02:04:34", "2026-01-03 02:04:34"]
    assert found.rows[0][1:] == ("incremental", 12.3, 1_000, 20, 10, 5, 7, 2, 8, 90)
    assert "20 of 1,000 rows (2.00%)" in found.told


def test_reasons_are_of_all_runs_together() -> None:
    found = reasons([ran(3), ran(2, rejected='{"event_missing": 40}')])
    assert found.rows == (("event_missing", 45), ("uuid_missing", 15))
    assert reasons([ran(3, rejected="{}")]).told == "No row was rejected in the last run."


def test_posthog_says_what_differs_and_how_often() -> None:
    found = posthog([ran(3, notes=json.dumps({"posthog_sessions.matched": 90, "posthog_sessions.end_differs": 9}))])
    assert found.rows == (("end", 9, 0.1),)
    assert found.told.endswith("most often end differs, in 10.0% of them.")
    assert posthog([ran(3, notes='{"posthog_sessions.matched": 9}')]).told.endswith("too, and nothing differs.")
    one = posthog([ran(3, notes='{"posthog_sessions.matched": 1}')])
    assert one.told == "1 session of the last run is in PostHog's own table too, and nothing differs."
    assert posthog([ran(3, notes="{}")]).told == "PostHog's own table has none of the sessions."


def test_checks_that_need_a_look_come_first() -> None:
    numbers = {"value": 1.0, "expected": None, "lower": 0.0, "upper": 2.0, "persons": 9}
    statuses = {"a": "ok", "b": "unjudged", "c": "warn", "d": "fail"}
    found = checks([{"check": name, "status": status, **numbers} for name, status in statuses.items()])
    assert column(found, "check") == ["d", "c", "b", "a"]
    assert found.told == "Not as expected: c, d. Of 1 the weeks before say too little."
    assert checks([{"check": "a", "status": "ok", **numbers}]).told == "1 of 1 checks are as expected."
    assert checks([{"check": "b", "status": "unjudged", **numbers}]).told.startswith("No check can be judged yet.")


def test_checks_tell_no_number_of_few_persons() -> None:
    def row(value: float, expected: float, persons: int) -> tuple[object, ...]:
        numbers = {"value": value, "expected": expected, "lower": expected / 2, "upper": expected * 1.5}
        return checks([{"check": "users", "status": "unjudged", "persons": persons, **numbers}]).rows[0][1:-1]

    assert row(300.0, 200.0, 400) == (300.0, 200.0, 100.0, 300.0)
    assert row(3.0, 200.0, 400) == (WITHHELD, 200.0, 100.0, 300.0)
    assert row(8.0, 8.0, 3) == (WITHHELD, 8.0, 4.0, 12.0), "eight sessions of three persons"
    assert row(8.0, 2.5, 9) == (8.0, WITHHELD, WITHHELD, WITHHELD), "bounds tell what is expected"
    assert row(0.28, 0.3, 9) == (0.28, 0.3, 0.15, pytest.approx(0.45)), "a share"
