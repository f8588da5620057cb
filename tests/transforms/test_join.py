"""Partitions of a join: a key's rows meet, whatever batch, slice or neighbours they come with."""

from __future__ import annotations

import uuid
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import unpack
from transforms.join import partition_batch

KEYS = st.lists(st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["", "a", "same-key-of-more-than-8"])))


def partitions_of(keys: list[str | None], partitions: int, begin: int = 0) -> list[tuple[str, str]]:
    """(partition, key) of the rows from `begin`, ordered."""
    batch = pa.RecordBatch.from_arrays([pa.array(keys, pa.string()), pa.array(range(len(keys)))], ["key", "row"])
    found = []
    for name, packed in partition_batch(batch.slice(begin), "key", partitions):
        rows = unpack(packed)
        assert all(keys[row] == key for key, row in zip(*rows.to_pydict().values(), strict=True))
        found += [(name, key) for key in rows.column("key").to_pylist()]
    return sorted(found)


@settings(max_examples=200, deadline=None)
@given(KEYS, st.integers(1, 300), st.integers(0, 5))
def test_every_key_has_one_partition_whatever_is_around_it(keys: list[str | None], partitions: int, begin: int) -> None:
    alone = [pair for key in keys[begin:] if key is not None for pair in partitions_of([key], partitions)]
    assert partitions_of(keys, partitions, begin) == sorted(alone)
    assert len(alone) == sum(key is not None for key in keys[begin:])


@pytest.mark.parametrize("pattern", ["{id}", "{n}@example.com", "+1201555{n:04d}", "session-{n}-of-a-phone", "{n:x}"])
def test_usual_keys_are_spread_evenly(pattern: str) -> None:
    keys: list[str | None] = [
        pattern.format(n=number, id=uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128))
        for number in range(8_000)
    ]
    sizes = Counter(name for name, _ in partitions_of(keys, 16))
    assert len(sizes) == 16
    assert max(sizes.values()) < 2 * 8_000 / 16
