"""The ledger of a local warehouse: few files, however many runs there were.

Every snapshot holds the whole ledger. A run adds its row to the last file and starts another one when that is full, so
that it writes a bounded number of rows and links the full files as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import tables
from pipeline.tables import LedgerRow
from pipeline.warehouse.snapshots import link_or_copy

#: Rows of a file that is full.
FULL = 1_000
#: Columns that a later version has added are null in older rows.
_SCHEMA = pa.schema([field.with_nullable(True) for field in tables.RUNS.schema])


@dataclass(frozen=True)
class LedgerFile:
    """One file of the ledger; None: it cannot be read."""

    path: Path
    rows: Sequence[LedgerRow] | None


def read_ledger(files: Iterable[Path]) -> list[LedgerFile]:
    """The files with their rows."""
    return [LedgerFile(path, _rows_of(path)) for path in files]


def all_rows(files: Iterable[LedgerFile]) -> list[LedgerRow]:
    """The rows that can be read, oldest first."""
    return sorted((row for file in files for row in file.rows or ()), key=lambda row: str(row["run_id"]))


def write_ledger(before: Iterable[LedgerFile], row: LedgerRow, folder: Path) -> None:
    """Write the ledger before, as far as it can be read, and one more row into an empty folder."""
    last: list[LedgerRow] = [row]
    for file in before:
        if file.rows is None:
            continue
        if len(file.rows) < FULL:
            last += file.rows
        else:
            link_or_copy(file.path, folder / file.path.name)
    ordered = sorted(last, key=lambda row: str(row["run_id"]))
    for start in range(0, len(ordered), FULL):  # thousands of files with a row each are from an earlier version
        part = ordered[start : start + FULL]
        content = pa.Table.from_pylist([dict(row) for row in part], _SCHEMA)
        pq.write_table(content, folder / f"{part[-1]['run_id']}.parquet", write_page_checksum=True)


def _rows_of(path: Path) -> list[LedgerRow] | None:
    try:
        rows: list[LedgerRow] = pq.ParquetFile(path, page_checksum_verification=True).read().to_pylist()
    except (pa.ArrowException, OSError, ValueError):
        return None
    return rows
