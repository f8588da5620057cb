"""Warehouses in another order: the same events, and of the variants exactly what they say."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from benchmarks.orders import VARIANTS, write_variant
from sample import write_sample

SESSION = "json_extract_string(properties, '$.\"$session_id\"')"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("orders") / "source"
    write_sample(folder, events=2_000, days=1)
    return folder


def of(warehouse: Path, query: str) -> list[tuple[object, ...]]:
    """The rows of a query over `events`, of rows whose properties are JSON."""
    files = f"read_parquet('{warehouse}/posthog_etl/events/*.parquet')"
    return duckdb.sql(query.replace("events", f"(FROM {files} WHERE json_valid(properties))")).fetchall()


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, source: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    target = tmp_path_factory.mktemp("orders") / request.param
    write_variant(request.param, source, target)
    return request.param, target


def test_the_events_are_the_same_in_an_order_that_no_time_tells(variant: tuple[str, Path], source: Path) -> None:
    _, target = variant
    rows = "SELECT uuid, event, timestamp, bq_ingested_timestamp FROM events"
    assert sorted(of(target, rows), key=str) == sorted(of(source, rows), key=str)
    [(later,)] = of(
        target,
        "SELECT avg((timestamp > before)::INT) FROM (SELECT timestamp, lag(timestamp) OVER () AS before FROM events)",
    )
    assert isinstance(later, float)
    assert 0.4 < later < 0.6
    for table in ("posthog_etl/sessions", "firebase_etl_prod/users"):
        assert [path.name for path in (target / table).iterdir()] == [path.name for path in (source / table).iterdir()]


def test_sessions_are_as_the_variant_says(variant: tuple[str, Path], source: Path) -> None:
    name, target = variant
    by_session = f"SELECT {SESSION} AS session, count(*) AS n FROM events GROUP BY session"
    counted = f"SELECT sum(n)::INT, count(session), max(n) FROM ({by_session})"
    [(rows, sessions, most)] = of(target, counted)
    [(_, before, most_before)] = of(source, counted)
    assert isinstance(rows, int)
    assert isinstance(most, int)
    assert isinstance(sessions, int)
    if name == "random":
        assert (sessions, most) == (before, most_before)
    if name == "hot":
        assert 0.5 < most / rows < 0.65
    if name == "single":
        assert sessions > 0.95 * rows


def test_an_unknown_variant_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        write_variant("sorted", source, tmp_path / "target")
    assert list(tmp_path.iterdir()) == []
