"""Numbers of days: as counted one row after the other, in whatever pieces."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.schemas.fields import BOOLEAN, DATE, INTEGER, TEXT
from transforms.sessions.days import SumDays, day_numbers, schema

ROWS = pa.schema([("start_date", DATE), ("user_id", TEXT), ("joined", BOOLEAN), ("taps", INTEGER), ("_change", TEXT)])
METRICS = ("joined", "taps")
BEGIN = date(2026, 1, 1)


def wanted(rows: list[dict[str, Any]], since: date | None) -> dict[date, Counter[str]]:
    days: dict[date, Counter[str]] = {}
    seen = set()
    for row in rows:
        day, user = row["start_date"], row["user_id"]
        if row["_change"] == "deleted" or (since and day < since):
            continue
        numbers = days.setdefault(day, Counter())
        numbers["sessions"] += 1
        numbers["anonymous"] += user is None
        numbers["with.joined"] += bool(row["joined"])
        numbers["with.taps"] += bool(row["taps"])
        numbers["users"] += user is not None and (day, user) not in seen
        seen.add((day, user))
    return days


@settings(max_examples=60)
@given(st.integers(0, 2**32))
def test_any_rows(seed: int) -> None:
    dice = random.Random(seed)
    rows = [
        {
            "start_date": BEGIN + timedelta(days=dice.randrange(5)),
            "user_id": dice.choice([None, "u", "v", "w"]),
            "joined": dice.choice([True, False, None]),
            "taps": dice.choice([0, 1, 7, None]),
            "_change": dice.choice(["inserted", "unchanged", "updated", "deleted"]),
        }
        for _ in range(dice.randrange(30))
    ]
    since = dice.choice([None, BEGIN + timedelta(days=2)])
    blocks: dict[int, list[dict[str, Any]]] = {}
    for row in rows:  # a user's sessions are in one block
        blocks.setdefault(hash(row["user_id"]) % 3, []).append(row)
    parts = [
        made for some in blocks.values() for made in day_numbers(pa.RecordBatch.from_pylist(some, ROWS), METRICS, since)
    ]
    sums = SumDays(schema(METRICS))
    one = sums.create_accumulator()
    for part in parts:
        one = sums.add_input(one, part)
    other = sums.merge_accumulators([sums.create_accumulator(), *reversed(parts)])
    for found in (one, other):
        days = {row.pop("start_date"): Counter(row) for row in sums.extract_output(found).to_pylist()}
        assert days == wanted(rows, since)


def test_no_row_is_no_day() -> None:
    assert list(day_numbers(pa.RecordBatch.from_pylist([], ROWS), METRICS, None)) == []
    assert SumDays(schema(())).create_accumulator().num_rows == 0


@pytest.mark.parametrize("metrics", [(), METRICS])
def test_the_columns(metrics: tuple[str, ...]) -> None:
    [found] = day_numbers(
        pa.RecordBatch.from_pylist([{"start_date": BEGIN, "user_id": "u", "_change": "inserted"}], ROWS), metrics, None
    )
    assert found.schema.names == ["start_date", "sessions", "users", "anonymous", *(f"with.{one}" for one in metrics)]
