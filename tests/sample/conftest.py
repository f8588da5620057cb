"""A sample of 50,000 events and one of 1,000 as SQL views, made once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from sample import write_sample

Sql = duckdb.DuckDBPyConnection


def connect(warehouse: Path) -> Sql:
    """The tables as views; `usable` are the app's rows fit for a session, `visits` its sessions."""
    sql = duckdb.connect()
    sql.execute("SET TimeZone = 'UTC'")
    tables = {"events": "posthog_etl/events", "sessions": "posthog_etl/sessions"}
    tables |= {"users": "firebase_etl_prod/users", "social": "firebase_etl_prod/events"}
    tables |= {"invites": "firebase_etl_prod/userinvites"}
    for view, folder in tables.items():
        sql.execute(f"CREATE VIEW {view} AS FROM read_parquet('{warehouse / folder}/*.parquet')")
    sql.execute(
        """CREATE TABLE usable AS
        SELECT *, properties->>'$."$session_id"' AS session_id,
               (properties->>'$."$lib_version"')[1]::INT AS sdk
        FROM (FROM events WHERE json_valid(properties) AND properties LIKE '{%')
        WHERE properties->>'$."$lib"' = 'posthog-react-native' AND uuid IS NOT NULL
          AND event IS NOT NULL AND trim(distinct_id) <> ''
          AND json_type(properties, '$."$session_id"') = 'VARCHAR'
          AND timestamp BETWEEN '2015-01-01' AND bq_ingested_timestamp + INTERVAL 1 DAY"""
    )
    sql.execute(
        """CREATE TABLE visits AS
        SELECT session_id, count(DISTINCT uuid) AS events, min(timestamp) AS first,
               max(timestamp) AS last, count(DISTINCT distinct_id) AS ids,
               count(DISTINCT distinct_id) FILTER (length(distinct_id) < 36) AS known
        FROM usable GROUP BY session_id"""
    )
    return sql


def rows(sql: Sql, query: str) -> list[Any]:
    """The rows of a query, or their values where it has one column."""
    found = sql.execute(query).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]


@pytest.fixture(scope="session")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample of 50,000 events that a run without data makes."""
    folder = tmp_path_factory.mktemp("sample") / "warehouse"
    write_sample(folder)
    return folder


@pytest.fixture(scope="session")
def sql(warehouse: Path) -> Iterator[Sql]:
    with connect(warehouse) as connection:
        yield connection


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sql]:
    """A sample of 1,000 events."""
    folder = tmp_path_factory.mktemp("small") / "warehouse"
    write_sample(folder, events=1_000)
    with connect(folder) as connection:
        yield connection


PHONE = re.compile(r"\+1[2-9]\d\d55501\d\d")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
