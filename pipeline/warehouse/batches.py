"""Record batches of one schema → the same rows in batches of a good size, by rows and by bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc

#: Rows of the batches that a read step gives.
BATCH_ROWS = 16_384
#: Their bytes, unless a single row has more: PostHog lets an event have a megabyte, and a column of text holds 2 GB.
BATCH_BYTES = 64 * 2**20
#: Columns of the inputs whose single texts may be long; PostHog and Firebase bound the others.
LONG = frozenset({"properties"})


def rebatch(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows, small batches joined and large ones cut."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for piece in cut(batch):
            if held and size + piece.nbytes > BATCH_BYTES:
                yield _joined(held)
                held, rows, size = [], 0, 0
            held.append(piece)
            rows, size = rows + piece.num_rows, size + piece.nbytes
            if rows >= BATCH_ROWS // 2:
                yield _joined(held)
                held, rows, size = [], 0, 0
    if rows:
        yield _joined(held)


def ahead(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches, the next one made by a thread while the one before is used: decompressing needs no Python."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = reader.submit(next, batches, None)
            yield batch


def cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows of a batch in slices of at most `BATCH_BYTES`, as they are once dictionaries are resolved."""
    if batch.num_rows < 2 or _bytes(batch) <= BATCH_BYTES:
        yield batch
        return
    half = batch.num_rows // 2
    yield from cut(batch.slice(0, half))
    yield from cut(batch.slice(half))


def _bytes(batch: pa.RecordBatch) -> int:
    return sum(_resolved(column) if pa.types.is_dictionary(column.type) else column.nbytes for column in batch.columns)


def _resolved(column: pa.DictionaryArray) -> int:
    sizes = pc.binary_length(column.dictionary).cast(pa.int64())
    return pc.sum(sizes.take(column.indices)).as_py() or 0


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)
