"""A peer: ClickHouse's SQL (`chdb`) for the same two tables from the same Parquet files, on two threads.

`python -m benchmarks.clickhouse_sql WAREHOUSE OUT` writes OUT/sessions.parquet and OUT/persons.parquet. It needs
the environment of the peers.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from chdb.session import Session

SETTINGS = {
    "max_threads": 2,
    "max_insert_threads": 2,
    "max_parsing_threads": 2,
    "join_use_nulls": 1,  # as in standard SQL
    "output_format_parquet_compression_method": "'zstd'",
    "engine_file_truncate_on_insert": 1,
}


def main() -> None:
    """Run the script."""
    warehouse, out = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("clickhouse.sql").read_text()
    for name, value in (("$warehouse", warehouse), ("$out", out)):  # $ also stands before property names
        script = script.replace(name, value)
    session = Session()
    for name, number in SETTINGS.items():
        session.query(f"set {name} = {number}")
    for statement in re.split(r";\n", script):
        if statement.strip():
            session.query(statement)


if __name__ == "__main__":
    main()
