"""The ledger of a local warehouse stays a few files, and nothing of it is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from pipeline.warehouse import ledger_files
from pipeline.warehouse.ledger_files import all_rows, read_ledger, write_ledger

FULL = 10


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_files, "FULL", FULL)


def row(number: int) -> dict[str, object]:
    """A row of the ledger: of each type something."""
    when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    values: dict[pa.DataType, object] = {pa.int64(): number, pa.float64(): 0.5, pa.string(): "{}"}
    values[pa.timestamp("us", "UTC")] = when
    found = {field.name: values.get(field.type) for field in tables.RUNS.schema}
    return found | {"run_id": f"run-{number:05}", "too_old_sessions": ["s1"]}


def add(before: Path, number: int, root: Path) -> Path:
    """The ledger with one more row, in a folder of its own."""
    folder = root / f"runs-{number}"
    folder.mkdir(parents=True)
    write_ledger(read_ledger(sorted(before.glob("*.parquet"))), row(number), folder)
    return folder


def ids(folder: Path) -> list[str]:
    return [str(found["run_id"]) for found in all_rows(read_ledger(folder.glob("*.parquet")))]


def test_runs_share_files_and_full_ones_are_not_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "none"
    folder.mkdir()
    full: dict[str, int] = {}
    for number in range(35):
        folder = add(folder, number, tmp_path)
        files = sorted(folder.glob("*.parquet"))
        assert len(files) == number // FULL + 1
        inodes = {path.name: path.stat().st_ino for path in files}
        assert full.items() <= inodes.items()
        full = {path.name: inodes[path.name] for path in files if pq.read_metadata(path).num_rows >= FULL}
    assert ids(folder) == [f"run-{number:05}" for number in range(35)]
    assert all_rows(read_ledger(folder.glob("*.parquet")))[7] == row(7)


def test_a_file_for_each_run_as_it_was_once(tmp_path: Path) -> None:
    """Thousands of them cost half a minute a run."""
    old = tmp_path / "old"
    old.mkdir()
    for number in range(57):
        content = pa.Table.from_pylist([row(number)], tables.RUNS.schema).drop_columns(["too_old_sessions"])
        pq.write_table(content, old / f"run-{number:05}.parquet")
    folder = add(old, 57, tmp_path)
    assert sorted(pq.read_metadata(path).num_rows for path in folder.iterdir()) == [8, 10, 10, 10, 10, 10]
    assert ids(folder) == [f"run-{number:05}" for number in range(58)]
    assert len(list(add(folder, 58, tmp_path).iterdir())) == 6


def test_what_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    write_ledger([], row(0), folder)
    (folder / "broken.parquet").write_text("no Parquet")
    assert [file.rows is None for file in read_ledger(sorted(folder.iterdir()))] == [True, False]
    after = add(folder, 1, tmp_path)
    assert ids(after) == ["run-00000", "run-00001"]
    assert len(list(after.iterdir())) == 1
