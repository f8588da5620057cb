"""One outcome a row: the first reason that is given."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.events.outcomes import FILTERED, REJECTED, Outcomes

ROWS = 6
MARKS = st.lists(
    st.tuples(st.sampled_from((*REJECTED, *FILTERED)), st.lists(st.booleans(), min_size=ROWS, max_size=ROWS))
)


@given(marks=MARKS)
def test_a_row_has_the_first_of_its_reasons_and_all_rows_are_counted(marks: list[tuple[str, list[bool]]]) -> None:
    outcomes, expected = Outcomes(ROWS), dict[int, str]()
    for name, where in marks:
        outcomes.mark(name, np.array(where))
        for row in np.flatnonzero(where).tolist():
            expected.setdefault(row, name)
    assert np.flatnonzero(outcomes.kept).tolist() == [row for row in range(ROWS) if row not in expected]
    counted = {name.split(".")[1]: number for name, number in outcomes.counts().items()}
    assert counted == Counter(expected.values())
    rejected = outcomes.rejected(pa.RecordBatch.from_pydict({"row": list(range(ROWS))}))
    assert {row["row"]: row["reason"] for row in rejected.to_pylist()} == {
        row: name for row, name in expected.items() if name in REJECTED
    }


def test_a_reason_before_all_others_replaces_them() -> None:
    outcomes = Outcomes(3)
    outcomes.mark("library", np.array([True, True, False]))
    outcomes.mark_before_all("excluded_user", np.array([True, False, False]))
    assert outcomes.counts() == {"filtered.excluded_user": 1, "filtered.library": 1}
    assert outcomes.kept.tolist() == [False, False, True]


def test_a_reason_that_does_not_exist_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        Outcomes(1).mark("unheard_of", np.ones(1, bool))
