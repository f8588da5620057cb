"""What the views say: hand-made tables, and random ones against Python, on DuckDB and on BigQuery's emulator."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bigquery.emulators import Emulators
from tests.builders import METRICS, SMALL_METRICS
from tests.pipeline.views import reference
from tests.pipeline.views.chance import random_tables
from tests.pipeline.views.place import OnBigQuery, Row, Rows, at, contents, day, on_duckdb
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import parse_metrics

Look = Callable[[Metrics, Rows], dict[str, list[Row]]]
QUIZZES = parse_metrics(
    """
    [metrics.quiz]
    kind = "sequence"
    steps = ["start_quiz", "finish_quiz"]
    description = "A quiz."
    [metrics.order]
    kind = "sequence"
    steps = ["cart", "pay", "thanks"]
    description = "An order; its name is a word of SQL."
    """
)


@pytest.fixture(scope="module")
def on_bigquery(emulators: Emulators) -> Iterator[Look]:
    """Gives the rows of all views over tables of the emulator."""
    with closing(OnBigQuery(emulators)) as look:
        yield look


@pytest.fixture(params=["duckdb", pytest.param("bigquery", marks=pytest.mark.emulator)])
def look(request: pytest.FixtureRequest) -> Look:
    """Gives the rows of all views over tables."""
    found: Look = on_duckdb if request.param == "duckdb" else request.getfixturevalue("on_bigquery")
    return found


def visits(*, today: int, **persons: list[int]) -> Rows:
    """Sessions at noon of these days, and a ledger whose watermark is in the middle of `today`."""
    sessions = [
        {"session_id": f"{person}{number}", "person_id": person, "start_date": day(number)}
        for person, days in persons.items()
        for number in days
    ]
    runs = [{"run_id": "1", "watermark": at(today - 1)}, {"run_id": "2", "watermark": at(today)}]
    return {"sessions": sessions, "runs": runs}


def column(rows: list[Row], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_days(look: Look) -> None:
    found = look(METRICS, visits(today=10, a=[1, 2, 9], b=[1, 10, 11], c=[4]))["daily_active"]
    assert column(found, "date", "dau", "wau", "mau", "new_persons", "returning_persons") == [
        (day(1), 2, 2, 2, 2, 0),
        (day(2), 1, 2, 2, 0, 1),
        (day(3), 0, 2, 2, 0, 0),
        (day(4), 1, 3, 3, 1, 0),
        (day(5), 0, 3, 3, 0, 0),
        (day(6), 0, 3, 3, 0, 0),
        (day(7), 0, 3, 3, 0, 0),
        (day(8), 0, 2, 3, 0, 0),  # b was last seen on the 1st
        (day(9), 1, 2, 3, 0, 1),  # the 10th is not finished
    ]
    assert [row["stickiness"] for row in found][:4] == [1, 0.5, 0, pytest.approx(1 / 3)]


def test_days_end_in_the_reporting_timezone(look: Look) -> None:
    """The 10th begins in Chicago at six o'clock UTC."""
    chicago = parse_metrics(
        """
        reporting_timezone = "America/Chicago"
        [metrics.taps]
        kind = "count"
        events = ["tap"]
        description = "Taps."
        """
    )
    for hour, finished in ((5.5, 8), (6.5, 9)):
        tables = {**visits(today=1, a=[8, 9, 10]), "runs": [{"run_id": "1", "watermark": at(10, hour)}]}
        found = look(chicago, tables)["daily_active"]
        assert [row["date"] for row in found] == [day(number) for number in range(8, finished + 1)]


def test_a_month_without_anybody(look: Look) -> None:
    found = look(METRICS, visits(today=34, a=[1]))["daily_active"]
    assert column(found[29:], "date", "dau", "mau", "stickiness") == [
        (day(30), 0, 1, 0),
        (day(31), 0, 0, None),
        (day(32), 0, 0, None),
        (day(33), 0, 0, None),
    ]


def test_weeks_of_retention(look: Look) -> None:
    found = look(METRICS, visits(today=20, a=[5, 11, 19], b=[6], c=[4, 12]))["retention_weekly"]
    assert column(found, "cohort_week", "week_number", "cohort_size", "active", "retention", "is_complete") == [
        (day(-2), 0, 1, 1, 1, True),  # c, on a Sunday
        (day(-2), 1, 1, 0, 0, True),
        (day(-2), 2, 1, 1, 1, True),
        (day(-2), 3, 1, 0, 0, False),
        (day(5), 0, 2, 2, 1, True),
        (day(5), 1, 2, 0, 0, True),
        (day(5), 2, 2, 1, 0.5, False),
    ]


def test_days_of_retention(look: Look) -> None:
    found = look(METRICS, visits(today=9, a=[1, 2, 8], b=[1, 3], c=[2, 9]))["retention_days"]
    assert column(found, "cohort_date", "day_number", "cohort_size", "active", "retention", "is_complete") == [
        (day(1), 1, 2, 1, 0.5, True),
        (day(1), 30, 2, None, None, False),
        (day(1), 7, 2, 1, 0.5, True),
        (day(2), 1, 1, 0, 0, True),
        (day(2), 30, 1, None, None, False),
        (day(2), 7, 1, None, None, False),  # the 9th is not finished
    ]


def test_lifecycle(look: Look) -> None:
    found = look(METRICS, visits(today=27, a=[5, 12, 26], b=[6, 20], c=[14]))["person_lifecycle"]
    assert [tuple(row.values()) for row in found] == [
        (day(5), 2, 0, 0, 0),
        (day(12), 1, 1, 0, 1),
        (day(19), 0, 0, 1, 2),  # the week of the 26th is not finished
    ]


def test_nothing_happened_yet(look: Look) -> None:
    """No session, or none on a finished day, or no watermark."""
    empty: Rows = {"runs": [{"run_id": "1", "watermark": None}]}
    for rows in ({}, empty, visits(today=3, a=[3]), visits(today=3)):
        assert {name: found for name, found in look(METRICS, rows).items() if found} == {}


def test_funnels(look: Look) -> None:
    start = at(1)

    def walked(person: str, **columns: Any) -> Row:
        nothing = {"quiz_step": 0, "quiz_attempts": 0, "order_step": 0, "order_attempts": 0}
        return {"session_id": f"{person}{columns}", "person_id": person, "user_id": f"u{person}"} | nothing | columns

    def quiz(step: int, hours: float, attempts: int, seconds: float | None = None) -> Row:
        begun = start + timedelta(hours=hours)
        end = None if seconds is None else begun + timedelta(seconds=seconds)
        times = {"quiz_started_at": begun, "quiz_finished_at": end, "quiz_duration": seconds}
        return {"quiz_step": step, "quiz_attempts": attempts} | times

    sessions = [
        walked("a", **quiz(1, 5, 3)),
        walked("a", **quiz(2, 2, 1, 60)),
        walked("a", **quiz(2, 8, 2, 30)),
        walked("a", order_step=2, order_attempts=1, order_started_at=start),
        walked("b", **quiz(1, 1, 1)),
        walked("c"),
    ]
    found = look(QUIZZES, {"sessions": sessions})["person_funnels"]
    after = [start + timedelta(hours=hours) for hours in range(6)]
    assert [tuple(row.values()) for row in found] == [
        ("a", "ua", "order", 3, 2, 1, 0, 1, start, None, None),
        ("a", "ua", "quiz", 2, 2, 3, 2, 6, after[2], after[2] + timedelta(seconds=60), 30),
        ("b", "ub", "quiz", 2, 1, 1, 0, 1, after[1], None, None),
    ]
    assert found == ordered(reference.person_funnels(contents_of(QUIZZES, sessions), {"quiz": 2, "order": 3}))


def test_the_rows_of_the_earlier_job(look: Look) -> None:
    """Sessions of users that lasted or had a touch; persons over these only."""
    mine = {"person_id": "u", "user_id": "u"}
    rows: Rows = {
        "sessions": [
            mine | {"session_id": "lasted", "start_timestamp": at(1), "session_duration": 7.0, "city": "Bern"},
            mine | {"session_id": "touched", "start_timestamp": at(3), "autocapture_count": 1, "viewed_event": True},
            mine | {"session_id": "opened", "start_timestamp": at(9)},
            {"session_id": "anonymous", "person_id": "d", "session_duration": 7.0},
            {"session_id": "other", "person_id": "v", "user_id": "v", "businessUser": True, "session_duration": 0.5},
        ]
    }
    found = look(METRICS, rows)
    kept = column(found["sessions_aggregated"], "session_id", "contactAccessGranted", "businessUser")
    assert kept == [("lasted", False, False), ("other", False, True), ("touched", False, False)]
    names = ("user_id", "total_sessions", "total_session_duration", "median_session_duration", "city")
    assert column(found["people_aggregated"], *names, "days_since_first_session", "engagement_score") == [
        ("u", 2, 7, 3.5, "Bern", 2, 0.5),
        ("v", 1, 0.5, 0.5, None, 0, 0),
    ]
    assert [len(found[name][0]) for name in ("sessions_aggregated", "people_aggregated")] == [29, 41]


def test_what_persons_did_with_what(look: Look) -> None:
    """Of several sessions; what a link has no such action for is null, and nothing."""
    sessions = [
        {"session_id": one, "person_id": who, "user_id": user}
        for one, who, user in [("s1", "a", "a"), ("s2", "a", "a"), ("s3", "b", None)]
    ]

    def link(session: str, viewed: int | None, joined: int, **others: Any) -> Row:
        """A row of a session, in which e1 was viewed at noon of a day, and joined an hour later."""
        number = int(session[1])
        viewing = {"viewed_count": viewed, "first_viewed_at": at(number) if viewed else None}
        joining = {"joined_count": joined, "first_joined_at": at(number, 13) if joined else None}
        return {"session_id": session, "link": "social_event", "value": "e1", **viewing, **joining, **others}

    links = [link("s2", 2, 1), link("s1", 3, 0), link("s3", None, 1), link("s3", 1, 0, value="e2"), link("s2", 0, 0)]
    found = look(METRICS, {"sessions": sessions, "session_links": links})["person_links"]
    assert [tuple(row.values()) for row in found] == [
        ("a", "a", "social_event", "e1", "joined", 1, 1, at(2, 13)),
        ("a", "a", "social_event", "e1", "viewed", 2, 5, at(1)),
        ("b", None, "social_event", "e1", "joined", 1, 1, at(3, 13)),
        ("b", None, "social_event", "e2", "viewed", 1, 1, at(3)),
    ]


def days_of(user: str, **days: Row) -> list[Row]:
    """Rows of person_days, by the number of the day."""
    return [
        {"person_id": user, "user_id": user, "date": day(int(number.removeprefix("on_"))), "_loaded_at": at(40), **row}
        for number, row in days.items()
    ]


def test_every_day_of_a_user(look: Look) -> None:
    """From sign-up, or from the first day with something, to today; days of the future and of nobody are not there."""
    social = {"events_created_count": 1, "invites_accepted": 2, "invites_pending": 3, "invites_rejected": 4}
    nobody = [row | {"user_id": None} for row in days_of("c", on_2={"event_count": 9})]
    rows: Rows = {
        "person_days": [
            *days_of("a", on_3={"event_count": 7}, on_5=social, on_7={"event_count": 1}),
            *days_of("b", on_5={"event_count": 2}),
            *nobody,
        ],
        "persons": [{"person_id": one, "user_id": one, "createdAt": at(when)} for one, when in (("a", 2), ("b", 9))],
        "runs": [{"run_id": "1", "watermark": at(6)}],
    }
    found = look(METRICS, rows)["user_daily_activity"]
    numbers = ("event_count", "events_created_count", "accepted", "invited", "rejected")
    assert column(found, "user_id", "date", *numbers) == [
        ("a", day(2), 0, 0, 0, 0, 0),
        ("a", day(3), 7, 0, 0, 0, 0),
        ("a", day(4), 0, 0, 0, 0, 0),
        ("a", day(5), 0, 1, 2, 3, 4),
        ("a", day(6), 0, 0, 0, 0, 0),
        ("b", day(5), 2, 0, 0, 0, 0),  # before signing up, which is not lost
        ("b", day(6), 0, 0, 0, 0, 0),
    ]
    assert column(found[:1], "createdAt", "etl_loaded_at") == [(at(2), at(40))]


def test_who_has_churned(look: Look) -> None:
    app, biz = {"is_app_active": True, "event_count": 2}, {"is_social_active": True, "invites_accepted": 1}
    rows: Rows = {
        "person_days": [
            *days_of("active", on_2=app, on_16=app | biz),
            *days_of("back", on_1=app, on_16=app, on_40=app),
            *days_of("gone", on_1=app, on_15=app),
            *days_of("social", on_1=biz, on_20=biz | {"events_created_count": 3}),
        ],
        "runs": [{"run_id": "1", "watermark": at(30)}],
    }
    found = look(METRICS, rows)["user_churn_state"]
    kinds = ("times_churned", "churn_state", "churn_date")
    assert column(found, "user_id", *(f"app_{one}" for one in kinds), *(f"biz_{one}" for one in kinds)) == [
        ("active", 0, "active", None, 0, "active", None),
        ("back", 1, "reactivated", None, 0, "never_active", None),
        ("gone", 0, "churned", day(29), 0, "never_active", None),
        ("social", 0, "never_active", None, 1, "reactivated", None),
    ]
    spans = ("first_app_active_date", "last_app_active_date", "days_since_last_app_activity")
    assert column(found, *spans) == [
        (day(2), day(16), 14),  # as many days as may pass
        (day(1), day(16), 14),
        (day(1), day(15), 15),
        (None, None, None),
    ]
    totals = ("total_events_created", "total_events_attended", "total_app_interactions")
    assert column(found, *totals) == [(0, 1, 4), (0, 0, 4), (0, 0, 4), (3, 2, 0)]


def contents_of(metrics: Metrics, sessions: list[Row]) -> list[Row]:
    """Sessions with all their columns."""
    rows: list[Row] = contents(metrics, {"sessions": sessions})["sessions"][1].to_pylist()
    return rows


def ordered(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: [str(value) for value in row.values()])


def assert_as_in_python(found: dict[str, list[Row]], rows: Rows) -> None:
    """Every view is what `reference` says."""
    sessions, today = contents_of(METRICS, list(rows["sessions"])), rows["runs"][0]["watermark"].date()
    whole = {name: table.to_pylist() for name, (_, table) in contents(METRICS, rows).items()}
    days, persons = whole["person_days"], whole["persons"]
    wanted = {
        "daily_active": reference.daily_active(sessions, today),
        "retention_weekly": reference.retention_weekly(sessions, today),
        "retention_days": reference.retention_days(sessions, today),
        "person_lifecycle": reference.person_lifecycle(sessions, today),
        "sessions_aggregated": reference.sessions_aggregated(sessions),
        "people_aggregated": reference.people_aggregated(sessions),
        "person_links": reference.person_links(sessions, whole["session_links"], METRICS.actions),
        "user_daily_activity": reference.user_daily_activity(days, persons, today),
        "user_churn_state": reference.user_churn_state(days, today, METRICS.inactive_days),
    }
    assert set(found) == {*wanted, "person_funnels", "checks"}  # these two have tests of their own
    for name, some in wanted.items():
        assert len(found[name]) == len(some), name
        for row, one in zip(found[name], ordered(some), strict=True):
            assert row == {key: value if value is None else _near(value) for key, value in one.items()}, name


def _near(value: Any) -> Any:
    return pytest.approx(value, rel=1e-12, abs=1e-9) if isinstance(value, float) else value


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_any_tables_on_duckdb(seed: int) -> None:
    rows = random_tables(random.Random(seed))
    assert_as_in_python(on_duckdb(METRICS, rows), rows)


@pytest.mark.emulator
@pytest.mark.parametrize("seed", range(2))
def test_some_tables_on_bigquery(on_bigquery: Look, seed: int) -> None:
    rows = random_tables(random.Random(seed), least=30)
    assert_as_in_python(on_bigquery(METRICS, rows), rows)


def test_other_metrics_have_other_views(look: Look) -> None:
    assert set(look(SMALL_METRICS, {})) == {
        *("daily_active", "retention_weekly", "retention_days", "person_lifecycle", "person_funnels", "checks"),
        *("person_links", "user_daily_activity", "user_churn_state"),
    }
