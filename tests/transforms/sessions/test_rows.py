"""What the sessions of a person say together, and which persons keep their row: those with sessions as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import at
from transforms.published.changes import CHANGE
from transforms.sessions.rows import in_order, unaffected, with_created

DAYS = "days_to_first_event"
TIME = pa.timestamp("us", "UTC")
#: A session by its person before and after (None: it is not there) and whether its content changed otherwise.
SESSION = st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from([None, "p", "q", "r"]), st.booleans())


def kept(sessions: list[tuple[str | None, str | None, bool]]) -> set[str]:
    """The persons that keep their row, as `unaffected` says."""
    before = [old for old, _, _ in sessions if old]
    published = sorted(set(before))
    persons = {"person_id": published, "total_sessions": [before.count(person) for person in published]}
    live = [(new, old == new and not changed) for old, new, changed in sessions if new]
    rows = {"person_id": [new for new, _ in live], CHANGE: ["unchanged" if same else "updated" for _, same in live]}
    return set(unaffected(with_nothing(rows), with_nothing(persons)).to_pylist())


def with_nothing(columns: dict[str, list[Any]]) -> pa.Table:
    """Rows of persons who have created nothing."""
    rows = len(columns["person_id"])
    kinds = {"total_sessions": pa.int64()}
    arrays = {name: pa.array(values, kinds.get(name, pa.string())) for name, values in columns.items()}
    nothing = {"total_events_created": pa.array([0] * rows, pa.int64()), DAYS: pa.nulls(rows, pa.float64())}
    return pa.table(arrays | nothing)


def created(*days: float, signed_up: float | None = 0, before: Any = (1, 2.0)) -> tuple[Any, Any, bool]:
    """What a user has created who signed up then, with social events on these days, and whether the row is kept."""
    times = [at(0), *(at(day * 86_400) for day in days)]
    events = {"user_id": ["u", *("p" for _ in days)], "createdAt": pa.array(times, TIME)}
    known = pa.array([None if signed_up is None else at(signed_up)], TIME)
    session = pa.table({"person_id": ["p"], "user_id": ["p"], "createdAt": known, CHANGE: ["unchanged"]})
    rows = with_created(session, pa.table(events))
    number, first = pa.array([before[0]], pa.int64()), pa.array([before[1]], pa.float64())
    person = {"person_id": ["p"], "total_sessions": [1], "total_events_created": number, DAYS: first}
    [row] = rows.to_pylist()
    return row["total_events_created"], row[DAYS], unaffected(rows, pa.table(person)).to_pylist() == ["p"]


def test_what_a_user_has_created_keeps_or_changes_the_row() -> None:
    assert created(2) == (1, 2.0, True)
    assert created(2, 3.5) == (2, 2.0, False)
    assert created(1.5) == (1, 1.5, False)
    assert created(-1) == (1, -1.0, False)
    assert created() == (0, None, False)
    assert created(before=(0, None)) == (0, None, True)
    assert created(0, signed_up=-2_000 * 365 * 86_400.0)[:2] == (1, 730_000.0)  # µs are beyond a float's whole numbers
    assert created(2, signed_up=None) == (1, None, False)
    assert created(2, signed_up=None, before=(1, None)) == (1, None, True)


@given(st.lists(SESSION, max_size=12))
def test_kept_are_those_whose_sessions_did_not_change(sessions: list[tuple[str | None, str | None, bool]]) -> None:
    expected = {
        person
        for person in {old for old, _, _ in sessions if old}
        if all(old == new and not changed for old, new, changed in sessions if person in (old, new))
    }
    assert kept(sessions) == expected


@pytest.mark.parametrize(
    "sessions",
    [
        [("p", "p", False), ("p", "q", False)],  # lost one
        [("p", "p", False), ("p", None, False)],  # one was deleted
        [("p", "p", False), ("q", "p", False)],  # got one
        [("p", "p", False), ("p", None, False), (None, "p", False)],  # lost one and got one
        [("p", "p", True)],
    ],
)
def test_not_kept(sessions: list[tuple[str | None, str | None, bool]]) -> None:
    assert "p" not in kept(sessions)


def test_a_person_beyond_the_limit_of_sessions_is_never_kept() -> None:
    rows = with_nothing({"person_id": ["p"] * 5, CHANGE: ["unchanged"] * 5})
    assert unaffected(rows, with_nothing({"person_id": ["p"], "total_sessions": [4]})).to_pylist() == []


#: A session by its person, start, length and whether it is one still.
ONE = st.tuples(st.sampled_from("pqr"), st.integers(0, 5), st.integers(0, 4), st.booleans())


@given(st.lists(ONE, max_size=12))
def test_sessions_are_numbered_by_person_start_and_id(sessions: list[tuple[str, int, int, bool]]) -> None:
    time = pa.timestamp("us", "UTC")
    table = pa.table(
        {
            "session_id": pa.array([f"s{number}" for number in range(len(sessions))], pa.string()),
            "person_id": pa.array([person for person, *_ in sessions], pa.string()),
            "start_timestamp": pa.array([at(start) for _, start, _, _ in sessions], time),
            "end_timestamp": pa.array([at(start + length) for _, start, length, _ in sessions], time),
        }
    )
    live = np.array([there for *_, there in sessions], bool)
    found = pa.table(in_order(table, live)).to_pylist()
    for person in "pqr":
        of_person = sorted((one[1], f"s{n}", n) for n, one in enumerate(sessions) if one[0] == person and one[3])
        before = None
        for number, (start, _, row) in enumerate(of_person, start=1):
            assert found[row] == {
                "session_number": number,
                "is_first_session": number == 1,
                "previous_session_end": None if before is None else at(before),
                "seconds_since_previous_session": None if before is None else start - before,
            }
            before = start + sessions[row][2]
