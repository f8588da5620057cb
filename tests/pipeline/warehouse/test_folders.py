"""Which files are a table: at any depth, in any case; hidden ones are none, look-alikes are told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.warehouse.folders import files_of, unread_text


def put(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"a": [1]}), path)


@pytest.fixture
def users(tmp_path: Path) -> Path:
    put(tmp_path / "users", "part-1.parquet", "part-0.PARQUET", "day=2026-01-06/part-0.snappy.parquet")
    put(tmp_path / "users", "spark.parquet/part-00000.parquet")
    return tmp_path / "users"


def test_files_at_any_depth_and_in_any_case(users: Path) -> None:
    assert [str(path.relative_to(users)) for path in files_of(users)] == [
        "day=2026-01-06/part-0.snappy.parquet",
        "part-0.PARQUET",
        "part-1.parquet",
        "spark.parquet/part-00000.parquet",
    ]
    assert unread_text(users, "in.users") is None
    assert files_of(users.parent / "nowhere") == []
    assert unread_text(users.parent / "nowhere" / "users", "in.users") is None


def test_hidden_files_and_folders_are_skipped(users: Path) -> None:
    before = files_of(users)
    put(users, "._part-1.parquet", ".part-1.parquet.crc", "_temporary/part-9.parquet", ".trash/part-9.parquet")
    (users / "_SUCCESS").write_bytes(b"")
    assert files_of(users) == before
    assert unread_text(users, "in.users") is None


@pytest.mark.parametrize(
    "name", ["part-2.parquet.zst", "part-2.parquet.gz", "rows.csv", "rows.json", "deep/rows.avro", "000000000000"]
)
def test_what_only_looks_like_data_is_told_in_one_line(users: Path, name: str) -> None:
    put(users, name)
    (users / "README.txt").write_text("about these files")
    assert unread_text(users, "in.users") == f"in.users: not read, only *.parquet files in users/ are: {name}"


def test_many_are_counted(users: Path) -> None:
    put(users, *(f"part-{number}.csv" for number in range(5)))
    told = unread_text(users, "in.users") or ""
    assert told.endswith("part-0.csv, part-1.csv, part-2.csv and 2 more")


def test_a_table_beside_its_folder_is_told(tmp_path: Path) -> None:
    put(tmp_path, "users.parquet", "Events/part-0.parquet", "users_old/part-0.parquet", ".users.parquet")
    assert "../users.parquet" in (unread_text(tmp_path / "users", "in.users") or "")
    assert "../Events" in (unread_text(tmp_path / "events", "in.events") or "")


def test_links_are_followed_and_a_circle_ends(users: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "part-7.parquet")
    (users / "more").symlink_to(tmp_path / "elsewhere")
    (users / "circle").symlink_to(users)
    assert [path.name for path in files_of(users)].count("part-7.parquet") == 1


def test_a_link_to_nothing_is_told(users: Path) -> None:
    before = files_of(users)
    (users / "2026").mkdir()
    (users / "2026" / "january.parquet").symlink_to("/a/disk/that/is/not/there.parquet")
    assert files_of(users) == before
    assert (unread_text(users, "in.users") or "").endswith(": 2026/january.parquet (a link to nothing)")
