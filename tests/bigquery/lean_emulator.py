"""Start the emulator of BigQuery, run by its own Python: a statement is parsed once, not by each of its rewriters.

The emulator hands a statement as text from one of its steps to the next, and most parse it again, seventeen times where
a view is made; that was two thirds of its CPU time. What is parsed is kept here, and every step gets a copy of its own,
which it may change, for a quarter of the time.
"""

from __future__ import annotations

import functools
import runpy
from typing import Any

import sqlglot

#: Texts whose trees are kept; the steps of one statement follow each other, so few are enough.
_KEPT = 64


def main() -> None:
    """Make `parse_one` remember, then be the command `bqemulator`."""
    parsed = functools.lru_cache(_KEPT)(sqlglot.parse_one)

    def parse_once(sql: str, *arguments: Any, **options: Any) -> Any:
        return parsed(sql, *arguments, **options).copy()

    sqlglot.parse_one = parse_once
    runpy.run_module("bqemulator", run_name="__main__")


if __name__ == "__main__":
    main()
