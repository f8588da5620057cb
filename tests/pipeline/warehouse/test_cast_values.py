"""Booleans and numbers of every physical type; a value that is none is null."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipeline.warehouse.cast_values import (
    flags_of_numbers,
    flags_of_texts,
    floats,
    same,
    text_lists,
    whole_numbers,
    whole_of_floats,
    whole_of_texts,
)
from tests.pipeline.warehouse.exported import NUMERIC, not_utf8, read
from transforms.schemas.fields import BOOLEAN, FLOAT, INTEGER, TEXTS


@pytest.mark.parametrize("kind", [pa.uint8(), pa.int8(), pa.int64(), pa.float32(), pa.float64(), NUMERIC])
def test_booleans_are_0_and_1_in_posthogs_export(kind: pa.DataType) -> None:
    assert read(pa.array([0, 1, 2, None]).cast(kind), BOOLEAN) == [False, True, None, None]


def test_booleans_as_words() -> None:
    words = ["true", "FALSE", " t ", "f", "Yes", "no", "1", "0", "1.0", "", "maybe", None]
    assert read(pa.array(words), BOOLEAN) == [True, False, True, False, True, False, True, False, True, *[None] * 3]
    assert read(not_utf8(b"caf\xc3", b"true"), BOOLEAN) == [None, True]
    assert read(pa.array([True, None]), BOOLEAN) == [True, None]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([2**64 - 1, 5, None], pa.uint64()), [None, 5, None]),
        (pa.array([200, None], pa.uint8()), [200, None]),
        (pa.array([1.0, 1.5, None, float("nan"), float("inf"), 2.0**63]), [1, None, None, None, None, None]),
        (pa.array([Decimal(3), Decimal("3.5"), None], NUMERIC), [3, None, None]),
        (pa.array(["12", " 12.0 ", "1.5", "x", "1e999999", "nan", str(2**63), None]), [12, 12, *[None] * 6]),
    ],
)
def test_counts(column: pa.Array, values: list[Any]) -> None:
    assert read(column, INTEGER) == values


def test_floats_and_lists() -> None:
    assert read(pa.array([1, None]), FLOAT) == [1.0, None]
    assert read(pa.array([["a"], None], pa.list_(pa.large_string())), TEXTS) == [["a"], None]


def test_what_has_its_type_already_is_not_copied() -> None:
    for cast, column in (
        (same, pa.array([True])),
        (whole_numbers, pa.array([1])),
        (floats, pa.array([1.0])),
        (text_lists, pa.array([["a"]])),
    ):
        assert cast(column) is column


def test_whole_numbers_end_where_64_bits_do() -> None:
    edge = 2.0**63
    below = float(2**63 - 1024)  # the greatest float before it
    assert whole_of_floats(pa.array([below, edge, -below, -edge])).to_pylist() == [int(below), None, -int(below), None]
    assert whole_numbers(pa.array([2**63 - 1, 2**63], pa.uint64())).to_pylist() == [2**63 - 1, None]
    texts = [str(2**63 - 1), str(-(2**63) + 1), str(2**63), "-Infinity", "1_000", "1e3"]
    assert whole_of_texts(pa.array(texts)).to_pylist() == [2**63 - 1, -(2**63) + 1, None, None, 1_000, 1_000]


def test_a_flag_is_0_or_1_and_nothing_near_it() -> None:
    assert flags_of_numbers(pa.array([1.0, 0.0, -0.0, 0.5, -1.0, float("nan")])).to_pylist() == [
        *(True, False, False),
        *(None, None, None),
    ]
    assert flags_of_texts(pa.array(["Y", "N", "on", "11", "0.0"])).to_pylist() == [True, False, None, None, False]
