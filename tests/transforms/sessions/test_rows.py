"""What the sessions of a person say together, and which persons keep their row: those with sessions as they were."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import at
from transforms.published.changes import CHANGE
from transforms.sessions.rows import in_order, unaffected

#: A session by its person before and after (None: it is not there) and whether its content changed otherwise.
SESSION = st.tuples(st.sampled_from([None, "p", "q", "r"]), st.sampled_from([None, "p", "q", "r"]), st.booleans())


def kept(sessions: list[tuple[str | None, str | None, bool]]) -> set[str]:
    """The persons that keep their row, as `unaffected` says."""
    before = [old for old, _, _ in sessions if old]
    published = sorted(set(before))
    persons = {"person_id": published, "total_sessions": [before.count(person) for person in published]}
    live = [(new, old == new and not changed) for old, new, changed in sessions if new]
    rows = {"person_id": [new for new, _ in live], CHANGE: ["unchanged" if same else "updated" for _, same in live]}
    found = unaffected(
        pa.table(rows, pa.schema([("person_id", pa.string()), (CHANGE, pa.string())])),
        pa.table(persons, pa.schema([("person_id", pa.string()), ("total_sessions", pa.int64())])),
    )
    return set(found.to_pylist())


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
    rows = pa.table({"person_id": ["p"] * 5, CHANGE: ["unchanged"] * 5})
    assert unaffected(rows, pa.table({"person_id": ["p"], "total_sessions": [4]})).to_pylist() == []


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
