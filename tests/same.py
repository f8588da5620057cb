"""When two warehouses have published the same: row for row, and by the ledger's counts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

RUN_COLUMNS = ("_loaded_at", "_run_id")
#: What of the ledger is not the same for two runs of one plan on two warehouses.
_OF_THE_RUN = frozenset(
    {"run_id", "previous_run_id", "started_at", "published_at", "seconds", "options", "bytes_read", "bytes_total"}
)


def plain(table: pa.Table, *, run_columns: bool = False) -> pa.Table:
    """A table sorted by its columns, the key first, by default without the run columns; BigQuery tells of nulls
    otherwise than Parquet, so columns are told apart by name and type only."""
    kept = [name for name in table.schema.names if run_columns or name not in RUN_COLUMNS]
    order = [(name, "ascending") for name in kept if not pa.types.is_list(table.schema.field(name).type)]
    found = table.select(kept).sort_by(order).combine_chunks()
    return found.cast(pa.schema([(field.name, field.type) for field in found.schema]))


def assert_same(
    name: str, found: pa.Table | None, wanted: pa.Table | None, *, keeps_properties_text: bool = True
) -> None:
    """An output table is the same; one that is not there is one without rows.

    Args:
      name: of the table.
      found: as one warehouse has published it.
      wanted: as another one has.
      keeps_properties_text: whether both read the same text as `properties`. A column of type JSON keeps only values:
        blanks go, and BigQuery promises no order of members.
    """
    if found is not None and wanted is not None:  # a column that BigQuery got later is its last one
        assert {field.name: field.type for field in found.schema} == {field.name: field.type for field in wanted.schema}
    rows = [plain(table).to_pylist() if table is not None else [] for table in (found, wanted)]
    if name == "runs":
        rows = [[_comparable(row) for row in some] for some in rows]
    if name == "rejected_events" and not keeps_properties_text:
        rows = [sorted(map(_letter, some), key=repr) for some in rows]
    assert rows[0] == rows[1], name


def _letter(row: Mapping[str, Any]) -> dict[str, Any]:
    """A dead letter by the values of its original row; its key is a digest of their text."""
    original = json.loads(row["row"])
    with contextlib.suppress(KeyError, TypeError, ValueError):  # hashed, null, or cut
        original["properties"] = json.dumps(json.loads(original["properties"]), sort_keys=True)
    return {name: value for name, value in row.items() if name != "row_key"} | {"row": sorted(original.items())}


def _comparable(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the ledger without what is of the run, and without rows that one has not read and the other has
    left out: BigQuery skips single rows outside the scan, a folder only row groups."""
    filtered = json.loads(row["filtered"])
    outside = filtered.pop("outside_scan", 0)
    return {name: value for name, value in row.items() if name not in _OF_THE_RUN} | {
        "filtered": filtered,
        "rows_read": row["rows_read"] - outside,
        "rows_filtered": row["rows_filtered"] - outside,
    }
