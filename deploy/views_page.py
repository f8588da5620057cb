"""What every view says, from its file: `python -m deploy.views_page` writes it into docs/views.md, below the mark."""

from __future__ import annotations

from pathlib import Path

from pipeline.views.declarations import NAMES, declared

PAGE = Path(__file__).parents[1] / "docs" / "views.md"
MARK = "<!-- from here on written by `make docs` -->\n"
#: The words of BigQuery's SQL → those of its schemas, as docs/tables.md has them.
TYPES = {"INT64": "INTEGER", "FLOAT64": "FLOAT", "BOOL": "BOOLEAN"}


def sections() -> str:
    """Markdown: every view with its description and its columns."""
    return "".join(_section(name) for name in NAMES)


def _section(name: str) -> str:
    told, columns, _ = declared(name)
    rows = "\n".join(
        f"| `{column.name}` | {TYPES.get(column.type, column.type)} | {column.description} |" for column in columns
    )
    return f"\n### {name}\n\n{told}\n\n| column | type | meaning |\n|---|---|---|\n{rows}\n"


if __name__ == "__main__":
    head, _ = PAGE.read_text(encoding="utf-8").split(MARK)
    PAGE.write_text(head + MARK + sections(), encoding="utf-8")
