"""Warehouses as those that the sample generator writes, with the same events in other orders and other sessions.

`python -m benchmarks.orders VARIANT SOURCE TARGET` reads the warehouse SOURCE and writes TARGET. All variants are in
random order: rows by a hash, over all files, as after a re-clustering of the table.

* random: nothing else is changed.
* hot: six rows of ten are of one session.
* single: every row is a session of its own, every second one a person of its own.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import duckdb

_FILE = 100_000
_ROW_GROUP = 32_768
_HOT = "'01900000-0000-7000-8000-000000000001'"


def _session(value: str) -> str:
    """SQL that puts a session id (SQL) into the properties."""
    return f"""regexp_replace(properties, '"\\$session_id": ?"[^"]*"', '"$session_id":"' || {value} || '"')"""


#: Variant → what replaces columns of a row; `place` is its hash.
VARIANTS = {
    "random": "",
    "hot": f"replace (case when place % 10 < 6 then {_session(_HOT)} else properties end as properties)",
    "single": f"""replace (
        {_session("md5(place::varchar)::uuid::varchar")} as properties,
        case when place % 2 = 0 then distinct_id else md5('person' || place)::uuid::varchar end as distinct_id)""",
}


def write_variant(variant: str, source: Path, target: Path) -> None:
    """Write a variant of a warehouse; KeyError for an unknown one."""
    columns = f"* {VARIANTS[variant]}"
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made, dealt = Path(folder, "made"), Path(folder, "dealt")
        shutil.copytree(source / "firebase_etl_prod", made / "firebase_etl_prod")
        shutil.copytree(source / "posthog_etl" / "sessions", made / "posthog_etl" / "sessions")
        events = made / "posthog_etl" / "events"
        events.mkdir()
        connection = duckdb.connect(config={"threads": 2, "memory_limit": "4GB", "temp_directory": folder})
        connection.execute("set timezone = 'UTC'")
        read = f"read_parquet('{source}/posthog_etl/events/*.parquet', file_row_number = true)"
        [(rows,)] = connection.execute(f"select count(*) from {read}").fetchall()
        files = max(1, rows // _FILE)
        place = "hash(coalesce(uuid, '') || coalesce(epoch_us(bq_ingested_timestamp), 0) || file_row_number)"
        connection.execute(f"""
            copy (select * exclude (file_row_number), {place} as place, place // 16 % {files} as file from {read})
            to '{dealt}' (format parquet, partition_by (file), compression lz4)
        """)
        for number in range(files):
            file = f"read_parquet('{dealt}/file={number}/*.parquet', hive_partitioning = false)"
            connection.execute(f"""
                copy (
                    select * exclude (place) from (select {columns} from {file})
                    order by place
                ) to '{events}/part-{number:03d}.parquet' (compression zstd, row_group_size {_ROW_GROUP})
            """)
        made.rename(target)


if __name__ == "__main__":
    write_variant(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
