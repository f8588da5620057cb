"""Event rows that could not be understood → rows of `rejected_events`: the dead letters.

They keep the original row, which holds personal data: they go to a table with the access rules of the
source, never to a log line, a counter's name or an error message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PCollection

from transforms.elements import flat_map, rows_to_batch

#: Texts of an original row are cut here, in characters.
MAX_ROW_TEXT = 10_000
_as_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True).encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MIN_MICROS = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_MAX_MICROS = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


def rejected_rows(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The source's columns plus `reason` → the columns of `schema` (rejected_events without run columns).

    The key is a hash of the whole row and the reason, so that reading a row again adds nothing.
    """
    rows = []
    for row in _with_integer_times(batch).to_pylist():
        reason = row.pop("reason")
        times = {name: row[name] for name in ("timestamp", "bq_ingested_timestamp")}
        row |= {name: _iso(value) for name, value in times.items()}
        whole = _as_json(row)
        cut = {name: _cut(value) for name, value in row.items()}
        values = {
            "row_key": hashlib.sha256(f"{reason}\n{whole}".encode()).hexdigest(),
            "reason": reason,
            "uuid": _cut(row["uuid"]),
            **{name: _in_range(value) for name, value in times.items()},
            "row": whole if cut == row else _as_json(cut),
        }
        rows.append([values[name] for name in schema.names])
    yield rows_to_batch(rows, schema)


class MakeRejectedRows(beam.PTransform):
    """PCollection[pa.RecordBatch] of rejected source rows → the same of `schema`; see `rejected_rows`."""

    def __init__(self, schema: pa.Schema) -> None:
        super().__init__()
        self._schema = schema

    def expand(self, batches: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """One pass, no shuffle."""
        return batches | "Rows" >> flat_map(rejected_rows, self._schema)


def _cut(value: Any) -> Any:
    return value[:MAX_ROW_TEXT] if isinstance(value, str) else value


def _with_integer_times(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times as µs: Python's datetime cannot hold all that a broken row can."""
    columns = [column.cast(pa.int64()) if pa.types.is_timestamp(column.type) else column for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, batch.schema.names)


def _in_range(micros: int | None) -> int | None:
    """A time that BigQuery can hold, else None."""
    return micros if micros is not None and _MIN_MICROS <= micros <= _MAX_MICROS else None


def _iso(micros: int | None) -> str | int | None:
    if micros is None or _in_range(micros) is None:
        return micros
    return (_EPOCH + timedelta(microseconds=micros)).isoformat()
