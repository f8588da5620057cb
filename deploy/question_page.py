"""The questions of docs/questions.md, as values: the page is the one place where they and their queries stand.

Needs nothing but DuckDB, so that a notebook takes them from here as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import duckdb

PAGE = Path(__file__).parents[1] / "docs" / "questions.md"
_QUESTION = re.compile(r"^## (\d+)\. ([^\n]+)\n\n(.*?)\n\n```sql\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Question(NamedTuple):
    """One of the questions."""

    number: int
    title: str
    told: str
    """What is asked in more words; Markdown."""
    query: str
    """DuckDB's SQL over the published tables by their names."""


def questions(page: str) -> Iterator[Question]:
    """The questions of the page, in its order."""
    for number, title, told, query in _QUESTION.findall(page):
        yield Question(int(number), title, told, query)


def opened(published: Path) -> duckdb.DuckDBPyConnection:
    """A database in memory with a view a published table, all of one run.

    Args:
      published: the folder of the tables; its link is resolved once, here.
    """
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    for folder in sorted(published.resolve().iterdir()):
        if any(folder.glob("*.parquet")):
            database.execute(f"CREATE VIEW \"{folder.name}\" AS FROM '{folder}/*.parquet'")
    return database
