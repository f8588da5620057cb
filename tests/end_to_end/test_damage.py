"""Published tables that are not as their run left them are no memory: one line, and --full_load is the way out."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.local import LocalWarehouse
from tests.builders import event, ledger, run, tables_of, write_events

TABLES = ("sessions", "persons", "rejected_events")


def only_file(snapshot: Path, table: str) -> Path:
    [path] = (snapshot / table).glob("*.parquet")
    return path


def flip(path: Path, where: int) -> None:
    """Change one byte of a file, and leave other links to it alone."""
    content = bytearray(path.read_bytes())
    content[where] ^= 0xFF
    path.unlink()
    path.write_bytes(content)


def missing_folder(snapshot: Path, table: str) -> None:
    shutil.rmtree(snapshot / table)


def missing_file(snapshot: Path, table: str) -> None:
    only_file(snapshot, table).unlink()


def missing_row(snapshot: Path, table: str) -> None:
    path = only_file(snapshot, table)
    rows = pq.read_table(path)
    path.unlink()
    pq.write_table(rows.slice(1), path)


def damaged_page(snapshot: Path, table: str) -> None:
    path = only_file(snapshot, table)
    column = pq.read_metadata(path).row_group(0).column(0)
    start = column.dictionary_page_offset if column.has_dictionary_page else column.data_page_offset
    flip(path, start + column.total_compressed_size - 3)


def damaged_footer(snapshot: Path, table: str) -> None:
    path = only_file(snapshot, table)
    flip(path, len(path.read_bytes()) - 1)


def no_parquet(snapshot: Path, table: str) -> None:
    path = only_file(snapshot, table)
    path.unlink()
    path.write_text("restored by halves")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse after one run, with an event that arrived since."""
    warehouse = tmp_path_factory.mktemp("base")
    rows = [event(n, f"s{n % 7}", distinct_id=f"a{n % 3}") for n in range(60)]
    write_events(warehouse, [*rows, {**event(60), "timestamp": None}])
    assert run(warehouse) == 0
    return write_events(warehouse, [event(100, "s1")], name="part-1")


@pytest.fixture(scope="module")
def whole(base: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, pa.Table]:
    """The tables after the next run."""
    warehouse = tmp_path_factory.mktemp("whole")
    shutil.copytree(base, warehouse, symlinks=True, dirs_exist_ok=True)
    assert run(warehouse) == 0
    return tables_of(warehouse)


@pytest.mark.parametrize("table", [*TABLES, "runs"])
@pytest.mark.parametrize("harm", [missing_folder, missing_file, missing_row, damaged_footer, no_parquet])
def test_a_plan_tells_damage_that_footers_show(
    harm: Callable[[Path, str], None], table: str, base: Path, tmp_path: Path
) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    warehouse = LocalWarehouse(tmp_path, Datasets("posthog_etl", "firebase_etl_prod", "posthog_aggregated", "privacy"))
    assert warehouse.published().damage is None
    snapshot = (tmp_path / "posthog_aggregated").resolve()
    harm(snapshot, table)
    told = warehouse.published().damage
    assert told is not None
    assert told.startswith(f"the published tables are damaged: {snapshot / table}")


@pytest.mark.parametrize(
    ("harm", "table"),
    [
        (missing_folder, "sessions"),
        (damaged_footer, "persons"),
        (damaged_page, "rejected_events"),
        (damaged_page, "runs"),
    ],
)
def test_damage_is_told_and_a_full_load_mends_it(
    harm: Callable[[Path, str], None],
    table: str,
    base: Path,
    whole: dict[str, pa.Table],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    snapshot = (tmp_path / "posthog_aggregated").resolve()
    harm(snapshot, table)
    capfd.readouterr()
    assert run(tmp_path) == 1
    told = capfd.readouterr().err
    assert told.startswith("pipeline: the published tables are damaged: ")
    assert told.endswith("; restore them from a backup, or make them anew with --full_load\n")
    assert str(snapshot / table) in told
    assert told.count("\n") == 1
    assert (tmp_path / "posthog_aggregated").resolve() == snapshot
    assert run(tmp_path, "--full_load") == 0
    assert tables_of(tmp_path) == whole
    assert len(ledger(tmp_path)) == (1 if table == "runs" else 2)
    assert run(tmp_path) == 0


def test_a_link_that_leads_to_nothing(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree((tmp_path / "posthog_aggregated").resolve())
    assert run(tmp_path) == 1
    assert f"{tmp_path / 'posthog_aggregated'} leads to nothing" in capfd.readouterr().err
    assert run(tmp_path, "--full_load") == 0


def test_an_excluded_user_is_looked_for_in_whole_tables_only(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    snapshot = (tmp_path / "posthog_aggregated").resolve()
    path = only_file(snapshot, "sessions")
    for column in range(pq.read_metadata(path).num_columns):
        flip(path, pq.read_metadata(path).row_group(0).column(column).data_page_offset + 40)
    (tmp_path / "excluded.txt").write_text("a1\n")
    assert run(tmp_path, "--excluded_users", str(tmp_path / "excluded.txt")) == 1
    assert f"{path} cannot be read" in capfd.readouterr().err
    assert run(tmp_path, "--excluded_users", str(tmp_path / "excluded.txt"), "--full_load") == 0


def test_a_sample_needs_no_memory(base: Path, tmp_path: Path) -> None:
    shutil.copytree(base, tmp_path, symlinks=True, dirs_exist_ok=True)
    missing_folder((tmp_path / "posthog_aggregated").resolve(), "sessions")
    assert run(tmp_path, "--limit", "10") == 0
