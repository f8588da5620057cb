"""Text of every physical type: valid UTF-8 afterwards, whatever it was."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.warehouse.cast_texts import text, text_of_bytes, text_of_numbers, uuid_text
from tests.pipeline.warehouse.exported import NUMERIC, not_utf8, read
from transforms.schemas.fields import TEXT

CUT = b"caf\xc3"  # a character of two bytes without its second
ID = UUID("018f0000-0000-7000-8000-00000000abcd")


@pytest.mark.parametrize("needed", [True, False])
@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["a", None, "é"]), ["a", None, "é"]),
        (pa.array(["a", None, "é"], pa.large_string()), ["a", None, "é"]),
        (pa.array(["a", None, "é"], pa.string_view()), ["a", None, "é"]),
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array(['{"a": 1}', None], pa.json_()), ['{"a": 1}', None]),
        (not_utf8(CUT, None, b"ok", b"\xed\xa0\x80"), ["caf�", None, "ok", "���"]),
        (pa.array([b"caf\xc3\xa9", None, CUT], pa.binary()), ["café", None, "caf�"]),
        (pa.array([b"a", None], pa.large_binary()), ["a", None]),
        (pa.array([b"abc", None], pa.binary(3)), ["abc", None]),
        (pa.array([ID.bytes, None, b"text of 16 bytes"], pa.binary()), [str(ID), None, "text of 16 bytes"]),
        (pa.array([ID.bytes, None, bytes(16)], pa.binary(16)), [str(ID), None, str(UUID(int=0))]),
        (pa.array([ID.bytes, None], pa.uuid()), [str(ID), None]),
        (pa.array([None, None], pa.binary(16)), [None, None]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_text(column: pa.Array, values: list[Any], needed: bool) -> None:
    assert read(column, TEXT, needed=needed) == values


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([15550100001, None]), ["15550100001", None]),
        (pa.array([7], pa.uint8()), ["7"]),
        (pa.array([15550100001.0, 1.5, None, float("nan"), 1e300]), ["15550100001", "1.5", None, None, "1e+300"]),
        (pa.array([Decimal("15550100001"), Decimal("1.50"), None], NUMERIC), ["15550100001", "1.5", None]),
    ],
)
def test_ids_that_a_loader_took_for_numbers(column: pa.Array, values: list[Any]) -> None:
    assert read(column, TEXT) == values


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=20))))
def test_any_bytes_become_text(values: list[bytes | None]) -> None:
    for column in (pa.array(values, pa.binary()), not_utf8(*values)):
        found = read(column, TEXT, needed=True)
        assert [value is None for value in found] == [value is None for value in values]
        for one, raw in zip(found, values, strict=True):
            if raw is not None and one.encode() != raw:
                assert "�" in one or UUID(one).bytes == raw


def test_text_that_is_valid_already_is_not_copied() -> None:
    column = pa.array(["a", None, "é"])
    assert text(column) is column


def test_a_part_of_a_column_of_uuids_is_read_from_where_it_begins() -> None:
    ids = [UUID(int=number) for number in range(5)]
    column = pa.array([None if number == 3 else one.bytes for number, one in enumerate(ids)], pa.binary(16))
    assert uuid_text(column.slice(2, 3)).to_pylist() == [str(ids[2]), None, str(ids[4])]
    assert uuid_text(column.slice(0, 0)).to_pylist() == []


def test_only_16_bytes_that_are_no_text_are_a_uuid() -> None:
    column = pa.array([ID.bytes, ID.bytes[:15], ID.bytes + b"\xff", b"", None], pa.binary())
    found = text_of_bytes(column).to_pylist()
    assert found[0] == str(ID)
    assert all("�" in one for one in found[1:3])
    assert found[3:] == ["", None]


def test_whole_numbers_are_digits_as_far_as_floats_are_exact() -> None:
    numbers = [2.0**53, -(2.0**53), 2.0**54, float("inf"), -0.0]
    assert text_of_numbers(pa.array(numbers)).to_pylist() == [
        *("9007199254740992", "-9007199254740992", "1.8014398509481984e+16"),
        *(None, "0"),
    ]
    assert text_of_numbers(pa.array([2**64 - 1], pa.uint64())).to_pylist() == [str(2**64 - 1)]
    assert text_of_numbers(pa.array([Decimal("1E+3"), Decimal("0.10")], NUMERIC)).to_pylist() == ["1000", "0.1"]
