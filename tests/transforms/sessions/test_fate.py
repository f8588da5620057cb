"""Whose the sessions are that a run goes on with, and how they differ from what is published."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import SMALL_METRICS, at
from transforms.incremental.unsettled import UNSETTLED
from transforms.incremental.window import EVERYTHING, Window
from transforms.machinery.join import Results
from transforms.machinery.times import micros
from transforms.published.changes import CHANGE, CHANGES, LoadedBy, count_name
from transforms.sessions.facts import ARRIVAL, ROWS, fact_schema
from transforms.sessions.fate import LINKED, PUBLISHED, STAYING, WAITING, Conclude, fresh_schema, staying_schema
from transforms.sessions.owners import MATCHES
from transforms.sessions.rows import session_rows
from transforms.users.deeds import SOCIAL_EVENTS

DAY = 86_400
TABLE = tables.SESSIONS.under(SMALL_METRICS)
SESSIONS = TABLE.bare
FACTS = fact_schema(SMALL_METRICS, SESSIONS)
WINDOW = Window(micros(at(10 * DAY)), new_from=micros(at(14 * DAY)), undated_from=micros(at(12 * DAY)))
PERSONS = tables.PERSONS.under(SMALL_METRICS)
LINKS = tables.SESSION_LINKS.under(SMALL_METRICS)
NAMES = {"inserted": "new", "unchanged": "same", "updated": "different", "deleted": "gone"}


def facts(session: str = "s", day: float = 11, arrival: float = 15, **changes: Any) -> dict[str, Any]:
    """Facts of a session of one event."""
    row: dict[str, Any] = {field.name: 0 if pa.types.is_integer(field.type) else None for field in FACTS}
    row |= {field.name: False for field in FACTS if pa.types.is_boolean(field.type)}
    return row | {
        "session_id": session,
        "distinct_id": "a",
        "distinct_ids": ["a"],
        "start_timestamp": at(day * DAY),
        "end_timestamp": at(day * DAY),
        "event_count": 1,
        ROWS: 1,
        ARRIVAL: at(arrival * DAY),
        **changes,
    }


def published(**changes: Any) -> dict[str, Any]:
    """The row that was published of the same."""
    _, _, [row] = made(WINDOW, [facts()], [])
    row = {name: row[name] for name in SESSIONS.names}
    return row | {"_run_id": "run-1"} | changes


def concluded(
    window: Window,
    fresh: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    *,
    user: str | None = None,
    acquisition: dict[str, Any] | None = None,
    waits: list[dict[str, Any]] | None = None,
    links: list[dict[str, Any]] | None = None,
) -> Results:
    """What is concluded of sessions."""
    matches = [
        {"session_id": "s", "fresh": is_fresh, "match": f"0{user}", "excluded": False} for is_fresh in (True, False)
    ]
    given = {
        "facts": pa.Table.from_pylist(fresh, FACTS),
        "published": pa.Table.from_pylist(rows, SESSIONS),
        "links": pa.Table.from_pylist(links or [], LINKS.bare),
        "matches": pa.Table.from_pylist(matches if user else [], MATCHES),
        "acquisition": pa.Table.from_pylist([acquisition] if acquisition else [], tables.POSTHOG_SESSIONS.bare),
        "unsettled": pa.Table.from_pylist(waits or [], UNSETTLED),
    }
    found = Conclude(window, frozenset(), FACTS, SESSIONS, LINKS.target, LoadedBy("run-2", at(0)))(given)
    assert {table.schema for table in found.rows} == {fresh_schema(FACTS, SESSIONS)}
    assert {table.schema for table in found.also[STAYING]} == {staying_schema(SESSIONS)}
    return found


def made(*args: Any, **options: Any) -> tuple[dict[str, int], list[str], list[dict[str, Any]]]:
    """(counts of both steps, sessions that wait with their days, rows of the sessions table with their change)."""
    found = concluded(*args, **options)
    make = session_rows(
        SMALL_METRICS, FACTS, TABLE.target, PERSONS.target, LoadedBy("run-2", at(0)), keep_persons=False
    )
    results = make(
        {
            "fresh": pa.concat_tables(found.rows),
            "staying": pa.concat_tables(found.also[STAYING]),
            "users": tables.USERS.bare.empty_table(),
            "firebase_events": SOCIAL_EVENTS.kept.empty_table(),
            "persons": PERSONS.bare.empty_table(),
        }
    )
    counts = Counter(found.counts) + Counter(results.counts)
    told = {name: number for name, number in counts.items() if number and name not in CHANGED}
    waiting = [row for table in found.also[WAITING] for row in table.to_pylist()]
    rows = [row for table in results.rows for row in table.to_pylist()]
    return told, [f"{row['timestamp']:%Y-%m-%d} {row['session_id']}" for row in waiting], rows


def state(*args: Any, **options: Any) -> str | None:
    _, _, rows = made(*args, **options)
    return next((NAMES[row[CHANGE]] for row in rows if row["session_id"] == "s"), None)


CHANGED = {count_name("sessions", change) for change in CHANGES}
#: Whether the session's facts are fresh ones or stay as published.
WAYS = pytest.mark.parametrize("fresh", [[facts()], []], ids=["fresh", "staying"])


@WAYS
def test_a_session_that_is_as_published_is_the_same(fresh: list[dict[str, Any]]) -> None:
    assert state(WINDOW, fresh, [published()]) == "same"
    row = published(user_id="u1", person_id="u1", channel_type="Direct", is_bounce=True)
    seen = {"session_id": "s", "channel_type": "Direct", "is_bounce": True}
    assert state(WINDOW, fresh, [row], user="u1", acquisition=seen) == "same"


@WAYS
@pytest.mark.parametrize(
    ("before", "options"),
    [
        ({}, {"user": "u1"}),
        ({"user_id": "u1", "person_id": "u1"}, {}),
        ({"user_id": "u1", "person_id": "u1"}, {"user": "u2"}),
        ({}, {"acquisition": {"session_id": "s", "channel_type": "Direct"}}),
        ({"channel_type": "Direct"}, {}),
        ({}, {"acquisition": {"session_id": "s", "is_bounce": False}}),
        ({"is_bounce": True}, {"acquisition": {"session_id": "s", "is_bounce": False}}),
        ({"is_bounce": True}, {}),
    ],
)
def test_a_person_channel_or_bounce_that_changed_is_noticed(
    fresh: list[dict[str, Any]], before: dict[str, Any], options: dict[str, Any]
) -> None:
    assert state(WINDOW, fresh, [published(**before)], **options) == "different"


def other_value(kind: pa.DataType) -> Any:
    """A value that no row here has."""
    other = {pa.string(): "x", pa.float64(): 0.5, pa.bool_(): True, pa.int64(): 7, pa.list_(pa.string()): ["a", "b"]}
    return other.get(kind, at(11.5 * DAY))


@pytest.mark.parametrize("name", [name for name in FACTS.names if name not in ("session_id", ROWS, ARRIVAL, "_links")])
def test_every_fact_is_compared(name: str) -> None:
    value = other_value(FACTS.field(name).type)
    assert state(WINDOW, [facts()], [published(**{name: value})]) == "different"


#: The profile, what the user has created, the session's place among those of its person: no event tells of them.
DERIVED = [name for name in TABLE.content.names if name not in FACTS.names]


@WAYS
@pytest.mark.parametrize("name", DERIVED)
def test_every_other_column_is_compared(name: str, fresh: list[dict[str, Any]]) -> None:
    row = published()
    kind = SESSIONS.field(name).type
    row[name] = not row[name] if pa.types.is_boolean(kind) else other_value(kind)
    assert state(WINDOW, fresh, [row]) == "different"


def test_new_gone_and_left_alone() -> None:
    assert state(WINDOW, [facts()], []) == "new"
    assert state(EVERYTHING, [], [published()]) == "gone"
    assert state(EVERYTHING, [facts("t")], [published()]) == "gone"
    old = published(start_timestamp=at(8 * DAY), end_timestamp=at(8 * DAY), event_count=5)
    counts, waiting, [row] = made(WINDOW, [facts(**{ROWS: 3})], [old])
    assert NAMES[row[CHANGE]] == "same"
    assert row["event_count"] == 5
    assert counts == {"filtered.session_too_old": 3}
    assert waiting == ["2025-01-13 s"]
    untouched = made(WINDOW, [facts(arrival=11, **{ROWS: 3})], [old])
    assert untouched[:2] == ({"filtered.session_untouched": 3}, [])


def link(value: str = "x", **changes: Any) -> dict[str, Any]:
    """An entry of a session's links."""
    return {"link": "thing", "value": value, "is_cut": False, "tapped_count": 1, "joined_count": 0, **changes}


def linked(*args: Any, **options: Any) -> dict[tuple[str, str], tuple[str, Any]]:
    """(session, value) → what happens to the row, and how many taps it says."""
    rows = [row for table in concluded(*args, **options).also[LINKED] for row in table.to_pylist()]
    return {(row["session_id"], row["value"]): (row[CHANGE], row["tapped_count"]) for row in rows}


def test_links_have_the_fate_of_their_session() -> None:
    rows = [{"session_id": "s", "_run_id": "run-1", **link("x")}, {"session_id": "s", "_run_id": "run-1", **link("y")}]
    new = facts(_links=[link("x"), link("z", tapped_count=3)])
    assert linked(WINDOW, [new], []) == {("s", "x"): ("inserted", 1), ("s", "z"): ("inserted", 3)}
    changed = {("s", "x"): ("unchanged", 1), ("s", "y"): ("deleted", 1), ("s", "z"): ("inserted", 3)}
    assert linked(WINDOW, [new], [published()], links=rows) == changed
    again = facts(_links=[link("x", tapped_count=2), link("y")])
    assert linked(WINDOW, [again], [published()], links=rows) == {
        ("s", "x"): ("updated", 2),
        ("s", "y"): ("unchanged", 1),
    }
    stays = {("s", "x"): ("unchanged", 1), ("s", "y"): ("unchanged", 1)}
    assert linked(WINDOW, [], [published()], links=rows) == stays
    old = published(start_timestamp=at(8 * DAY), end_timestamp=at(8 * DAY))
    assert linked(WINDOW, [new], [old], links=rows) == stays
    assert linked(EVERYTHING, [], [published()], links=rows) == dict.fromkeys(stays, ("deleted", 1))
    assert linked(WINDOW, [], [], links=rows) == dict.fromkeys(stays, ("deleted", 1))  # without a session no links


def test_what_waits_is_not_published_and_told() -> None:
    waits = [{"session_id": id_, "timestamp": at(day * DAY), "newest": 1} for id_, day in (("s", 9.5), ("t", 0))]
    counts, waiting, rows = made(WINDOW, [facts()], [], waits=waits)
    assert rows == []
    assert counts == {"filtered.session_too_old": 1}
    assert sorted(waiting) == ["2025-01-05 t", "2025-01-15 s"]


def test_rows_are_counted_and_what_came_later_than_the_overlap() -> None:
    many = [
        facts(**{ROWS: 5, "event_count": 3}),
        facts("t", arrival=11),
        facts("u", arrival=11, event_count=2, **{ROWS: 2}),
    ]
    before = [published(), published(session_id="t"), published(session_id="u")]
    counts, _, _ = made(WINDOW, many, before)
    assert counts == {"kept": 6, "duplicates": 2, "sessions.later_than_overlap": 1}
    oversized = facts(is_oversized=True, **{ROWS: 9, "event_count": 3})
    assert made(WINDOW, [oversized], [])[0] == {"kept": 9, "sessions.oversized": 1}


def test_the_published_row_comes_along_and_facts_that_stay_travel_once() -> None:
    def rows(*args: Any) -> list[tuple[list[str], dict[str, Any]]]:
        found = concluded(*args)
        every = [*found.rows, *found.also[STAYING]]
        return [(table.schema.names, row) for table in every for row in table.to_pylist()]

    [(_, row)] = rows(WINDOW, [facts()], [published(fullName="Ann")])
    assert (row[PUBLISHED]["fullName"], row[PUBLISHED]["_run_id"]) == ("Ann", "run-1")
    [(_, row)] = rows(WINDOW, [facts()], [])
    assert row[PUBLISHED] is None
    [(names, row)] = rows(WINDOW, [], [published(fullName="Ann")])
    assert row[PUBLISHED] == published(fullName="Ann")
    assert set(names) & set(fact_schema(SMALL_METRICS, SESSIONS).names) == set()
