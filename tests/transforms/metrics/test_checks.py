"""Five weeks of days, and what checks find of the last one."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.builders import METRICS
from transforms.metrics.checks import Check, Finding, judge
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import parse_metrics
from transforms.metrics.kinds.occurrences import Count, Flag

DAY = date(2026, 2, 8)
METRIC = '[metrics.taps]\nkind = "count"\nevents = ["tap"]\ndescription = "Taps."\n'


def five_weeks(**same_weekday: list[int | None]) -> dict[date, dict[str, int]]:
    """Numbers of 36 days: 1,000 sessions each, but on the weekday of `DAY` the given ones, the latest first."""
    found: dict[date, dict[str, int]] = {DAY - timedelta(days=back): {"sessions": 1_000} for back in range(36)}
    for name, numbers in same_weekday.items():
        for week, number in enumerate(numbers):
            if number is not None:
                found[DAY - timedelta(weeks=week)][name.replace("with_", "with.")] = number
    return found


def check(measure: str = "sessions", **keys: Any) -> Check:
    return Check(**{"name": "c", "measure": measure, "minimum": 100} | keys)


def found(one: Check, **same_weekday: list[int | None]) -> Finding:
    [finding] = judge([one], five_weeks(**same_weekday), DAY)
    assert (finding.check, finding.date) == ("c", DAY)
    return finding


@pytest.mark.parametrize(
    ("sessions", "expected", "status"),
    [
        ([200, 200, 200, 200, 200], 200, "ok"),
        ([100, 200, 200, 200, 200], 200, "ok"),  # at the bound
        ([99, 200, 200, 200, 200], 200, "warn"),
        ([300, 200, 200, 200, 200], 200, "ok"),
        ([301, 200, 200, 200, 200], 200, "warn"),
        ([0, 200, 200, 200, 200], 200, "warn"),
        ([200, 5, 200, 9_000, 200], 200, "ok"),  # odd weeks change nothing
        ([50, 20, 60, 100, 140], 80, "unjudged"),  # fewer than the minimum are expected
        ([50, 100, 100, 100, 100], 100, "ok"),
        ([49, 100, 100, 100, 100], 100, "warn"),
    ],
)
def test_a_number_of_a_day(sessions: list[int | None], expected: float, status: str) -> None:
    finding = found(check(), sessions=sessions)
    assert (finding.value, finding.expected, finding.status) == (sessions[0], expected, status)
    assert (finding.lower, finding.upper) == (expected / 2, expected * 1.5)


def test_only_the_same_weekday_counts_and_the_action_is_the_status() -> None:
    assert found(check(action="fail"), sessions=[1_000, 200, 200, 200, 200]).status == "fail"
    assert found(check(within=4, action="fail"), sessions=[1_000, 200, 200, 200, 200]).status == "ok"
    assert found(check(within=4), sessions=[0, 200, 200, 200, 200]).lower == 0


@pytest.mark.parametrize(
    ("anonymous", "sessions", "status"),
    [
        ([30, 20, 20, 20, 20], [100] * 5, "ok"),
        ([31, 20, 20, 20, 20], [100] * 5, "warn"),
        ([10, 20, 20, 20, 20], [100] * 5, "ok"),
        ([90, 20, 20, 20, 20], [99, 100, 100, 100, 100], "unjudged"),  # a share of few says little
        ([None, 20, 20, 20, 20], [0, 100, 100, 100, 100], "unjudged"),  # a share of none is none
    ],
)
def test_a_share_differs_by_points(anonymous: list[int | None], sessions: list[int | None], status: str) -> None:
    finding = found(check("anonymous", within=0.1), anonymous=anonymous, sessions=sessions)
    assert finding.status == status
    if sessions[0]:
        assert (finding.lower, finding.upper) == (pytest.approx(0.1), pytest.approx(0.3))
    else:
        assert (finding.value, finding.expected) == (None, None)


def test_a_metric_that_no_session_has_is_zero() -> None:
    finding = found(check("sessions_with", metric="shared"), with_shared=[None, 150, 160, 170, None])
    assert (finding.value, finding.expected, finding.status) == (0, 155, "warn")  # 150, 160, 170 and none


def test_days_before_the_first_are_not_known() -> None:
    numbers = {DAY - timedelta(days=back): {"sessions": 500} for back in range(14)}
    [finding] = judge([check()], numbers, DAY)
    assert finding == Finding("c", DAY, 500, None, None, None, "unjudged")  # one week is no expectation
    numbers[DAY - timedelta(days=14)] = {"sessions": 300}
    assert judge([check()], numbers, DAY)[0].expected == 400
    del numbers[DAY - timedelta(days=7)]  # a day without sessions, but after the first: there were none
    assert judge([check()], numbers, DAY)[0].expected == 150


def test_a_week_without_a_run_is_no_week_without_rejected_rows() -> None:
    rows: list[int | None] = [1_000, 1_000, None, None, 1_000]
    finding = found(check("rejected", within=0.01), rows=rows, rejected=[60, 20, None, None, 40])
    assert (finding.value, finding.expected, finding.status) == (0.06, 0.03, "warn")
    assert found(check("nulled", within=0.01), rows=rows, nulled=[0, 0, None, None, 0]).status == "ok"


def test_nothing_at_all() -> None:
    assert judge([check(), check("anonymous"), check("rejected")], {}, DAY) == tuple(
        Finding("c", DAY, value, None, None, None, "unjudged") for value in (0, None, None)
    )


def test_the_packaged_file_checks_every_flag_and_count() -> None:
    declared = {f"events.{entry.name}": entry.name for entry in METRICS.entries if isinstance(entry, Flag | Count)}
    checks = {one.name: one for one in METRICS.day_checks}
    assert {"sessions", "users", *declared, "anonymous", "rejected", "nulled"} <= set(checks)
    assert {checks[name].action for name in declared} == {"warn"}
    assert {name: checks[name].metric for name in declared} == declared


def test_checks_are_no_definitions_of_the_tables() -> None:
    one = parse_metrics(METRIC)
    other = parse_metrics(METRIC + '[checks.few]\nmeasure = "users"\naction = "fail"\n')
    assert one.digest == other.digest
    assert one.checks == ()
    assert other.checks == (Check(name="few", measure="users", action="fail"),)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("", "measure is missing; it is one of sessions, users"),
        ('measure = "visits"', "measure 'visits' is not one of sessions, users"),
        ('measure = "sessions"\nmetric = "taps"', "metric 'taps' is not the name of a flag or count"),
        ('measure = "sessions_with"\nmetric = "no"', "metric 'no' is no flag or count of the file"),
        ('measure = "users"\nwithin = 0', "within 0 is not a number above 0"),
        ('measure = "users"\nminimum = 0', "minimum 0 is not a whole number from 1 on"),
        ('measure = "users"\naction = "stop"', "action 'stop' is not one of warn, fail"),
        ('measure = "users"\nlevel = 1', "unknown key 'level'"),
    ],
)
def test_what_is_wrong_is_told(keys: str, told: str) -> None:
    with pytest.raises(MetricsError) as caught:
        parse_metrics(f"{METRIC}[checks.few]\n{keys}\n")
    assert str(caught.value).startswith(f"check 'few': {told}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("checks = 1\n" + METRIC, r"write \[checks\.NAME\]"),
        (METRIC + "[checks]\nfew = 1\n", r"write \[checks\.few\]"),
        (METRIC + "[checks.Few]\n", "check 'Few': a name is lower-case"),
    ],
)
def test_what_is_no_entry_is_told(text: str, told: str) -> None:
    with pytest.raises(MetricsError, match=told):
        parse_metrics(text)
