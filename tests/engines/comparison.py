"""A warehouse as an engine leaves it beside one of the local runner: row for row, and the ledger."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from pipeline import tables
from tests.builders import assert_adds_up, ledger, published
from tests.same import RUN_COLUMNS, assert_same

TABLES = [output.name for output in tables.OUTPUTS]


def copy_of(warehouse: Path, target: Path) -> Path:
    """The same warehouse elsewhere, published tables included."""
    shutil.copytree(warehouse, target, symlinks=True, dirs_exist_ok=True)
    return target


def assert_equal(found: Path, wanted: Path) -> None:
    """Both have published the same rows, each as often, and the same counts, which add up; nothing else lies there."""
    for table in TABLES:
        for one, other in ((found, wanted), (wanted, found)):
            assert rows_beyond(one, other, table) == 0, table
    assert_same("runs", published(found, "runs", run_columns=True), published(wanted, "runs", run_columns=True))
    for row in ledger(found):
        assert_adds_up(row)
    assert_tidy(found)


def rows_beyond(one: Path, other: Path, table: str) -> int:
    """Rows of a table that one warehouse has and the other has not, or not as often."""
    rows = [
        f"select * exclude ({', '.join(RUN_COLUMNS)}) from '{place}/posthog_aggregated/{table}/*.parquet'"
        for place in (one, other)
    ]
    [(number,)] = duckdb.sql(f"select count(*) from ({rows[0]} except all {rows[1]})").fetchall()
    return int(number)


def assert_tidy(warehouse: Path) -> None:
    """Nothing of a run is left but what it has published, and the snapshot before."""
    left = [path.name for path in (warehouse / ".posthog_aggregated").iterdir() if not path.name.endswith("lock")]
    assert not [name for name in left if name.startswith(("staging-", "next-"))]
    assert len(left) <= 2
