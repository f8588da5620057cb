"""What BigQuery would hold of a run: only rows that change are merged there, by their keys.

A row that is wrongly called unchanged is right in a folder, which is written anew, and stale in BigQuery. So runs on a
folder are held against a merge of their changes into what was published before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.plan import SAMPLE_SUFFIX
from pipeline.warehouse import local
from pipeline.warehouse.base import SAMPLES
from transforms.published.changes import CHANGE

#: Rows of a table by key: its column's value, or a tuple of several.
Rows = dict[Any, dict[str, Any]]


def merge(rows: Rows, key: tuple[str, ...], changed: Iterable[Mapping[str, Any]]) -> set[Any]:
    """Change rows as the transaction does; what is called unchanged, updated or deleted was there, else it was not.

    Args:
      rows: what is published, changed in place.
      key: the columns of the key.
      changed: rows with `CHANGE`.

    Returns:
      The keys of `changed`.
    """
    keys = set()
    for staged in changed:
        row = dict(staged)
        change = row.pop(CHANGE)
        one = _of(row, key)
        assert one not in keys
        keys.add(one)
        assert (change == "inserted") != (one in rows)
        if change == "deleted":
            del rows[one]
        elif change != "unchanged":
            rows[one] = row
    return keys


class Folder:
    """Holds runs of this process on folders against merges of what they stage."""

    def __init__(self) -> None:
        self._staged: dict[str, list[pa.RecordBatch]] = {}

    def stages(self, name: str, batch: pa.RecordBatch) -> None:
        """Remember rows that are staged for a table."""
        self._staged.setdefault(name, []).append(batch)

    @contextmanager
    def held(self, warehouse: Path) -> Iterator[None]:
        """Whatever is run inside leaves every table but the ledger as a merge of its changes would."""
        self._staged.clear()
        before = _published(warehouse)
        yield
        after = _published(warehouse)
        is_sample = not self._staged.keys().isdisjoint(SAMPLES)
        is_published = is_sample or before[tables.RUNS.name] != after[tables.RUNS.name]
        for name, key in _keys().items():
            wanted = {_of(row, key): row for row in before[name]}
            staged = self._staged.get(name, []) if is_published else []
            merge(wanted, key, (row for batch in staged for row in batch.to_pylist()))
            if name in SAMPLES and not is_sample and not after[name]:
                continue  # a run that leaves somebody out empties them
            # a run may have fewer columns than the one before, or more
            columns = {column for row in (after[name] or wanted.values()) for column in row}
            rows = [{column: row.get(column) for column in columns} for row in wanted.values()]
            assert sorted(rows, key=lambda row: str(_of(row, key))) == after[name], name


@contextmanager
def as_bigquery() -> Iterator[Folder]:
    """Let a `Folder` see what the runs of this process stage."""
    folder, process = Folder(), local._WriteParquet.process

    def tell(self: local._WriteParquet, batch: pa.RecordBatch) -> None:
        folder.stages(Path(self._folder).name, batch)
        process(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local._WriteParquet, "process", tell)
        yield folder


def read(warehouse: Path, table: str) -> pa.Table | None:
    """A published table of a folder; None when it does not exist."""
    files = sorted((warehouse / "posthog_aggregated" / table).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]) if files else None


def _keys() -> dict[str, tuple[str, ...]]:
    """The keys of all tables that have one, samples too."""
    keys = {output.name: output.key for output in tables.OUTPUTS}
    return keys | {output.name + SAMPLE_SUFFIX: output.key for output in tables.OUTPUTS if output.in_samples}


def _published(warehouse: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table, in the order of their keys."""
    found = {}
    for name, key in (*_keys().items(), (tables.RUNS.name, ("run_id",))):
        table = read(warehouse, name)
        rows = [] if table is None else table.to_pylist()
        found[name] = sorted(rows, key=lambda row: str(_of(row, key)))
    return found


def _of(row: Mapping[str, Any], key: tuple[str, ...]) -> Any:
    several = tuple(row[name] for name in key)
    return several if len(several) > 1 else several[0]
