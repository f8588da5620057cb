"""The views over a local warehouse: a script for DuckDB, or the rows of one view as CSV.

python -m pipeline.views [--warehouse DIR] [NAME]
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import RunError
from pipeline.options import OPTIONS
from pipeline.views import NAMES, missing, views
from pipeline.views.published import metrics_of
from transforms.metrics.definitions import MetricsError

_DEFAULTS = {option.name: option.fallback for option in OPTIONS}
_EXTRA = "this needs DuckDB and sqlglot: install this package with the extra `views`"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the script or a view; exit code 0, 1 when there is nothing to read or no DuckDB, 2 for bad options."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.views", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", choices=NAMES, help="print its rows as CSV; without, a script for DuckDB")
    parser.add_argument("--warehouse", type=Path, default=Path(_DEFAULTS["warehouse"] or ""), metavar="DIR")
    parser.add_argument("--aggregated_dataset", default=_DEFAULTS["aggregated_dataset"], metavar="NAME")
    parser.add_argument(
        "--metrics_file", type=Path, metavar="FILE", help="that of the runs; by default the packaged one"
    )
    options = parser.parse_args(arguments)
    if not all(importlib.util.find_spec(module) for module in ("duckdb", "sqlglot")):
        return _failed(_EXTRA, 1)
    # resolved once, so that all tables are of one run
    snapshot = (options.warehouse / options.aggregated_dataset).resolve()
    try:
        made = views(metrics_of(snapshot, options.metrics_file))
    except MetricsError as error:
        return _failed(str(error), 2)
    except RunError as error:
        return _failed(str(error), 1)
    if options.name in missing(made):
        return _failed(f"{options.name}: the metrics file declares nothing of what it tells", 2)
    from pipeline.views.local import script  # here, because it imports the extra

    text = script(snapshot, made)
    if options.name is None:
        print(text, end="")
        return 0
    _print_rows(text, options.name)
    return 0


def _print_rows(script: str, view: str) -> None:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute(script)
        rows = connection.sql(f"SELECT * FROM {view} ORDER BY ALL")
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(rows.fetchall())


def _failed(line: str, code: int) -> int:
    print(f"pipeline.views: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
