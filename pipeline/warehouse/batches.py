"""Record batches as a source has them → batches of one schema and of a good size."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa
import pyarrow.compute as pc

#: Rows of the batches that a read step gives.
BATCH_ROWS = 16_384


def rebatch(source: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The same rows as batches of `schema`, small ones joined."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for raw in source:
        held.append(conform(raw, schema))
        rows += raw.num_rows
        if rows >= BATCH_ROWS // 2:
            yield _joined(held)
            held, rows = [], 0
    if rows:
        yield _joined(held)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema`, cast to its types; columns that are not there are null."""
    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            columns.append(_cast(batch.column(field.name), field.type))
        else:
            columns.append(pa.nulls(batch.num_rows, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _cast(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if column.type == wanted:
        return column
    if pa.types.is_timestamp(wanted) and pa.types.is_timestamp(column.type):
        return pc.cast(column, wanted, safe=False)  # nanoseconds are cut to microseconds
    return pc.cast(column, wanted)
