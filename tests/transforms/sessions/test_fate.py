"""Whose the sessions are that a run goes on with, and how they differ from what is published."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import SMALL_METRICS, at
from transforms.incremental.unsettled import UNSETTLED
from transforms.incremental.window import EVERYTHING, Window
from transforms.machinery.times import micros
from transforms.sessions.facts import ARRIVAL, ROWS, fact_schema
from transforms.sessions.fate import DIFFERENT, GONE, NEW, SAME, STATE, settle, settled_schema, was
from transforms.sessions.owners import MATCHES

DAY = 86_400
SESSIONS = tables.SESSIONS.under(SMALL_METRICS).bare
FACTS = fact_schema(SMALL_METRICS, SESSIONS)
WINDOW = Window(micros(at(10 * DAY)), new_from=micros(at(14 * DAY)), undated_from=micros(at(12 * DAY)))
NAMES = {NEW: "new", SAME: "same", DIFFERENT: "different", GONE: "gone"}


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
    row = dict.fromkeys(SESSIONS.names) | {k: v for k, v in facts().items() if k in SESSIONS.names}
    return row | {"person_id": "a", "fullName": "Ann", "_run_id": "run-1", **changes}


def settled(
    window: Window,
    fresh: list[dict[str, Any]],
    rows: list[dict[str, Any]],
    *,
    user: str | None = None,
    acquisition: dict[str, Any] | None = None,
    waits: list[dict[str, Any]] | None = None,
) -> tuple[dict[str, dict[str, Any]], dict[str, int], list[str]]:
    """(rows by session, counts, texts)."""
    matches = [
        {"session_id": "s", "fresh": is_fresh, "match": f"0{user}", "excluded": False} for is_fresh in (True, False)
    ]
    given = {
        "facts": pa.Table.from_pylist(fresh, FACTS),
        "published": pa.Table.from_pylist(rows, SESSIONS),
        "matches": pa.Table.from_pylist(matches if user else [], MATCHES),
        "acquisition": pa.Table.from_pylist([acquisition] if acquisition else [], tables.POSTHOG_SESSIONS.bare),
        "unsettled": pa.Table.from_pylist(waits or [], UNSETTLED),
    }
    found: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    texts = []
    for result in settle(window, frozenset(), FACTS, SESSIONS)(given):
        if isinstance(result, pa.Table):
            assert result.schema == settled_schema(FACTS, SESSIONS)
            found |= {row["session_id"]: row for row in result.to_pylist()}
        elif isinstance(result, str):
            texts.append(result)
        else:
            counts[result[0]] = counts.get(result[0], 0) + result[1]
    return found, {name: number for name, number in counts.items() if number}, texts


def state(*args: Any, **options: Any) -> str | None:
    rows, _, _ = settled(*args, **options)
    return NAMES[rows["s"][STATE]] if "s" in rows else None


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


@pytest.mark.parametrize("name", [name for name in FACTS.names if name not in ("session_id", ROWS, ARRIVAL)])
def test_every_fact_is_compared(name: str) -> None:
    field = FACTS.field(name)
    other = {pa.string(): "x", pa.float64(): 0.5, pa.bool_(): True, pa.int64(): 7, pa.list_(pa.string()): ["a", "b"]}
    value = other.get(field.type, at(11.5 * DAY))
    assert state(WINDOW, [facts()], [published(**{name: value})]) == "different"


def test_new_gone_and_left_alone() -> None:
    assert state(WINDOW, [facts()], []) == "new"
    assert state(EVERYTHING, [], [published()]) == "gone"
    assert state(EVERYTHING, [facts("t")], [published()]) == "gone"
    old = published(start_timestamp=at(8 * DAY), event_count=5)
    rows, counts, texts = settled(WINDOW, [facts(**{ROWS: 3})], [old])
    assert NAMES[rows["s"][STATE]] == "same"
    assert rows["s"]["event_count"] == 5
    assert counts == {"filtered.session_too_old": 3, "sessions.too_old": 1}
    assert texts == ["2025-01-13 s"]
    assert settled(WINDOW, [facts(arrival=11, **{ROWS: 3})], [old])[1:] == ({"filtered.session_untouched": 3}, [])


def test_what_waits_is_not_published_and_told() -> None:
    waits = [{"session_id": "s", "timestamp": at(9.5 * DAY)}, {"session_id": "t", "timestamp": at(0)}]
    rows, counts, texts = settled(WINDOW, [facts()], [], waits=waits)
    assert rows == {}
    assert counts == {"filtered.session_too_old": 1, "sessions.too_old": 2}
    assert sorted(texts) == ["2025-01-05 t", "2025-01-15 s"]


def test_rows_are_counted_and_what_came_later_than_the_overlap() -> None:
    many = [
        facts(**{ROWS: 5, "event_count": 3}),
        facts("t", arrival=11),
        facts("u", arrival=11, event_count=2, **{ROWS: 2}),
    ]
    before = [published(), published(session_id="t"), published(session_id="u")]
    _, counts, _ = settled(WINDOW, many, before)
    assert counts == {"kept": 6, "duplicates": 2, "sessions.later_than_overlap": 1}
    oversized = facts(is_oversized=True, **{ROWS: 9, "event_count": 3})
    assert settled(WINDOW, [oversized], [])[1] == {"kept": 9, "sessions.oversized": 1}


def test_the_published_values_of_later_columns_come_along() -> None:
    rows, _, _ = settled(WINDOW, [facts()], [published()])
    assert (rows["s"][was("fullName")], rows["s"][was("_run_id")]) == ("Ann", "run-1")
    assert settled(WINDOW, [facts()], [])[0]["s"][was("fullName")] is None
