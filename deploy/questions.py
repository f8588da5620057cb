"""The answers of docs/questions.md, on the packaged sample: `python -m deploy.questions` writes them.

Each block of SQL on the page is followed by its answer as a table; a test compares them with what the queries give.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb

from deploy.dictionary import markdown_table, run_on_sample
from deploy.question_page import PAGE, opened

#: A query, and the table that follows it, if there is one.
_ASKED = re.compile(r"(^```sql\n(?P<query>.*?)^```\n)(?:\n(?:\|[^\n]*\n)+)?", re.MULTILINE | re.DOTALL)


def answered(page: str, published: Path) -> str:
    """The page with the answers that its queries give.

    Args:
      page: its text.
      published: the folder of the output tables.
    """
    database = opened(published)
    return _ASKED.sub(lambda found: f"{found[1]}\n{_answer(database, found['query'])}", page)


def _answer(database: duckdb.DuckDBPyConnection, query: str) -> str:
    result = database.execute(query)
    names = [column[0] for column in result.description]
    return markdown_table(names, [[_told(value) for value in row] for row in result.fetchall()])


def _told(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    with run_on_sample() as published:
        PAGE.write_text(answered(PAGE.read_text(encoding="utf-8"), published), encoding="utf-8")
