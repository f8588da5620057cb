"""What a declared column is: its name, its type, what it means, whether it is always there.

Arrow schemas are the one form; Parquet files, BigQuery schemas, checks and docs derive from them, and so do the schemas
of what travels between the steps (`bare`, `columns_of`). Columns meet by name, never by their position.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

TEXT, INTEGER, FLOAT, BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
TIMESTAMP, DATE = pa.timestamp("us", "UTC"), pa.date32()
TEXTS = pa.list_(pa.string())


def column(name: str, kind: pa.DataType, description: str, *, required: bool = False) -> pa.Field:
    """A column of a table; one that is required is never null."""
    return pa.field(name, kind, nullable=not required, metadata={"description": description.encode()})


def description(field: pa.Field) -> str:
    """What a column means."""
    return (field.metadata or {}).get(b"description", b"").decode()


def bare(fields: Iterable[pa.Field]) -> pa.Schema:
    """Names and types only, as they travel with the data (which may hold nulls where it must not)."""
    return pa.schema([(field.name, field.type) for field in fields])


def columns_of(fields: Iterable[pa.Field], *names: str) -> pa.Schema:
    """The bare schema of some columns, in this order."""
    types = {field.name: field.type for field in fields}
    return pa.schema([(name, types[name]) for name in names])
