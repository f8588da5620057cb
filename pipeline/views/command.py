"""The views over a local warehouse: a script for DuckDB, or the rows of one view as CSV.

python -m pipeline.views [--warehouse DIR] [NAME]
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence

from pipeline.asking import ended, parser_of, tables_of
from pipeline.errors import RunError, UsageError
from pipeline.extras import is_missing, missing_text
from pipeline.next_steps import this_python
from pipeline.views.declarations import NAMES, missing, views
from pipeline.views.published import asking, metrics_of, snapshot_of
from pipeline.warehouse.bigquery.options import WORD as BIGQUERY

#: Rows that are held as objects of Python.
_AT_ONCE = 1_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the script or a view; the exit code is that of `ended`."""
    return ended("pipeline.views", lambda: _print(arguments))


def _print(arguments: Sequence[str] | None) -> None:
    options = _parser().parse_args(arguments)
    tables = tables_of(options)
    if tables.warehouse == BIGQUERY:
        raise UsageError(
            f"--warehouse {BIGQUERY}: runs make the views in the dataset itself; ask them there (bq query)"
        )
    if is_missing("views"):
        raise RunError(missing_text("views", this_python()))
    snapshot = snapshot_of(tables.link)
    made = views(metrics_of(snapshot, tables.metrics_file))
    if options.name in missing(made):
        raise UsageError(f"{options.name}: the metrics file declares nothing of what it tells")
    from pipeline.views.local import script  # here, because it imports the extra

    text = script(snapshot, made)
    if options.name is None:
        print(text, end="")
    else:
        with asking(snapshot):
            _print_rows(text, options.name)


def _parser() -> argparse.ArgumentParser:
    parser = parser_of("pipeline.views", (__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", choices=NAMES, help="print its rows as CSV; without, a script for DuckDB")
    return parser


def _print_rows(script: str, view: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(script)
        answer = connection.execute(f"SELECT * FROM {view} ORDER BY ALL")
        rows = answer.fetchmany(_AT_ONCE)  # the first is known when all are read: a header without them is not printed
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(name for name, *_ in answer.description or ())
        while rows:
            writer.writerows(rows)
            rows = answer.fetchmany(_AT_ONCE)
