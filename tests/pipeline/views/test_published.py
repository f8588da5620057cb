"""Views and the report are of the metrics that the tables were made with."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError
from pipeline.views.published import asking, metrics_of, snapshot_of
from tests.builders import METRICS, event, run, write_events
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import PACKAGED


def test_the_metrics_are_those_of_the_last_run(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1)])
    snapshot = tmp_path / "posthog_aggregated"
    with pytest.raises(RunError, match="holds no published run"):
        metrics_of(snapshot, None)
    assert run(tmp_path) == 0
    assert metrics_of(snapshot.resolve(), None).digest == METRICS.digest
    other = tmp_path / "metrics.toml"
    other.write_text(PACKAGED.read_text().replace('"UTC"', '"Asia/Kolkata"', 1))
    with pytest.raises(MetricsError, match="made with another metrics file"):
        metrics_of(snapshot.resolve(), other)
    with pytest.raises(MetricsError, match=r"none\.toml"):
        metrics_of(snapshot.resolve(), tmp_path / "none.toml")
    assert run(tmp_path, f"--metrics_file={other}", "--full_load") == 0
    assert metrics_of(snapshot.resolve(), other).reporting_timezone == "Asia/Kolkata"


def test_what_duckdb_cannot_do_is_a_line_with_what_to_do(tmp_path: Path) -> None:
    snapshot = tmp_path / "run"
    (snapshot / "sessions").mkdir(parents=True)
    path = snapshot / "sessions" / "part-0.parquet"
    pq.write_table(pa.table({"name": ["secret"]}), path)

    def asked(query: str) -> str:
        with pytest.raises(RunError) as told, asking(snapshot):
            duckdb.sql(query).fetchall()
        return str(told.value)

    query = f"SELECT CAST(name AS INTEGER) FROM read_parquet('{path}')"
    assert asked(query).startswith("unexpected ConversionException of DuckDB ")
    assert "secret" not in asked(query)
    assert asked("FROM read_parquet('/none.parquet')").startswith("DuckDB cannot go on, IOException: ")
    path.write_text("no Parquet")
    assert asked(query).startswith(f"the published tables are damaged: {path} cannot be read; restore them")
    shutil.rmtree(snapshot)
    assert asked(query) == "two runs were published meanwhile, and these tables removed: try again"


def test_an_interrupted_query_is_an_interrupt(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), asking(tmp_path):
        raise RuntimeError("Query interrupted")  # in the words of DuckDB
    with pytest.raises(RuntimeError, match="of its own"), asking(tmp_path):
        raise RuntimeError("of its own")


def test_tables_that_are_not_as_their_run_left_them_are_not_told_of(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1)])
    link = tmp_path / "posthog_aggregated"
    with pytest.raises(RunError, match="posthog_aggregated does not exist: run the pipeline first"):
        snapshot_of(link)
    assert run(tmp_path) == 0
    snapshot = snapshot_of(link)
    assert snapshot == link.resolve()
    for path in (snapshot / "sessions").iterdir():
        path.unlink()
    with pytest.raises(RunError, match=r"damaged: .*/sessions has 0 rows, 1 were published; restore them from"):
        metrics_of(snapshot, None)
    shutil.rmtree(snapshot)
    with pytest.raises(RunError, match=r"damaged: .*/posthog_aggregated leads to nothing; restore them from"):
        snapshot_of(link)
