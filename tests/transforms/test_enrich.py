"""Which persons keep their published row: those whose sessions are exactly as they were."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.changes import CHANGE
from transforms.enrich import unaffected

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
