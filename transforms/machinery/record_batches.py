"""Arrow record batches as the elements of the graph: their coder, and what makes one.

Joins and tables move batches, not rows: the runner's cost is per element, Arrow's is per column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa

_CODEC = "zstd"
"""Sessions shrink to about a third; a runner copies every byte of a shuffle several times."""


def to_stream(batch: pa.RecordBatch) -> bytes:
    """A batch as an Arrow IPC stream, schema included, compressed as one: Arrow's own way, buffer by buffer, takes
    twice the time for batches as small as a partition's."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, _CODEC) as stream, pa.ipc.new_stream(stream, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def from_stream(packed: bytes) -> pa.RecordBatch:
    """The batch that `to_stream` was given."""
    with pa.CompressedInputStream(pa.py_buffer(packed), _CODEC) as stream, pa.ipc.open_stream(stream) as reader:
        return reader.read_next_batch()


class RecordBatchCoder(beam.coders.Coder):
    """`pa.RecordBatch` ⇄ `to_stream`."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """See `to_stream`."""
        return to_stream(value)

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """See `from_stream`."""
        return from_stream(encoded)

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """Bytes before compression: Beam samples sizes, by default by encoding once more."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """Batches are never keys."""
        return False

    def to_type_hint(self) -> type:
        """The type that this coder is registered for."""
        return pa.RecordBatch


beam.coders.registry.register_coder(pa.RecordBatch, RecordBatchCoder)


def as_batch(table: pa.Table) -> pa.RecordBatch:
    """A table as one record batch (an empty one for no rows)."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def columns_to_batch(values: Mapping[str, Any], schema: pa.Schema) -> pa.RecordBatch:
    """Columns by name, those of the schema, as a batch: Arrow arrays as they are, numpy's and lists as their type.

    A time that is no Arrow array is µs, or what Arrow makes µs of.
    """
    return pa.RecordBatch.from_arrays([_column(values[field.name], field.type) for field in schema], schema=schema)


def _column(values: Any, kind: pa.DataType) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    return pa.array(values).view(kind) if pa.types.is_timestamp(kind) else pa.array(values, kind)


def where(table: pa.Table, mask: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows of a table that are marked; the table itself, not a copy, where all are."""
    return table if mask.all() else table.filter(pa.array(mask))


def rows_to_batch(rows: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.RecordBatch:
    """Rows (values in schema order) as one record batch."""
    columns = zip(*rows, strict=True) if rows else [[] for _ in schema]
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
