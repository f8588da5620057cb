"""Tables made by hand, and the views over them, on DuckDB and on BigQuery's emulator."""

from __future__ import annotations

import functools
import io
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from google.cloud import bigquery

from pipeline import tables
from pipeline.views.declarations import View, views
from pipeline.views.local import translated
from pipeline.warehouse.bigquery.client import BigQueryClient
from pipeline.warehouse.bigquery.schema import fields_of
from pipeline.warehouse.bigquery.views import make_views
from tests.bigquery.emulators import Emulators
from transforms.metrics.definitions import Metrics
from transforms.schemas import fields

Row = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
#: What a required column holds where a test does not care.
_ANY = {
    fields.TEXT: "x",
    fields.INTEGER: 0,
    fields.FLOAT: 0.0,
    fields.BOOLEAN: False,
    fields.TIMESTAMP: datetime(2026, 1, 1, tzinfo=UTC),
    fields.DATE: date(2026, 1, 1),
}


@functools.cache
def in_duckdbs_words(view: View) -> str:
    """The query of a view, translated once: sqlglot takes longer than DuckDB does for all rows of a test."""
    return translated(view)


def contents(metrics: Metrics, rows: Rows) -> dict[str, tuple[tables.Table, pa.Table]]:
    """Every published table with the given rows; columns that they leave out hold anything, or null."""
    found = {}
    for table in (*tables.outputs(metrics), tables.RUNS):
        filled = [
            {field.name: None if field.nullable else _ANY[field.type] for field in table.schema} | row
            for row in rows.get(table.name, ())
        ]
        assert all(set(row) == set(table.schema.names) for row in filled)
        found[table.name] = table, pa.Table.from_pylist(filled, table.bare)
    return found


@functools.cache
def database(_: tuple[View, ...]) -> duckdb.DuckDBPyConnection:
    """A database for some views. On tables of a test threads only wait."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    return connection


@functools.cache
def make_once(made: tuple[View, ...]) -> None:
    """The views of their database, which read the tables that have their names at the time.

    They are made with the first tables: DuckDB takes as long for them as for their rows.
    """
    for view in made:
        database(made).execute(f"CREATE VIEW {view.name} AS {in_duckdbs_words(view)}")


def on_duckdb(metrics: Metrics, rows: Rows) -> dict[str, list[Row]]:
    """The rows of every view, each sorted."""
    made = views(metrics)
    connection = database(made)
    for name, (_, content) in contents(metrics, rows).items():
        connection.register(name, content)
    make_once(made)
    found = {}
    for view in made:
        rows_of_view = connection.execute(f"FROM {view.name}").fetchall()
        names = [column[0] for column in connection.description]
        found[view.name] = _sorted([dict(zip(names, row, strict=True)) for row in rows_of_view], view)
    return found


class OnBigQuery:
    """The same through the emulator, over views that are made by what a run does after its publish.

    The tables and views of a metrics file are made once, and each look gives the tables other rows.
    """

    def __init__(self, emulators: Emulators) -> None:
        self._client, self._project = emulators.client(), emulators.project
        self._made: list[tuple[Metrics, str]] = []
        self._loaded: dict[str, pa.Table] = {}

    def __call__(self, metrics: Metrics, rows: Rows) -> dict[str, list[Row]]:
        """The rows of every view, each sorted."""
        filled = contents(metrics, rows)
        dataset = next((dataset for known, dataset in self._made if known == metrics), None)
        if dataset is None:
            dataset = self._make(metrics, {name: table for name, (table, _) in filled.items()})
        for name, (_, content) in filled.items():
            self._load(f"{self._project}.{dataset}.{name}", content)
        return {view.name: _sorted(self._read(f"{dataset}.{view.name}"), view) for view in views(metrics)}

    def close(self) -> None:
        """Leave nothing behind: the emulator holds all in memory."""
        for _, dataset in self._made:
            self._client.delete_dataset(dataset, delete_contents=True)

    def _make(self, metrics: Metrics, outputs: Mapping[str, tables.Table]) -> str:
        dataset = f"views_{uuid.uuid4().hex}"
        self._client.create_dataset(dataset)
        self._made.append((metrics, dataset))
        for name, table in outputs.items():
            target = f"{self._project}.{dataset}.{name}"
            schema = [bigquery.SchemaField.from_api_repr(field) for field in fields_of(table)]
            self._client.create_table(bigquery.Table(target, schema))
            self._loaded[target] = table.bare.empty_table()
        make_views(BigQueryClient(self._project), dataset, views(metrics), outputs)
        return dataset

    def _load(self, target: str, content: pa.Table) -> None:
        if content == self._loaded[target]:
            return
        file = io.BytesIO()
        pq.write_table(content, file)
        schema = self._client.get_table(target).schema
        config = bigquery.LoadJobConfig(source_format="PARQUET", schema=schema, write_disposition="WRITE_TRUNCATE")
        self._client.load_table_from_file(file, target, rewind=True, job_config=config).result()
        self._loaded[target] = content

    def _read(self, view: str) -> list[Row]:
        return [dict(row) for row in self._client.query(f"SELECT * FROM `{view}`").result()]


def _sorted(rows: Sequence[Row], view: View) -> list[Row]:
    """Rows in the order of their texts, with the declared spelling of columns.

    The emulator folds the case of some names, and takes a day that was added to for a DATETIME and a sum for a NUMERIC;
    that BigQuery gives the declared types is what its analyser says (`tests.bigquery.test_analyser`).
    """
    spelling = {column.name.lower(): column for column in view.columns}
    found = []
    for row in rows:
        plain = {spelling[name.lower()].name: _plain(value, spelling[name.lower()].type) for name, value in row.items()}
        assert list(plain) == [column.name for column in view.columns]
        found.append(plain)
    return sorted(found, key=lambda row: [str(value) for value in row.values()])


def _plain(value: Any, kind: str) -> Any:
    if kind == "DATE" and isinstance(value, datetime):
        assert value.time() == time()
        return value.date()
    if kind == "INT64" and value is not None:
        assert value == int(value)
        return int(value)
    return value


def day(number: int) -> date:
    """Days of January 2026, from 1; the 5th is a Monday."""
    return date.fromordinal(date(2025, 12, 31).toordinal() + number)


def at(number: int, hour: float = 12) -> datetime:
    """A moment of such a day (UTC)."""
    seconds = int(hour * 3600)
    return datetime.combine(day(number), time(seconds // 3600, seconds // 60 % 60, seconds % 60), UTC)
