"""What holds runs on folders against BigQuery's merge sees rows that are stale there."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import tables
from tests.builders import METRICS
from tests.merging import Folder
from transforms.published.changes import CHANGE

DAYS = tables.PERSON_DAYS.under(METRICS)
#: A row that was published, and what a run makes of it.
BEFORE = {"person_id": "p", "date": date(2025, 1, 5), "event_count": 1}
AFTER = BEFORE | {"event_count": 2}


def _row(values: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(DAYS.bare.names) | values


def _publish(warehouse: Path, name: str, *rows: dict[str, Any], schema: pa.Schema = DAYS.bare) -> None:
    folder = warehouse / "posthog_aggregated" / name
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / "part.parquet")


def _run(warehouse: Path, after: list[dict[str, Any]], staged: list[tuple[str, dict[str, Any]]]) -> None:
    """A run that publishes rows, and stages rows with their change."""
    _publish(warehouse, DAYS.name, _row(BEFORE))
    folder = Folder()
    with folder.held(warehouse):
        changed = [{**_row(row), CHANGE: change} for change, row in staged]
        folder.stages(
            DAYS.name, pa.RecordBatch.from_pylist(changed, schema=DAYS.bare.append(pa.field(CHANGE, "string")))
        )
        _publish(warehouse, DAYS.name, *map(_row, after))
        _publish(warehouse, "runs", {"run_id": "r"}, schema=pa.schema({"run_id": "string"}))


@pytest.mark.parametrize(
    ("after", "staged"),
    [
        ([AFTER], [("updated", AFTER)]),
        ([BEFORE], [("unchanged", BEFORE)]),
        ([BEFORE], []),
        ([], [("deleted", BEFORE)]),
        ([BEFORE, AFTER | {"person_id": "q"}], [("inserted", AFTER | {"person_id": "q"})]),
    ],
)
def test_changes_that_give_the_tables(
    tmp_path: Path, after: list[dict[str, Any]], staged: list[tuple[str, dict[str, Any]]]
) -> None:
    _run(tmp_path, after, staged)


@pytest.mark.parametrize(
    ("after", "staged"),
    [
        ([AFTER], [("unchanged", AFTER)]),
        ([AFTER], []),
        ([], []),
        ([BEFORE], [("deleted", BEFORE)]),
        ([AFTER], [("inserted", AFTER)]),
        ([BEFORE, AFTER | {"person_id": "q"}], [("updated", AFTER | {"person_id": "q"})]),
        ([AFTER], [("updated", AFTER), ("updated", AFTER)]),
    ],
)
def test_changes_that_do_not(
    tmp_path: Path, after: list[dict[str, Any]], staged: list[tuple[str, dict[str, Any]]]
) -> None:
    with pytest.raises(AssertionError):
        _run(tmp_path, after, staged)


def test_a_run_that_publishes_nothing_changes_nothing(tmp_path: Path) -> None:
    _publish(tmp_path, DAYS.name, _row(BEFORE))
    folder = Folder()
    with pytest.raises(AssertionError), folder.held(tmp_path):
        _publish(tmp_path, DAYS.name, _row(AFTER))
