"""Where the report asks its questions: a local warehouse through DuckDB, or BigQuery."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from string import Template
from typing import Any, Protocol

from pipeline.errors import RunError
from pipeline.report.questions import Question
from pipeline.views import View

#: The rows of an answer.
Rows = list[dict[str, Any]]


class Source(Protocol):
    """Published tables and views that can be asked."""

    def has(self, name: str) -> bool:
        """Whether there is a table or view of this name."""

    def rows(self, question: Question) -> Rows:
        """The rows that a question gives, in its order."""


class LocalSource:
    """The tables of one published run in a folder, through DuckDB."""

    def __init__(self, snapshot: Path, views: Collection[View]) -> None:
        import duckdb  # of the extra, like what translates

        from pipeline.views.local import script

        self._connection = duckdb.connect()
        self._connection.execute(script(snapshot, views))
        names = self._connection.sql("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        self._names = {str(name) for (name,) in names}

    def has(self, name: str) -> bool:
        """See `Source`."""
        return name in self._names

    def rows(self, question: Question) -> Rows:
        """See `Source`."""
        import sqlglot

        asked = _over(question, {name: f"`{name}`" for name in question.reads})
        translated = sqlglot.transpile(
            asked, read="bigquery", write="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE
        )
        answer = self._connection.sql(translated[0])
        return [dict(zip(answer.columns, row, strict=True)) for row in answer.fetchall()]


class BigQuerySource:
    """A dataset of BigQuery."""

    def __init__(self, project: str, dataset: str) -> None:
        # imported late: its client takes half a second, and a local report needs none
        from pipeline.warehouse.bigquery.client import BigQueryClient

        self._dataset, self._client = dataset, BigQueryClient(project)
        if self._client.dataset_location(dataset) is None:
            raise RunError(f"dataset {dataset} does not exist in project {project}")

    def has(self, name: str) -> bool:
        """See `Source`."""
        return self._client.table(self._dataset, name) is not None

    def rows(self, question: Question) -> Rows:
        """See `Source`."""
        names = {name: self._client.name(self._dataset, name) for name in question.reads}
        return self._client.rows(_over(question, names), "a question of the report")


def _over(question: Question, names: Mapping[str, str]) -> str:
    return Template(question.sql).substitute(names)
