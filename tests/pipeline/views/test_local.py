"""The script for DuckDB: the files of one snapshot, views in their order, types as they are declared."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.views.declarations import View, ViewColumn
from pipeline.views.local import script, translated

COLUMNS = (ViewColumn("name", "STRING", "Whose."), ViewColumn("total", "INT64", "It's all."))
TOTALS = View("totals", "It's a sum.", COLUMNS, "SELECT name, SUM(number) AS total FROM ${VISITS} GROUP BY name")
LARGEST = View("largest", "The largest.", COLUMNS, "SELECT * FROM ${TOTALS} WHERE total > 2")


def write(folder: Path, **columns: list[object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"part-{len(list(folder.iterdir()))}.parquet")


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Two files of visits, of which the older one lacks a column; a folder of another kind.

    Its name would be a pattern that it does not match itself."""
    root = tmp_path / "it's [new]"
    write(root / "visits", name=["a", "b"], number=[1, 2])
    write(root / "visits", name=["a"], number=[3], later=[True])
    (root / "empty").mkdir()
    (root / "_counts.json").write_text("{}")
    return root


def test_tables_and_views_of_a_snapshot(snapshot: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(script(snapshot, [TOTALS, LARGEST]))
        assert connection.sql("SELECT count(*), count(later) FROM visits").fetchall() == [(3, 1)]
        assert connection.sql("FROM totals ORDER BY name").fetchall() == [("a", 4), ("b", 2)]
        assert connection.sql("FROM largest").fetchall() == [("a", 4)]
        told = dict(connection.sql("SELECT view_name, comment FROM duckdb_views() WHERE NOT internal").fetchall())
        assert told == {"visits": None, "totals": "It's a sum.", "largest": "The largest."}


def test_a_view_of_what_is_not_there_is_left_out_and_so_is_what_reads_it(snapshot: Path) -> None:
    other = View("other", "Of no table.", COLUMNS, "SELECT name, 1 AS total FROM ${NONE}")
    of_other = View("of_other", "Of no view.", COLUMNS, "SELECT * FROM ${OTHER}")
    text = script(snapshot, [other, of_other, TOTALS])
    assert "totals" in text
    assert "other" not in text


def test_a_sum_has_the_declared_type_and_not_duckdbs() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE visits AS SELECT 'a' AS name, 1::BIGINT AS number")
        plain = connection.sql("SELECT SUM(number) AS total FROM visits")
        assert [str(kind) for kind in plain.types] == ["HUGEINT"]
        found = connection.sql(translated(TOTALS))
        assert [str(kind) for kind in found.types] == ["VARCHAR", "BIGINT"]
        assert found.columns == ["name", "total"]


def test_no_true_condition_is_0_as_in_bigquery() -> None:
    counted = View("c", "Counted.", COLUMNS, "SELECT name, COUNTIF(number > 1) AS total FROM ${VISITS} GROUP BY name")
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE visits AS SELECT * FROM (VALUES ('a', NULL::BIGINT), ('b', 2)) AS t(name, number)"
        )
        assert connection.sql(f"FROM ({translated(counted)}) ORDER BY name").fetchall() == [("a", 0), ("b", 1)]
