"""Ids as 128 bits: equal if and only if the ids are, in the order of their texts, whatever batch they come in."""

from __future__ import annotations

import uuid

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.uuids import hash_texts, mix, parse_uuids, uuid_texts

UUIDS = st.uuids()
OTHERS = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(
    ["0191d2c0-7b7e-7c38-a5f4-6a9a0d6a1f1", "0191d2c0_7b7e_7c38_a5f4_6a9a0d6a1f11", "x" * 36, "x" * 32, "ü" * 16]
)


def number(value: uuid.UUID) -> tuple[int, int]:
    return value.int >> 64, value.int & (2**64 - 1)


@given(st.lists(UUIDS, max_size=8))
def test_any_spelling_of_a_uuid_has_its_bits(values: list[uuid.UUID]) -> None:
    spellings = [text for value in values for text in (str(value), str(value).upper(), value.hex, value.hex.upper())]
    ids = parse_uuids(pa.array(spellings, pa.string()), dashless=True)
    assert ids.is_uuid.all()
    wanted = [number(value) for value in values for _ in range(4)]
    assert list(zip(ids.high.tolist(), ids.low.tolist(), strict=True)) == wanted


@given(st.lists(UUIDS, max_size=8))
def test_bits_become_the_text_in_lower_case_and_order_like_it(values: list[uuid.UUID]) -> None:
    ids = parse_uuids(pa.array([str(value).upper() for value in values], pa.string()), dashless=False)
    assert uuid_texts(ids.high, ids.low).to_pylist() == [str(value) for value in values]
    assert np.lexsort((ids.low, ids.high)).tolist() == sorted(range(len(values)), key=lambda i: str(values[i]))


@given(st.lists(OTHERS | UUIDS.map(str) | UUIDS.map(lambda value: value.hex), max_size=10), st.integers(0, 3))
def test_what_is_no_uuid_is_told_whatever_is_around_it(texts: list[str], begin: int) -> None:
    def is_uuid(text: str) -> bool:
        return len(text) == 36 and str(uuid.UUID(text)) == text if text.count("-") == 4 and text[8:9] == "-" else False

    column = pa.array(texts, pa.string()).slice(begin)
    ids = parse_uuids(column, dashless=False)
    for text, found, high, low in zip(texts[begin:], ids.is_uuid.tolist(), ids.high, ids.low, strict=True):
        try:
            known = is_uuid(text)
        except ValueError:
            known = False
        assert found == known
        assert (int(high), int(low)) == (number(uuid.UUID(text)) if known else (0, 0))


def test_nulls_and_no_rows() -> None:
    assert parse_uuids(pa.array([None, None], pa.string()), dashless=True).is_uuid.tolist() == [False, False]
    assert len(parse_uuids(pa.array([], pa.string()), dashless=True).high) == 0
    assert uuid_texts(np.zeros(0, np.uint64), np.zeros(0, np.uint64)).to_pylist() == []


def test_other_texts_have_the_bits_of_a_hash_of_their_own() -> None:
    high, low = hash_texts([f"session {n}" for n in range(5_000)])
    assert len(set(zip(high.tolist(), low.tolist(), strict=True))) == 5_000
    assert [array.tolist() for array in hash_texts(["session 7"])] == [[high[7]], [low[7]]]


@pytest.mark.parametrize("shift", [0, 64])
def test_ids_that_differ_in_one_half_only_have_different_mixtures(shift: int) -> None:
    halves = np.arange(1, 5_000, dtype=np.uint64)
    zero = np.zeros_like(halves)
    mixed = mix(halves, zero) if shift else mix(zero, halves)
    assert len(set(mixed.tolist())) == len(halves)
