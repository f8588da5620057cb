"""Where the report asks its questions: a local warehouse through DuckDB, or BigQuery."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any, Protocol

from pipeline.errors import RunError
from pipeline.report.questions import Question
from pipeline.views.declarations import View
from pipeline.views.published import asking

#: The rows of an answer.
Rows = list[dict[str, Any]]


class Reader(Protocol):
    """Asks published tables and views."""

    def columns(self, name: str) -> Collection[str]:
        """The columns of a table or view; none where there is none."""

    def rows(self, question: Question) -> Rows:
        """The rows that a question gives, in its order."""


class LocalReader:
    """The tables of one published run in a folder, through DuckDB."""

    def __init__(self, snapshot: Path, views: Collection[View]) -> None:
        import duckdb  # of the extra, like what translates

        from pipeline.views.local import script

        self._snapshot, self._connection = snapshot, duckdb.connect()
        with asking(snapshot):
            self._connection.execute(script(snapshot, views))

    def columns(self, name: str) -> Collection[str]:
        """See `Reader`."""
        query = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND NOT internal"
        return {str(column) for (column,) in self._connection.execute(query, [name]).fetchall()}

    def rows(self, question: Question) -> Rows:
        """See `Reader`."""
        import sqlglot

        asked = _over(question, {name: f"`{name}`" for name in question.reads})
        translated = sqlglot.transpile(
            asked, read="bigquery", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE
        )
        with asking(self._snapshot):
            answer = self._connection.sql(translated[0])
            return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


class BigQueryReader:
    """A dataset of BigQuery."""

    def __init__(self, project: str, dataset: str) -> None:
        # imported late: its client takes half a second, and a local report needs none
        from pipeline.warehouse.bigquery.client import BigQueryClient

        self._dataset, self._client = dataset, BigQueryClient(project)
        if self._client.dataset_location(dataset) is None:
            raise RunError(f"dataset {dataset} does not exist in project {project}")

    def columns(self, name: str) -> Collection[str]:
        """See `Reader`."""
        info = self._client.table(self._dataset, name)
        return {field["name"] for field in info.fields} if info else set()

    def rows(self, question: Question) -> Rows:
        """See `Reader`."""
        names = {name: self._client.name(self._dataset, name) for name in question.reads}
        return self._client.rows(_over(question, names), "a question of the report")


def can_answer(reader: Reader, question: Question) -> bool:
    """Whether there is all that a question needs."""
    return all(map(reader.columns, question.reads)) and set(question.columns) <= set(reader.columns(question.reads[0]))


def _over(question: Question, names: Mapping[str, str]) -> str:
    return Template(question.sql).substitute(names)
