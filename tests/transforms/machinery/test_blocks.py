"""Blocks: a key's rows meet, whatever batch, slice or neighbours they come with."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.machinery import blocks
from transforms.machinery.blocks import Gather, block_name, block_of, cut, text_blocks, unpack_rows

KEYS = st.lists(st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["", "a", "same-key-of-more-than-8"])))
SCHEMA = pa.schema([("key", pa.string()), ("row", pa.int64())])


def blocks_of(keys: list[str | None], number: int, begin: int = 0) -> list[tuple[str, str]]:
    """(block, key) of the rows from `begin`, ordered."""
    batch = pa.RecordBatch.from_arrays(
        [pa.array(keys, pa.string()), pa.array(range(len(keys)), pa.int64())], schema=SCHEMA
    )
    batch = batch.slice(begin)
    found = []
    for name, packed in cut(batch, text_blocks(batch.column("key"), number)):
        rows = unpack_rows(packed, SCHEMA)
        assert all(keys[row] == key for key, row in zip(*rows.to_pydict().values(), strict=True))
        found += [(name, key) for key in rows.column("key").to_pylist()]
    return sorted(found)


@settings(max_examples=200, deadline=None)
@given(KEYS, st.integers(1, 300), st.integers(0, 5))
def test_every_key_has_one_block_whatever_is_around_it(keys: list[str | None], number: int, begin: int) -> None:
    alone = [pair for key in keys[begin:] if key is not None for pair in blocks_of([key], number)]
    assert blocks_of(keys, number, begin) == sorted(alone)
    assert len(alone) == sum(key is not None for key in keys[begin:])


@pytest.mark.parametrize("pattern", ["{id}", "{n}@example.com", "+1201555{n:04d}", "session-{n}-of-a-phone", "{n:x}"])
def test_usual_keys_are_spread_evenly(pattern: str) -> None:
    keys: list[str | None] = [
        pattern.format(n=number, id=uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))
        for number in range(8_000)
    ]
    sizes = Counter(name for name, _ in blocks_of(keys, 16))
    assert len(sizes) == 16
    assert max(sizes.values()) < 2 * 8_000 / 16


def test_blocks_are_ranges_of_the_hash() -> None:
    hashes = np.sort(np.random.default_rng(1).integers(0, 2**64, 1_000, np.uint64))
    assert (np.diff(block_of(hashes, 37)) >= 0).all()
    assert block_of(np.array([0, 2**64 - 1], np.uint64), 37).tolist() == [0, 36]
    assert sorted([block_name(2), block_name(10), block_name(2_000)]) == [block_name(n) for n in (2, 10, 2_000)]


class _Pairs(Gather[list[int]]):
    def cut(self, held: list[list[int]]) -> Iterator[Any]:
        yield [number for numbers in held for number in numbers]


def test_rows_are_gathered_until_there_are_enough_in_rows_or_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "_LEAST_ROWS", 4)
    monkeypatch.setattr(blocks, "_ROWS_A_SLICE", 1)
    monkeypatch.setattr(blocks, "_MOST_BYTES", 100)
    step = _Pairs(1)
    step.start_bundle()
    assert list(step.hold([1, 2, 3], 3)) == []
    assert list(step.hold([4], 1)) == [[1, 2, 3, 4]]
    assert list(step.hold([5], 1, size=200)) == [[5]]
    assert list(step.hold([], 0)) == []
    assert list(step.hold([6], 1)) == []
    assert [windowed.value for windowed in step.finish_bundle()] == [[6]]
    assert list(step.finish_bundle()) == []
