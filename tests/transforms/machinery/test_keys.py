"""Rows by a key of one column or of several: the same wherever a dictionary would say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.keys import first_of_each, positions, row_codes, rows_of_keys, rows_of_structs, structs_of

SCHEMA = pa.schema([("a", pa.string()), ("b", pa.int64()), ("row", pa.int64())])
PAIRS = st.lists(st.tuples(st.sampled_from(["x", "y", "", None]), st.sampled_from([0, 1, 2**40, None])), max_size=12)
KEYS = st.sampled_from([("a",), ("a", "b"), ("b", "a")])


def table(pairs: list[tuple[Any, Any]]) -> pa.Table:
    """Rows of these keys, numbered."""
    return pa.Table.from_pylist([{"a": a, "b": b, "row": row} for row, (a, b) in enumerate(pairs)], SCHEMA)


def of(row: dict[str, Any], key: tuple[str, ...]) -> tuple[Any, ...]:
    """The key of a row."""
    return tuple(row[name] for name in key)


@given(PAIRS, KEYS)
def test_rows_have_one_code_exactly_when_they_agree(pairs: list[Any], key: tuple[str, ...]) -> None:
    rows = table(pairs)
    codes = row_codes(rows.select(list(key))).tolist()
    keys = [of(row, key) for row in rows.to_pylist()]
    for code, one in zip(codes, keys, strict=True):
        assert {other for other, two in zip(codes, keys, strict=True) if two == one} == {code}
    assert len(set(codes)) == len(set(keys))
    assert all(0 <= code < len(pairs) for code in codes)


@given(PAIRS, KEYS)
def test_the_first_row_of_each_key_stays(pairs: list[Any], key: tuple[str, ...]) -> None:
    rows = table(pairs)
    expected: dict[tuple[Any, ...], int] = {}
    for row in rows.to_pylist():
        expected.setdefault(of(row, key), row["row"])
    assert sorted(first_of_each(rows, *key).column("row").to_pylist()) == sorted(expected.values())


@given(PAIRS, PAIRS)
def test_positions_are_those_of_the_same_key(wanted: list[Any], among: list[Any]) -> None:
    key, known = ("a", "b"), list(dict.fromkeys(among))
    found = positions(table(wanted), table(known), key).to_pylist()
    assert found == [known.index(pair) if pair in known else None for pair in wanted]


def test_rows_are_looked_up_by_one_column() -> None:
    rows = pa.table({"key": ["k", "l"], "one": [1, 2], "two": ["x", None]})
    found = rows_of_keys(rows, "key", pa.chunked_array([["l", None], ["m", "k"]]), ["two", "one"])
    assert found.to_pylist() == [
        {"two": None, "one": 2},
        {"two": None, "one": None},
        {"two": None, "one": None},
        {"two": "x", "one": 1},
    ]


@given(PAIRS, st.data())
def test_whole_rows_travel_as_one_nullable_column(pairs: list[Any], data: st.DataObject) -> None:
    rows = table(pairs)
    missing = np.array(data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))), bool)
    structs = pa.chunked_array([structs_of(rows, missing)])
    assert structs.is_null().to_pylist() == missing.tolist()
    nothing = dict.fromkeys(SCHEMA.names)
    expected = [nothing if gone else row for row, gone in zip(rows.to_pylist(), missing, strict=True)]
    assert rows_of_structs(structs).to_pylist() == expected
    assert rows_of_structs(pa.chunked_array([structs_of(rows)])).to_pylist() == rows.to_pylist()
