"""Asking published tables needs an extra, which runs do without: whether it is there, and what installs it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

#: The extras by the command that needs them: modules, and the packages that they are in.
EXTRAS = {
    "views": {"duckdb": "duckdb", "sqlglot": "sqlglot"},
    "report": {"altair": "altair", "duckdb": "duckdb", "sqlglot": "sqlglot", "vl_convert": "vl-convert-python"},
}
_ROOT = Path(__file__).parents[1]


def is_missing(name: str) -> bool:
    """Whether something of an extra is not installed."""
    return not all(map(importlib.util.find_spec, EXTRAS[name]))


def has_makefile() -> bool:
    """Whether `make` works here: in the folder of a checkout."""
    return Path.cwd() == _ROOT and (_ROOT / "Makefile").is_file()


def missing_text(name: str, python: str) -> str:
    """The line of a command without its extra: what to do, as a command to be pasted."""
    if has_makefile():
        do = f"run `make .venv/report` and call .venv/bin/python -m pipeline.{name}"
    else:
        do = f"run `{python} -m pip install {' '.join(EXTRAS[name].values())}`, then this again"
    return f"the extra `{name}` is not installed: {do}"
