"""Blocks: how rows of many keys go through a shuffle together.

A block is all rows whose keys share a hash range, so that a key has exactly one block whatever batch its rows come
with. Rows are gathered from many batches before they are cut into blocks, or a slice would hold a few rows each and
cost more to pack than to move; what goes through the shuffle is (block, packed rows).
"""

from __future__ import annotations

import abc
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.machinery.guard import guarded
from transforms.machinery.steps import at_bundle_end
from transforms.machinery.texts import string_buffers
from transforms.machinery.uuids import Words, mix

Ints = npt.NDArray[np.int64]
Held = TypeVar("Held")

#: Rows that are gathered before they are cut: so many a block, within these bounds.
_ROWS_A_SLICE = 256
_LEAST_ROWS, _MOST_ROWS = 131_072, 1_048_576
#: And so many bytes at most: the offsets of a text column are 32 bits, and rejected rows can be large.
_MOST_BYTES = 128 * 2**20
_ZSTD = pa.Codec("zstd", 1)


def block_name(block: int) -> str:
    """The key of a block in a shuffle."""
    return f"block-{block:05d}"


def block_of(key: Words, blocks: int) -> Ints:
    """The block of each 64-bit hash: its upper half scaled to the number of blocks, so that blocks are hash ranges."""
    return (((key >> np.uint64(32)) * np.uint64(blocks)) >> np.uint64(32)).astype(np.int64)


def text_blocks(keys: pa.Array, blocks: int) -> Ints:
    """The block of each text, −1 for null: from its length and its first, middle and last eight bytes.

    All keys at once, which takes a fifth of the time of a hash of each whole text. Keys that differ nowhere else
    share a block, which costs balance, never a row.
    """
    offsets, data = string_buffers(keys)
    begin = offsets[:-1].astype(np.int64)
    length = np.diff(offsets).astype(np.int64)
    inside = np.arange(8) < length[:, None]  # of a shorter key, not the bytes of the next
    padded = np.append(data, np.zeros(8, np.uint8))
    spare = np.maximum(length - 8, 0)
    mixed = length.astype(np.uint64)
    for at in (begin, begin + spare // 2, begin + spare):
        word = padded[at[:, None] + np.arange(8)] * inside
        mixed = mix(mixed, word.view("<u8")[:, 0])
    return without_nulls(block_of(mixed, blocks), keys)


def without_nulls(blocks: Ints, keys: pa.Array) -> Ints:
    """−1 for the rows whose key is null."""
    if keys.null_count:
        blocks[np.asarray(keys.is_null())] = -1
    return blocks


def pack_rows(batch: pa.RecordBatch) -> bytes:
    """A batch as an Arrow IPC message without its schema, in one zstd frame after its size."""
    raw = batch.serialize()
    return raw.size.to_bytes(4, "little") + _ZSTD.compress(raw, asbytes=True)


def unpack_rows(packed: bytes, schema: pa.Schema) -> pa.RecordBatch:
    """The batch that `pack_rows` was given; `schema` is its own."""
    raw = _ZSTD.decompress(memoryview(packed)[4:], int.from_bytes(packed[:4], "little"))
    return pa.ipc.read_record_batch(raw, schema)


def cut(batch: pa.RecordBatch, blocks: Ints) -> Iterator[tuple[str, bytes]]:
    """(block, packed rows) for the rows of each block, which `blocks` gives for every row; −1 is no block."""
    if not len(blocks):
        return
    if blocks[0] != blocks[-1] or (blocks != blocks[0]).any():
        order = np.argsort(blocks, kind="stable")
        blocks, batch = blocks[order], batch.take(pa.array(order))
    starts = np.flatnonzero(np.diff(blocks, prepend=-2))
    for begin, end in zip(starts.tolist(), [*starts[1:].tolist(), len(blocks)], strict=True):
        if blocks[begin] >= 0:
            yield block_name(int(blocks[begin])), pack_rows(batch.slice(begin, end - begin))


@guarded("gathering of rows")
class Gather(beam.DoFn, abc.ABC, Generic[Held]):
    """A step that holds what it is given until there are rows enough to cut, and cuts the rest at the bundle's end."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._enough = min(_MOST_ROWS, max(_LEAST_ROWS, _ROWS_A_SLICE * blocks))

    @abc.abstractmethod
    def cut(self, held: list[Held]) -> Iterator[Any]:
        """The outputs for what is held."""

    def start_bundle(self) -> None:
        """Start with nothing held."""
        self._held: list[Held] = []
        self._rows = self._bytes = 0

    def hold(self, held: Held, rows: int, size: int = 0) -> Iterator[Any]:
        """Hold some more; gives outputs when that is enough."""
        if rows:
            self._held.append(held)
        self._rows += rows
        self._bytes += size
        if self._rows >= self._enough or self._bytes >= _MOST_BYTES:
            yield from self._cut()

    def finish_bundle(self) -> Iterator[Any]:
        """Cut what is left."""
        yield from map(at_bundle_end, self._cut())

    def _cut(self) -> Iterator[Any]:
        held = self._held
        self.start_bundle()
        if held:
            yield from self.cut(held)
