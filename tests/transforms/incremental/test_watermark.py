"""The watermark: what many rows say, however they are batched; one row alone is no evidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.incremental.watermark import SUPPORT, latest, merge_latest, watermark

ARRIVALS = st.lists(st.integers(0, 60), max_size=60)


def mark(arrivals: list[int]) -> int | None:
    return watermark(latest(np.array(arrivals, np.int64)))


@given(ARRIVALS)
def test_enough_rows_have_reached_it_and_no_later_one_has_as_many(arrivals: list[int]) -> None:
    found = mark(arrivals)
    needed = min(SUPPORT, len(arrivals) // 2 + 1)
    supported = [value for value in arrivals if sum(other >= value for other in arrivals) >= needed]
    assert found == max(supported, default=None)


@given(st.lists(ARRIVALS, max_size=5), st.randoms())
def test_batches_and_their_order_do_not_matter(batches: list[list[int]], rng: object) -> None:
    parts = [latest(np.array(batch, np.int64)) for batch in batches]
    rng.shuffle(parts)  # type: ignore[attr-defined]
    whole = [value for batch in batches for value in batch]
    assert watermark(merge_latest(parts)) == mark(whole)
    assert merge_latest([merge_latest(parts[:2]), merge_latest(parts[2:])]) == merge_latest(parts)


@given(st.lists(st.integers(0, 60), min_size=2, max_size=60), st.integers(0, 10**6))
def test_one_row_never_moves_it_beyond_what_the_others_reached(arrivals: list[int], odd: int) -> None:
    found = mark([*arrivals, odd])
    assert found is not None
    assert found <= max(arrivals)


@pytest.mark.parametrize(
    ("arrivals", "expected"),
    [
        ([], None),
        ([5], 5),
        ([5, 9], 5),
        ([5, 6, 9], 6),
        (list(range(100)), 100 - SUPPORT),
        ([7] * 50, 7),
        ([7] * 50 + [10**15], 7),
    ],
)
def test_examples(arrivals: list[int], expected: int | None) -> None:
    assert mark(arrivals) == expected
