"""Published tables as memory: what shows from footers that they are not as their run left them, and what when read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse.ledger_files import LedgerFile
from pipeline.warehouse.parquet import table_shards
from pipeline.warehouse.published import ReadPublished, _read, damage, is_whole, read_columns
from pipeline.warehouse.snapshots import Snapshots
from tests.builders import METRICS

LEDGER: dict[str, Any] = {
    "run_id": "run-1",
    "notes": '{"person_days.inserted": 2}',
    **{name: 0 for output in tables.OUTPUTS for name in output.ledger_columns.values()},
    "sessions_inserted": 2,
    "sessions_unchanged": 3,
    "sessions_deleted": 9,
    "persons_updated": 1,
}
ROWS = {"sessions": 5, "persons": 1, "person_days": 2}
WHOLE = [LedgerFile(Path("runs.parquet"), [LEDGER])]


def write(path: Path, rows: int) -> Path:
    """A file of so many rows, with checksums."""
    path.parent.mkdir(exist_ok=True)
    content = pa.table({"session_id": [f"s{n}" for n in range(rows)], "n": list(range(rows))})
    pq.write_table(content, path, use_dictionary=False, compression="none", write_page_checksum=True)
    return path


def flip(path: Path) -> Path:
    """Change one byte of a page, which the footer does not tell."""
    content = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(0).column(0).data_page_offset + 40
    content[place] ^= 1
    path.write_bytes(content)
    return path


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    """One published snapshot with the rows of the ledger, those of sessions in two files."""
    home = tmp_path / ".out" / "run-1"
    home.mkdir(parents=True)
    for name, rows in ROWS.items():
        write(home / name / "part-0.parquet", rows - (name == "sessions"))
    write(home / "sessions" / "part-1.parquet", 1)
    (tmp_path / "out").symlink_to(home)
    return Snapshots(tmp_path / "out")


def test_tables_as_their_run_left_them(snapshots: Snapshots, tmp_path: Path) -> None:
    assert damage(snapshots, WHOLE, LEDGER) is None
    assert damage(Snapshots(tmp_path / "none"), [], None) is None


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda home: (home / "sessions/part-1.parquet").unlink(), "sessions has 4 rows, 5 were published"),
        (lambda home: write(home / "person_days/part-1.parquet", 1), "person_days has 3 rows, 2 were published"),
        (lambda home: write(home / "social_events/part-0.parquet", 1), "social_events has 1 rows, 0 were published"),
        (lambda home: (home / "persons/part-0.parquet").write_text("no Parquet"), "persons/part-0.parquet cannot be"),
    ],
)
def test_footers_tell_rows_that_are_missing_or_too_many(
    harm: Callable[[Path], object], told: str, snapshots: Snapshots
) -> None:
    current = snapshots.current()
    assert current is not None
    harm(current)
    found = damage(snapshots, WHOLE, LEDGER)
    assert found is not None
    assert found.startswith(f"the published tables are damaged: {current}/{told}")


def test_a_ledger_that_cannot_be_read_or_has_no_row(snapshots: Snapshots) -> None:
    broken = [LedgerFile(Path("runs/a.parquet"), None)]
    assert damage(snapshots, broken, None) == "the published tables are damaged: runs/a.parquet cannot be read"
    found = damage(snapshots, [], None)
    assert found is not None
    assert found.endswith("/runs has no row, but there is sessions")


def test_a_link_to_nothing(snapshots: Snapshots, tmp_path: Path) -> None:
    (tmp_path / ".out" / "run-1").rename(tmp_path / "lost")
    assert damage(snapshots, [], None) == f"the published tables are damaged: {tmp_path / 'out'} leads to nothing"


def test_a_page_that_changed_shows_when_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "sessions" / "part-0.parquet", 100)
    assert is_whole(path)
    assert read_columns(path, ["n"])["n"].to_pylist() == list(range(100))
    flip(path)
    assert pq.read_metadata(path).num_rows == 100
    assert not is_whole(path)
    assert read_columns(path, ["n"]).num_rows == 100, "the other column is whole"
    with pytest.raises(RunError, match=rf"^the published tables are damaged: {path} cannot be read; restore them"):
        read_columns(path, ["session_id"])


def test_of_several_files_the_damaged_one_is_named(tmp_path: Path) -> None:
    table = tables.SESSIONS.under(METRICS)
    paths = [tmp_path / f"part-{number}.parquet" for number in range(2)]
    for path in paths:
        content = pa.Table.from_pylist([{"session_id": f"s{n}"} for n in range(50)], table.bare)
        pq.write_table(content.select(["session_id"]), path, compression="none", write_page_checksum=True)
    [shard] = table_shards(paths, "out.sessions")
    rows = list(_read(shard, table, "out.sessions"))
    assert sum(batch.num_rows for batch in rows) == 100
    assert rows[0].schema == table.bare, "columns that other metrics have not published are null"
    flip(paths[1])
    with pytest.raises(RunError, match=f"damaged: {paths[1]} cannot be read"):
        list(_read(shard, table, "out.sessions"))


def test_only_a_run_that_makes_the_tables_anew_leaves_damaged_files_out(tmp_path: Path) -> None:
    table = tables.SESSIONS.under(METRICS)
    paths = [write(tmp_path / f"part-{number}.parquet", 50) for number in range(2)]
    flip(paths[0])
    assert ReadPublished(paths, table, "out.sessions", anew=True)._files == [paths[1]]
    assert ReadPublished(paths, table, "out.sessions", anew=False)._files == paths
