"""Rows as columns: what goes through a shuffle comes out as it was, whatever it was cut into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.machinery import columns
from transforms.machinery.columns import Columns, Layout, TextColumn, dictionary

LAYOUT = Layout({"n": "i8", "x": "f8"}, ("name", "other"))
TEXT = st.none() | st.sampled_from(["", "a", "b", "Ünïcode 🎈"]) | st.text(st.characters(codec="utf-8"), max_size=3)
ROWS = st.lists(st.tuples(st.integers(-5, 5), st.floats(allow_nan=False), TEXT, TEXT), min_size=1, max_size=20)
Row = tuple[Any, ...]


def of(rows: list[Row]) -> Columns:
    """Rows as columns whose dictionaries are in order of appearance."""
    numbers = {name: np.array([row[i] for row in rows], LAYOUT.numbers[name]) for i, name in enumerate(LAYOUT.numbers)}
    texts = {
        name: dictionary(pa.array([row[i] for row in rows], pa.string())) for i, name in enumerate(LAYOUT.texts, 2)
    }
    return Columns(numbers, texts)


def rows_of(some: Columns) -> list[Row]:
    parts = [values.tolist() for values in some.numbers.values()]
    return list(zip(*parts, *(some.texts[name].texts().to_pylist() for name in LAYOUT.texts), strict=True))


@settings(max_examples=200, deadline=None)
@given(ROWS, st.lists(st.integers(0, 20), max_size=4), st.sampled_from([0, 8]))
def test_slices_come_out_as_they_were_cut(rows: list[Row], cuts: list[int], cells: int) -> None:
    bounds = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_CELLS", cells)  # both ways to make local dictionaries
        slices = list(of(rows).slices(np.array(bounds), LAYOUT))
    assert [size for size, _ in slices] == np.diff(bounds).tolist()
    for begin, end, (_, packed) in zip(bounds, bounds[1:], slices, strict=False):
        assert rows_of(Columns.unpack([packed], LAYOUT)) == rows[begin:end]
    whole = Columns.unpack([packed for _, packed in slices], LAYOUT)
    assert rows_of(whole) == rows
    for column in whole.texts.values():
        values = column.values.to_pylist()
        assert values == sorted(set(values))


@settings(max_examples=100, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=4))
def test_concat_lays_rows_side_by_side_and_orders_codes_like_texts(parts: list[list[Row]]) -> None:
    whole = Columns.concat([of(rows) for rows in parts])
    assert rows_of(whole) == [row for rows in parts for row in rows]
    for column in whole.texts.values():
        assert column.values.to_pylist() == sorted(set(column.values.to_pylist()))


def test_columns_are_told_by_name_not_by_place() -> None:
    straight = of([(1, 2.0, "a", "b")])
    turned = Columns(dict(reversed(straight.numbers.items())), dict(reversed(straight.texts.items())))
    [(_, packed)] = turned.slices(np.array([0, 1]), LAYOUT)
    assert rows_of(Columns.unpack([packed], LAYOUT)) == rows_of(straight)


def test_a_dictionary_can_lose_values_to_cleaning() -> None:
    found = dictionary(
        pa.array(["a", "", None, "b", ""]), lambda values: pa.array([v or None for v in values.to_pylist()])
    )
    assert found.texts().to_pylist() == ["a", None, None, "b", None]
    assert found.values.to_pylist() == ["a", "b"]


def test_a_row_of_the_sample_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    column = TextColumn(np.arange(5_000, dtype=np.int32) % 7, pa.array([f"text {n}" for n in range(7)]))
    rows = Columns({"n": np.zeros(5_000, np.int64), "x": np.zeros(5_000)}, {"name": column, "other": column})
    [(_, packed)] = rows.slices(np.array([0, 5_000]), LAYOUT)
    assert len(packed) < 5_000
