"""BigQuery as a place of outputs: published tables are compared with the ledger before they are memory."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.warehouse.bigquery.inputs import Places
from pipeline.warehouse.bigquery.warehouse import BigQueryWarehouse

NAMES = ("sessions", "persons", "rejected_events")
LEDGER = {
    **{f"sessions_{change}": number for change, number in (("inserted", 1), ("updated", 2), ("unchanged", 4))},
    **{f"persons_{change}": number for change, number in (("inserted", 0), ("updated", 0), ("unchanged", 3))},
    "sessions_deleted": 9,
    "persons_deleted": 9,
    "notes": '{"rejected_events.inserted": 5}',
}
WHOLE = {"sessions": 7, "persons": 3, "rejected_events": 5}


def damage(found: dict[str, int], last: dict[str, Any] | None) -> str | None:
    """What is told of tables with so many rows; one that is not named does not exist."""
    warehouse = BigQueryWarehouse(Places("p", "in", "in", "out", "privacy"), "DIRECT_READ")

    client = SimpleNamespace(
        rows=lambda query: [found], table=lambda _, name: found.get(name), name=lambda *parts: ".".join(parts)
    )
    warehouse.__dict__["_client"] = client
    return warehouse._damage(last)


@pytest.mark.parametrize("name", NAMES)
def test_rows_that_are_missing_or_too_many(name: str) -> None:
    assert damage(WHOLE, LEDGER) is None
    for number in (WHOLE[name] - 1, WHOLE[name] + 1):
        told = f"the published tables are damaged: out.{name} has {number} rows, {WHOLE[name]} were published"
        assert damage(WHOLE | {name: number}, LEDGER) == told


def test_a_table_that_is_missing() -> None:
    there = {name: number for name, number in WHOLE.items() if name != "persons"}
    assert damage(there, LEDGER) == "the published tables are damaged: out.persons does not exist, 3 were published"


def test_rows_without_a_ledger() -> None:
    assert damage({}, None) is None
    assert damage(dict.fromkeys(NAMES, 0), None) is None  # a first run that failed has made the tables
    told = "the published tables are damaged: out.sessions has 7 rows, 0 were published"
    assert damage({"sessions": 7}, None) == told
