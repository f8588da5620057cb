"""A peer: DuckDB's SQL for the same two tables from the same Parquet files, on two threads.

`python -m benchmarks.duckdb_sql WAREHOUSE OUT` writes OUT/sessions.parquet and OUT/persons.parquet.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb


def main() -> None:
    """Run the script."""
    warehouse, out = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("duckdb.sql").read_text()
    for name, value in (("$warehouse", warehouse), ("$out", out)):  # $ also stands before property names
        script = script.replace(name, value)
    connection = duckdb.connect()
    connection.execute("set threads = 2")
    connection.execute("set timezone = 'UTC'")
    connection.execute(script)


if __name__ == "__main__":
    main()
