"""Days of persons: which there are, what they count, and which need not be made again."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import METRICS, at
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import parse_metrics
from transforms.persons.days import day_rows, deeds_by_day, moved_schema, unaffected
from transforms.published.changes import CHANGE
from transforms.schemas.fields import columns_of
from transforms.schemas.inputs import INVITE, SOCIAL_EVENT, USERS

HOUR = 3_600
TABLE = tables.PERSON_DAYS.under(METRICS)
MOVED = moved_schema(METRICS, tables.SESSIONS.under(METRICS).bare)
FIRST = at(0).date()  # at noon by UTC


def session(number: int, hours: float, length: float = 0.0, **values: Any) -> dict[str, Any]:
    """A session row that starts so many hours after the first noon and lasts so many hours."""
    start = at(hours * HOUR)
    return {
        "person_id": "ann",
        "user_id": "ann",
        "start_date": start.date(),
        "end_timestamp": start + timedelta(hours=length),
        "session_duration": length * HOUR,
        "event_count": number,
        CHANGE: "unchanged",
    } | values


def sessions(*rows: dict[str, Any], schema: pa.Schema = MOVED) -> pa.Table:
    """Session rows, with 0 and false where nothing else is said."""
    zeros = {field.name: 0.0 if pa.types.is_floating(field.type) else 0 for field in schema}
    zeros |= {field.name: False for field in schema if pa.types.is_boolean(field.type)}
    return pa.Table.from_pylist([zeros | row for row in rows], schema=schema)


def deeds(
    created: tuple[float, ...] = (), invites: tuple[tuple[float, str | None], ...] = (), zone: str = "UTC"
) -> pa.Table:
    """What the user Ann did, by hours after the first noon; Bob did as much, and is no user anymore."""
    events, received = (
        [row | {"user_id": who} for row in rows for who in ("ann", "bob")]
        for rows in (
            [{"createdAt": at(hours * HOUR)} for hours in created],
            [{"createdAt": at(hours * HOUR), "status": status} for hours, status in invites],
        )
    )
    return deeds_by_day(
        pa.Table.from_pylist(events, columns_of(SOCIAL_EVENT, "user_id", "createdAt")),
        pa.Table.from_pylist(received, columns_of(INVITE, "user_id", "createdAt", "status")),
        pa.Table.from_pylist([{"user_id": "ann"}], columns_of(USERS, "user_id")),
        zone,
    )


def days(given: pa.Table, done: pa.Table, metrics: Metrics = METRICS) -> list[dict[str, Any]]:
    """The rows of day, by date."""
    content = tables.PERSON_DAYS.under(metrics).content
    return sorted(day_rows(given, done, metrics, content).to_pylist(), key=lambda row: (row["person_id"], row["date"]))


def column(rows: list[dict[str, Any]], *names: str) -> list[Any]:
    return [tuple(row[name] for name in names) if len(names) > 1 else row[names[0]] for row in rows]


def test_a_day_is_there_when_a_session_starts_or_ends_on_it() -> None:
    rows = days(sessions(session(3, 0, 60), session(4, 1, 0.5)), deeds())
    assert column(rows, "date", "sessions_started", "event_count", "session_duration") == [
        (FIRST, 2, 7, 60.5 * HOUR),
        (FIRST + timedelta(days=3), 0, 0, 0.0),
    ]
    assert column(rows, "is_app_active", "is_social_active") == [(True, False)] * 2


def test_sums_are_of_the_sessions_that_start_on_the_day() -> None:
    flags = {"viewed_event": True, "screen_count": 2, "foreground_duration": 1.25}
    [row] = days(sessions(session(1, 0, **flags), session(1, 1, **flags), session(1, 2, created_event=True)), deeds())
    found = ("viewed_event_sum", "joined_event_sum", "created_event_sum", "screen_count", "foreground_duration")
    assert column([row], *found) == [(2, 0, 1, 4, 2.5)]


def test_a_user_without_sessions_has_social_days() -> None:
    rows = days(sessions(), deeds((0, 1), ((0, "accepted"), (24, "invited"), (24, "rejected"), (24, None), (48, None))))
    names = ("date", "events_created_count", "invites_accepted", "invites_pending", "invites_rejected")
    assert column(rows, *names) == [(FIRST, 2, 1, 0, 0), (FIRST + timedelta(days=1), 0, 0, 1, 1)]
    assert (
        column(rows, "person_id", "user_id", "is_app_active", "is_social_active") == [("ann", "ann", False, True)] * 2
    )
    assert column(rows, "is_first_day", "previous_active_date") == [(False, None)] * 2


def test_first_and_previous_days_are_days_in_the_app() -> None:
    done = deeds((-24, 24, 96))
    others = session(1, 24, person_id="anon", user_id=None)
    rows = days(sessions(session(1, 72), others, session(1, 0)), done)
    dates = [FIRST + timedelta(days=n) for n in (-1, 0, 1, 3, 4)]
    assert column(rows[:5], "date", "is_first_day", "previous_active_date") == [
        (dates[0], False, None),
        (dates[1], True, None),
        (dates[2], False, dates[1]),
        (dates[3], False, dates[1]),
        (dates[4], False, dates[3]),
    ]
    assert column(rows[5:], "person_id", "user_id", "date", "is_first_day") == [("anon", None, dates[2], True)]


def test_days_begin_in_the_reporting_timezone() -> None:
    zone = "Pacific/Auckland"  # 13 hours ahead
    metrics = parse_metrics(
        f'reporting_timezone = "{zone}"\n[metrics.x]\nkind = "flag"\nevents = ["x"]\ndescription = "X."'
    )
    schema = moved_schema(metrics, tables.SESSIONS.under(metrics).bare)
    given = session(1, -1.5, 1, start_date=FIRST)
    rows = days(sessions(given, schema=schema), deeds((-1.5,), ((-0.5, "accepted"),), zone), metrics)
    names = ("date", "sessions_started", "is_app_active", "events_created_count", "invites_accepted")
    assert column(rows, *names) == [(FIRST, 1, True, 1, 0), (FIRST + timedelta(days=1), 0, True, 0, 1)]


@pytest.mark.parametrize("hours", [-24 * 366 * 11, 24 * 366 * 26, -24 * 365 * 2_020])
def test_moments_that_no_event_can_have_are_on_no_day(hours: float) -> None:
    assert deeds((hours,), ((hours, "accepted"),), "America/New_York").num_rows == 0


def test_nothing_at_all() -> None:
    assert days(sessions(), deeds()) == []


KEPT = (session(2, 0, 30), session(1, 40))
DONE = {"created": (5.0, 50.0), "invites": ((5.0, "accepted"), (100.0, "invited"))}


def published(given: tuple[dict[str, Any], ...] = KEPT, **done: Any) -> pa.Table:
    return day_rows(sessions(*given), deeds(**(done or DONE)), METRICS, TABLE.content)


def test_a_person_of_whom_nothing_changed_keeps_all_days() -> None:
    assert unaffected(sessions(*KEPT), deeds(**DONE), published()).to_pylist() == ["ann"]
    assert unaffected(sessions(), deeds(**DONE), published((), **DONE)).to_pylist() == ["ann"]
    assert unaffected(sessions(*KEPT), deeds(), published(KEPT, created=())).to_pylist() == ["ann"]


@pytest.mark.parametrize(
    ("now", "done"),
    [
        ((KEPT[0] | {CHANGE: "updated"}, KEPT[1]), DONE),
        ((KEPT[0] | {CHANGE: "deleted"}, KEPT[1]), DONE),
        ((*KEPT, session(1, 50, **{CHANGE: "inserted"})), DONE),
        (KEPT[:1], DONE),  # it is another person's now
        ((), DONE),
        (KEPT, DONE | {"created": (5.0,)}),
        (KEPT, DONE | {"created": (5.0, 60.5)}),  # on another day
        (KEPT, DONE | {"created": (5.0, 5.0, 50.0)}),
        (KEPT, DONE | {"invites": ((5.0, "rejected"), (100.0, "invited"))}),
        (KEPT, DONE | {"invites": ((5.0, "accepted"), (100.0, None))}),
        (KEPT, {}),
    ],
)
def test_whatever_changes_a_day_makes_the_days_of_a_person_anew(now: Any, done: Any) -> None:
    assert unaffected(sessions(*now), deeds(**done), published()).to_pylist() == []


def test_a_person_with_very_many_sessions() -> None:
    number = 300_000
    starts = np.arange(number) * 600
    one = sessions(session(1, 0, 0.1, viewed_event=True)).drop_columns(["start_date", "end_timestamp"])
    many = pa.concat_tables([one] * 1).take(pa.array(np.zeros(number, np.int64)))
    ends = pa.array(starts * 1_000_000 + 1_700_000_000_000_000).cast(pa.timestamp("us", "UTC"))
    many = (
        many.append_column("start_date", ends.cast(pa.date32()))
        .append_column("end_timestamp", ends)
        .select(MOVED.names)
    )
    begun = time.process_time()
    rows = day_rows(many, deeds((0,)), METRICS, TABLE.content)
    assert time.process_time() - begun < 20
    assert sum(rows["sessions_started"].to_pylist()) == sum(rows["viewed_event_sum"].to_pylist()) == number
    assert rows.num_rows == number * 600 // 86_400 + 2
    assert isinstance(rows["date"][0].as_py(), date)
