"""The published tables of a local warehouse as the memory of the next run: whole, or not used.

A run that took a damaged table for the truth would publish the damage: sessions that are not there are gone for good,
because an incremental run reads only new events. So the number of rows is compared with the ledger before a run, and
every page has a checksum, which shows when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import rows_after
from pipeline.tables import LedgerRow, Table
from pipeline.warehouse.base import DAMAGED, REMEDY
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.ledger_files import LedgerFile
from pipeline.warehouse.parquet import Shard, read_shard, table_shards
from pipeline.warehouse.snapshots import Snapshots
from transforms.machinery.steps import flat_map


def damage(snapshots: Snapshots, ledger: Sequence[LedgerFile], last: LedgerRow | None) -> str | None:
    """One line about published tables that are not as their run left them, from footers only; None when they are.

    Args:
      snapshots: where they are.
      ledger: the files of the published ledger.
      last: the row of the run that was published last.
    """
    current = snapshots.current()
    if current is not None:
        return damage_in(current, ledger, last)
    return f"{DAMAGED}: {snapshots.link} leads to nothing" if snapshots.link.is_symlink() else None


def damage_in(snapshot: Path, ledger: Sequence[LedgerFile], last: LedgerRow | None) -> str | None:
    """The same about the tables in a folder of one run."""
    what = _damage(snapshot, ledger, last)
    return f"{DAMAGED}: {what}" if what else None


def _damage(current: Path, ledger: Sequence[LedgerFile], last: LedgerRow | None) -> str | None:
    for file in ledger:
        if file.rows is None:
            return f"{file.path} cannot be read"
    if last is None:
        there = [name for name in (output.name for output in tables.OUTPUTS) if (current / name).exists()]
        return f"{current / 'runs'} has no row, but there is {there[0]}" if there else None
    for name, wanted in rows_after(last).items():
        found = 0
        for path in files_of(current / name):
            try:
                found += pq.read_metadata(path).num_rows
            except (pa.ArrowException, OSError):
                return f"{path} cannot be read"
        if found != wanted:
            return f"{current / name} has {found:,} rows, {wanted:,} were published"
    return None


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Some columns of a published file; RunError when it is damaged."""
    try:
        return pq.read_table(path, columns=list(columns), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise RunError(unreadable(path)) from error


def is_whole(path: Path) -> bool:
    """Whether every page of a published file can be read."""
    try:
        for _ in pq.ParquetFile(path, page_checksum_verification=True).iter_batches():
            pass
    except (pa.ArrowException, OSError):
        return False
    return True


class ReadPublished(beam.PTransform):
    """PBegin → PCollection[pa.RecordBatch] of a table's bare schema: the rows of published files, read in parallel.

    Args:
      files: of the table.
      table: which.
      label: its name for errors.
      anew: whether the run makes the tables anew, so that files which are damaged can be left out: their rows are new
        ones then, and nothing else follows.
    """

    def __init__(self, files: Sequence[Path], table: Table, label: str, *, anew: bool) -> None:
        super().__init__()
        self._files = [path for path in files if not anew or is_whole(path)]
        self._table, self._label = table, label

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """Shards are spread over the workers before they are read."""
        try:
            shards = table_shards(self._files, self._label)
        except RunError as error:
            raise RunError(f"{error}; {REMEDY}") from error
        return (
            begin
            | "Shards" >> beam.Create(shards, reshuffle=True).with_output_types(Shard)
            | "Read shards" >> flat_map(_read, self._table, self._label, takes=Shard)
        )


def _read(shard: Shard, table: Table, label: str) -> Iterator[pa.RecordBatch]:
    # other metric definitions may have published other columns: those that are missing are null, and a full load makes
    # them anew
    table = replace(table, schema=table.bare)
    try:
        yield from read_shard(shard, table, label)
    except (RunError, pa.ArrowException, OSError) as error:
        paths = [Path(path) for path, _ in shard.pieces]
        raise RunError(unreadable(next((path for path in paths if not is_whole(path)), paths[0]))) from error


def unreadable(path: Path) -> str:
    """The line about a published file that is damaged, with the remedy."""
    return f"{DAMAGED}: {path} cannot be read; {REMEDY}"
