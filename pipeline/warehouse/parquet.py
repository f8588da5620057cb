"""Parquet files: opening them, what of a table they hold, and reading their row groups as record batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import TaggedOutput

from pipeline.errors import RunError
from pipeline.meter import READ, Meter
from pipeline.tables import Table
from pipeline.warehouse.base import Problem
from pipeline.warehouse.batches import BATCH_BYTES, BATCH_ROWS, LONG, ahead, cut, rebatch
from pipeline.warehouse.binding import Binding, Found, Lost, bind
from pipeline.warehouse.reading import Losses, rows_and_counts
from transforms.machinery.guard import guarded
from transforms.machinery.join import Outcome

#: Rows that one element of the read step stands for.
SHARD_ROWS = 262_144
#: So few rows are read at a time where a footer cannot tell how long single texts are: in row groups of so many bytes,
#: and in columns of so few that a dictionary may be most of them.
_FEW_ROWS, _HUGE_BYTES, _SMALL_BYTES = 1_024, 2**31, 4 * 2**20
#: Column chunks are read in parts of this size, not at once: it bounds the memory, and costs no time.
_PART_BYTES = 4 * 2**20
#: Long texts that have fewer stored bytes a row must be repetitions.
_REPEATED_BYTES = 512

#: (path, row groups) of one file.
Piece = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class Shard:
    """Row groups, of one or several files, that are read by one worker; `limit` rows at most."""

    pieces: tuple[Piece, ...]
    limit: int | None = None


class Group(Protocol):
    """A row group: where it is."""

    @property
    def path(self) -> str:
        """Of its file."""

    @property
    def index(self) -> int:
        """Its place there."""

    @property
    def rows(self) -> int:
        """How many it has."""


@dataclass(frozen=True)
class _Whole:
    path: str
    index: int
    rows: int


def open_file(path: str | Path, label: str, **options: Any) -> pq.ParquetFile:
    """Open a file of a table; RunError naming both when it is no Parquet, or its name is no text."""
    try:
        # Parquet's old 96-bit timestamps reach beyond what 64 bits of nanoseconds can hold
        return pq.ParquetFile(
            path,
            coerce_int96_timestamp_unit="us",
            page_checksum_verification=True,
            pre_buffer=False,
            buffer_size=_PART_BYTES,
            **options,
        )
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{label}: {path} cannot be read as Parquet: {_first_line(error)}") from error
    except UnicodeEncodeError as error:  # a name may be any bytes, and Arrow takes UTF-8
        raise RunError(f"{label}: {str(path)!a} cannot be read: its name is not UTF-8; rename it") from error


def binding_of(file: pq.ParquetFile, path: str | Path, table: Table, label: str) -> Binding:
    """How the columns of a table are read from a file; RunError as `binding.bind` says."""
    found = [Found(field.name, field.type, str(field.type)) for field in file.schema_arrow]
    expected = {field.type: str(field.type) for field in table.schema}
    return bind(table, found, label, expected, f" in {Path(path).name}")


def problems_in(files: Sequence[Path], table: Table, label: str) -> list[Problem]:
    """What of a table's columns its files hold in a form that cannot be read.

    Raises:
      RunError: see `binding.bind`; a file without rows has nothing to refuse.
    """
    problems = list[Problem]()
    for path in files:
        file = open_file(path, label)
        if file.metadata.num_rows:
            problems += binding_of(file, path, table, label).problems
    return problems


def table_shards(files: Sequence[Path], label: str) -> list[Shard]:
    """Whole files dealt into shards."""
    groups = []
    for path in files:
        metadata = open_file(path, label).metadata
        numbers = range(metadata.num_row_groups)
        groups += [_Whole(str(path), number, metadata.row_group(number).num_rows) for number in numbers]
    return shards([group for group in groups if group.rows])


def shards(groups: Sequence[Group], limit: int | None = None) -> list[Shard]:
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


def read_shard(shard: Shard, table: Table, label: str, lost: Lost | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a shard as batches of the table's bare schema; `lost` is told of values that could not be read."""
    return rebatch(_conformed(shard, table, label, lost))


def _conformed(shard: Shard, table: Table, label: str, lost: Lost | None) -> Iterator[pa.RecordBatch]:
    left = shard.limit
    for path, indices in shard.pieces:
        file = open_file(path, label)
        binding = binding_of(file, path, table, label)
        for raw in ahead(raw_batches(file, (path, indices), binding, label)):
            if left is not None:
                raw = raw.slice(0, left)
                left -= raw.num_rows
            for part in cut(raw):
                yield binding.conform(part, lost)


def raw_batches(file: pq.ParquetFile, piece: Piece, binding: Binding, label: str) -> Iterator[pa.RecordBatch]:
    """What a file has of the columns of its binding, in batches of a bounded size; RunError where it is damaged."""
    path, indices = piece
    names = list(binding.names)
    sizes = _Sizes.of(file, indices, names)
    if sizes.repeated:
        file = open_file(path, label, metadata=file.metadata, read_dictionary=sizes.repeated)
    try:
        yield from file.iter_batches(sizes.batch_rows, row_groups=list(indices), columns=names, use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise RunError(_damage(file, piece, names, label)) from error


@dataclass(frozen=True)
class _Sizes:
    """What the footer says of the bytes of a piece's columns."""

    batch_rows: int
    """So many rows have about `BATCH_BYTES`."""
    repeated: list[str]
    """Columns whose texts may be long and are stored once for many rows: they are read as dictionaries."""

    @classmethod
    def of(cls, file: pq.ParquetFile, indices: Sequence[int], names: Sequence[str]) -> _Sizes:
        """From the footer of a file."""
        wanted, repeated = set(names), set[str]()
        batch_rows = BATCH_ROWS
        for index in indices:
            group = file.metadata.row_group(index)
            size = 0
            for number in range(group.num_columns):
                column = group.column(number)
                name = column.path_in_schema
                if name.split(".")[0] not in wanted:
                    continue
                size += column.total_uncompressed_size
                if name.lower() in LONG and column.has_dictionary_page:
                    if column.total_uncompressed_size < _REPEATED_BYTES * group.num_rows:
                        repeated.add(name)
                    elif column.total_uncompressed_size < _SMALL_BYTES:
                        batch_rows = min(batch_rows, _FEW_ROWS)
            batch_rows = min(batch_rows, max(1, BATCH_BYTES * group.num_rows // max(size, 1)))
            if size > _HUGE_BYTES:
                batch_rows = min(batch_rows, _FEW_ROWS)
        return cls(batch_rows, sorted(repeated))


def _damage(file: pq.ParquetFile, piece: Piece, names: Sequence[str], label: str) -> str:
    """One line about the first column that cannot be read, found by reading each alone."""
    path, indices = piece
    for index in indices:
        for name in names:
            try:
                for _ in file.iter_batches(BATCH_ROWS, row_groups=[index], columns=[name], use_threads=False):
                    pass
            except (pa.ArrowException, OSError) as error:
                what = f"column {name!r} of {path} (row group {index})"
                return f"{label}: {what} cannot be read, the file is damaged: {type(error).__name__}; write it again"
    return f"{label}: {path} cannot be read; write it again"


@guarded("reading of rows")
@beam.typehints.with_input_types(Shard)
@beam.typehints.with_output_types(pa.RecordBatch)
class _ReadShard(beam.DoFn):
    """Shards → record batches of a table's bare schema, and what of them is lost."""

    def __init__(self, table: Table, label: str, meter: Meter | None) -> None:
        self._table, self._label, self._meter = table, label, meter

    def process(self, shard: Shard) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Read one shard."""
        lost = Losses(self._table)
        for batch in read_shard(shard, self._table, self._label, lost):
            yield batch
            if self._meter is not None:
                self._meter.tell(READ, batch.num_rows)
        yield from lost.tagged()


class ReadParquet(beam.PTransform):
    """PBegin → `Outcome` of rows with a table's bare schema: those of some shards, read in parallel.

    With a meter, workers tell it the rows of each batch.
    """

    def __init__(self, shards: Sequence[Shard], table: Table, label: str, meter: Meter | None = None) -> None:
        super().__init__()
        self._shards, self._table, self._label, self._meter = list(shards), table, label, meter

    def expand(self, begin: beam.pvalue.PBegin) -> Outcome:
        """Shards are spread over the workers before they are read."""
        spread = begin | "Shards" >> beam.Create(self._shards, reshuffle=True).with_output_types(Shard)
        return rows_and_counts(spread, _ReadShard(self._table, self._label, self._meter))


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
