"""Columns as exporters write them, read as a declared type: what the tests of the casts share."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.warehouse.casts import cast_for
from transforms.schemas.fields import TIMESTAMP

#: Of BigQuery.
NUMERIC = pa.decimal128(38, 9)


def not_utf8(*values: bytes | None) -> pa.Array:
    """A column of text that is none."""
    raw = pa.array(values, pa.binary())
    _, offsets, data = raw.buffers()
    return pa.StringArray.from_buffers(len(raw), offsets, data, raw.buffers()[0])


def read(column: pa.Array, wanted: pa.DataType, *, needed: bool = False) -> list[Any]:
    """The values of a column after its cast, times as µs."""
    convert = cast_for(column.type, wanted, needed=needed)
    assert convert, f"{column.type} is not read as {wanted}"
    found = convert(column)
    assert found.type == wanted
    found.validate(full=True)
    part = convert(column.slice(1))
    assert part.equals(found.slice(1)), "a slice is read like the whole"
    return (found.cast(pa.int64()) if wanted == TIMESTAMP else found).to_pylist()
