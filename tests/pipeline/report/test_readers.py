"""Where questions are asked: names are filled in, the dialect is translated, and what is not there is not asked."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError
from pipeline.report.questions import Question
from pipeline.report.readers import BigQueryReader, LocalReader, Rows, can_answer
from pipeline.warehouse.bigquery import client as module

QUESTION = Question("SELECT name, COUNTIF(number > 1) AS many FROM ${visits} GROUP BY name ORDER BY name", ("visits",))


class Known:
    """Tables by name with their columns."""

    def __init__(self, **tables: Collection[str]) -> None:
        self._tables = tables

    def columns(self, name: str) -> Collection[str]:
        return self._tables.get(name, ())

    def rows(self, question: Question) -> Rows:
        raise AssertionError("only asked whether it can be asked")


@pytest.mark.parametrize(
    ("tables", "can"),
    [
        ({"visits": {"a", "b"}, "runs": {"c"}}, True),
        ({"visits": {"a"}, "runs": {"c"}}, False),
        ({"visits": {"a", "b"}}, False),
        ({"runs": {"a", "b"}, "visits": {"c"}}, False),
    ],
)
def test_all_tables_and_the_columns_of_the_first_must_be_there(tables: dict[str, set[str]], can: bool) -> None:
    assert can_answer(Known(**tables), Question("", ("visits", "runs"), ("a", "b"))) == can


@pytest.fixture
def local(tmp_path: Path) -> LocalReader:
    (tmp_path / "visits").mkdir()
    rows = [("b", 2, date(2026, 1, 5)), ("a", 1, date(2026, 1, 6)), ("b", 7, date(2026, 1, 7))]
    content = pa.table(dict(zip(("name", "number", "day"), map(list, zip(*rows, strict=True)), strict=True)))
    pq.write_table(content, tmp_path / "visits" / "part-0.parquet")
    return LocalReader(tmp_path, ())


def test_a_folder_is_asked_in_duckdbs_dialect(local: LocalReader) -> None:
    assert local.columns("visits") == {"name", "number", "day"}
    assert local.columns("none") == set()
    assert local.rows(QUESTION) == [{"name": "a", "many": 0}, {"name": "b", "many": 2}]
    nested = Question("SELECT DATE_DIFF(MAX(day), MIN(day), DAY) AS days FROM ${visits}", ("visits",))
    assert local.rows(nested) == [{"days": 2}]


class Client:
    """What a reader asks of BigQuery."""

    asked: list[tuple[str, str]] = []  # noqa: RUF012 (one test at a time)

    def __init__(self, project: str) -> None:
        self._project = project

    def dataset_location(self, dataset: str) -> str | None:
        return "EU" if dataset == "out" else None

    def table(self, dataset: str, name: str) -> Any:
        return SimpleNamespace(fields=[{"name": "name"}, {"name": "number"}]) if name == "visits" else None

    def name(self, dataset: str, table: str) -> str:
        return f"`{self._project}.{dataset}.{table}`"

    def rows(self, query: str, what: str) -> Rows:
        self.asked.append((query, what))
        return [{"name": "a", "many": 0}]


def test_bigquery_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BigQueryClient", Client)
    monkeypatch.setattr(Client, "asked", [])
    reader = BigQueryReader("p", "out")
    assert reader.columns("visits") == {"name", "number"}
    assert reader.columns("none") == set()
    assert reader.rows(QUESTION) == [{"name": "a", "many": 0}]
    assert Client.asked == [(QUESTION.sql.replace("${visits}", "`p.out.visits`"), "a question of the report")]


def test_a_dataset_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BigQueryClient", Client)
    with pytest.raises(RunError, match=r"^dataset none does not exist in project p$"):
        BigQueryReader("p", "none")
