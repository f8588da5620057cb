"""Parquet folders: what is in them, which row groups a plan needs, and reading them as record batches."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import RunError
from pipeline.plan import micros
from pipeline.tables import Table
from pipeline.warehouse.batches import BATCH_ROWS, rebatch
from transforms.elements import flat_map
from transforms.scope import ARRIVAL_TIME, EVENT_TIME, NO_VALUES, UNKNOWN, Range, Scope, may_hold

#: Rows that one element of the read step stands for.
SHARD_ROWS = 262_144
_ROWS = struct.Struct("<I")

#: (path, row groups) of one file.
Piece = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shard:
    """Row groups, of one or several files, that are read by one worker; `limit` rows at most."""

    pieces: tuple[Piece, ...]
    limit: int | None = None


@dataclass(frozen=True)
class RowGroup:
    """One row group: where it is and what its statistics say of its times."""

    path: str
    index: int
    rows: int
    bytes: int
    """Compressed bytes of the columns that are read."""
    events: Range = UNKNOWN
    arrivals: Range = UNKNOWN

    def needed(self, scope: Scope) -> bool:
        """Whether it can hold a row that a run of this scope must see."""
        return scope.is_full or may_hold(scope.wanted, {EVENT_TIME: self.events, ARRIVAL_TIME: self.arrivals})


def files_of(folder: Path) -> list[Path]:
    """The Parquet files of a table, by name."""
    return sorted(path for path in folder.glob("*.parquet") if path.is_file())


def open_file(path: str | Path) -> pq.ParquetFile:
    """Open a file; RunError naming it when it is no Parquet."""
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise RunError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error


def check_columns(files: Sequence[Path], table: Table, label: str) -> frozenset[str]:
    """The table's columns that occur in its files.

    Raises:
      RunError: a required column is missing or a column has a type that does not fit, naming them.
    """
    found: set[str] = set()
    for path in files:
        schema = open_file(path).schema_arrow
        for field in table.schema:
            if field.name not in schema.names:
                if not field.nullable:
                    raise RunError(f"{label}: required column {field.name!r} is missing in {path.name}")
                continue
            kind = schema.field(field.name).type
            if not _fits(kind, field.type):
                raise RunError(f"{label}: column {field.name!r} is {kind} in {path.name}, expected {field.type}")
            found.add(field.name)
    return frozenset(found)


def row_groups(files: Sequence[Path], table: Table) -> list[RowGroup]:
    """All row groups of the events, with the statistics that pruning needs."""
    wanted = set(table.schema.names)
    found: list[RowGroup] = []
    for path in files:
        file = open_file(path)
        metadata = file.metadata
        names = [metadata.schema.column(i).path for i in range(metadata.num_columns)]
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            if not group.num_rows:
                continue
            columns = {name: group.column(i) for i, name in enumerate(names)}
            found.append(
                RowGroup(
                    str(path),
                    index,
                    group.num_rows,
                    sum(columns[name].total_compressed_size for name in names if name.split(".")[0] in wanted),
                    events=_range(columns.get(EVENT_TIME)),
                    arrivals=_range(columns.get(ARRIVAL_TIME)),
                )
            )
    return found


def shards(groups: Sequence[RowGroup], limit: int | None = None) -> list[Shard]:
    """Row groups dealt into shards of about `SHARD_ROWS` rows; at most `limit` rows in all."""
    found: list[Shard] = []
    pieces: dict[str, list[int]] = {}
    rows, left = 0, limit

    def close(of: int | None) -> None:
        if pieces:
            found.append(Shard(tuple((path, tuple(indices)) for path, indices in pieces.items()), of))
            pieces.clear()

    for group in groups:
        if left is not None and left <= rows:
            break
        pieces.setdefault(group.path, []).append(group.index)
        rows += group.rows
        if rows >= SHARD_ROWS:
            close(left)
            left = None if left is None else left - rows
            rows = 0
    close(left)
    return found


def table_shards(files: Sequence[Path]) -> list[Shard]:
    """Whole files dealt into shards."""
    groups = []
    for path in files:
        metadata = open_file(path).metadata
        groups += [
            RowGroup(str(path), index, metadata.row_group(index).num_rows, 0)
            for index in range(metadata.num_row_groups)
            if metadata.row_group(index).num_rows
        ]
    return shards(groups)


def read_shard(shard: Shard, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The rows of a shard as batches of `schema`."""
    return rebatch(_raw_batches(shard, schema), schema)


def _raw_batches(shard: Shard, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    left = shard.limit
    for path, indices in shard.pieces:
        file = open_file(path)
        names = [name for name in schema.names if name in file.schema_arrow.names]
        for raw in file.iter_batches(BATCH_ROWS, row_groups=list(indices), columns=names, use_threads=False):
            if left is not None:
                raw = raw.slice(0, left)
                left -= raw.num_rows
            yield raw


def _read_and_tell(shard: Shard, schema: pa.Schema, progress: Path | None) -> Iterator[pa.RecordBatch]:
    for batch in read_shard(shard, schema):
        yield batch
        if progress is not None:
            with progress.open("ab") as file:  # one small append is atomic, also among processes
                file.write(_ROWS.pack(batch.num_rows))


def rows_told(progress: Path) -> int:
    """The rows that all workers have read so far."""
    try:
        content = progress.read_bytes()
    except FileNotFoundError:
        return 0
    return sum(rows for (rows,) in _ROWS.iter_unpack(content[: len(content) // 4 * 4]))


class ReadParquet(beam.PTransform):
    """PBegin → PCollection[pa.RecordBatch] of `schema`: the rows of some shards, read in parallel.

    With a `progress` file, workers append the number of rows of each batch to it (see `rows_told`).
    """

    def __init__(self, shards: Sequence[Shard], schema: pa.Schema, progress: Path | None = None) -> None:
        super().__init__()
        self._shards, self._schema, self._progress = list(shards), schema, progress

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Shards are spread over the workers before they are read."""
        return (
            begin
            | "Shards" >> beam.Create(self._shards, reshuffle=True).with_output_types(Shard)
            | "Read shards" >> flat_map(_read_and_tell, self._schema, self._progress, takes=Shard)
        )


def _fits(kind: pa.DataType, wanted: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return True
    if pa.types.is_string(wanted):
        return pa.types.is_string(kind) or pa.types.is_large_string(kind) or _is_json(kind)
    if pa.types.is_timestamp(wanted):
        return pa.types.is_timestamp(kind)
    if pa.types.is_integer(wanted):
        return pa.types.is_integer(kind)
    if pa.types.is_floating(wanted):
        return pa.types.is_floating(kind) or pa.types.is_integer(kind)
    return bool(kind == wanted) or (pa.types.is_list(wanted) and pa.types.is_list(kind))


def _is_json(kind: pa.DataType) -> bool:
    return kind == pa.string_view() or isinstance(kind, pa.JsonType)


def _range(column: Any) -> Range:
    """What the statistics of a timestamp column chunk say, in µs. They count nulls apart: min and max skip them."""
    if column is None:
        return NO_VALUES
    statistics = column.statistics
    if statistics is None:
        return UNKNOWN
    nulls = statistics.null_count if statistics.has_null_count else None
    if not statistics.has_min_max:
        return NO_VALUES if nulls == column.num_values else Range(has_nulls=nulls != 0)
    return Range(_stamp(statistics.min), _stamp(statistics.max), has_nulls=nulls != 0)


def _stamp(value: object) -> int | None:
    if not isinstance(value, datetime):
        return None
    return micros(value if value.tzinfo else value.replace(tzinfo=UTC))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
