"""Start the emulator of BigQuery, run by its own Python, so that a statement is parsed and translated once.

The emulator hands a statement as text from one of its steps to the next, and most parse it again, seventeen times where
a view is made: two thirds of its CPU time in tests of views. What is parsed is kept here, and every step gets a copy of
its own, which it may change, for a quarter of the time. A text that comes again, over tables with the same columns,
is not translated again; views whose tables get other rows are queried so.
"""

from __future__ import annotations

import functools
import importlib
import runpy
from dataclasses import dataclass, field
from typing import Any

import sqlglot

#: How many trees are kept, each up to a megabyte, and how many translations, which are texts.
_TREES, _TRANSLATIONS = 128, 512


@dataclass(frozen=True)
class _Statement:
    """A text to translate; equal where text, columns and caller are."""

    sql: str
    asked: str
    translator: Any = field(compare=False)
    options: dict[str, Any] = field(compare=False)


def main() -> None:
    """Make both remember, then be the command `bqemulator`."""
    parsed = functools.lru_cache(_TREES)(sqlglot.parse_one)

    def parse_once(sql: str, *arguments: Any, **options: Any) -> Any:
        return parsed(sql, *arguments, **options).copy()

    sqlglot.parse_one = parse_once
    translator = importlib.import_module("bqemulator.sql.translator").SQLTranslator
    translate = translator.translate

    @functools.lru_cache(_TRANSLATIONS)
    def translated(statement: _Statement) -> Any:
        return translate(statement.translator, statement.sql, **statement.options)

    def translate_once(self: Any, sql: str, **options: Any) -> Any:
        return translated(_Statement(sql, repr(options), self, options))

    translator.translate = translate_once
    runpy.run_module("bqemulator", run_name="__main__")


if __name__ == "__main__":
    main()
