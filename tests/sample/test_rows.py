"""Numbers → rows of the export, exactly as many as asked for."""

from __future__ import annotations

from datetime import date
from itertools import islice

import pytest

from sample.rows import EVENTS_SCHEMA, event_batches
from sample.timeline import Plan


@pytest.mark.parametrize("events", [1, 2, 43, 1_000, 32_768, 65_537])
def test_number_of_rows_is_exact(events: int) -> None:
    batches = list(event_batches(Plan(events, seed=3, start=date(2025, 3, 1), days=3)))
    assert sum(map(len, batches)) == events
    assert all(batch.schema == EVENTS_SCHEMA for batch in batches)


def test_fifty_million_events_start_at_once() -> None:
    batches = list(islice(event_batches(Plan(50_000_000)), 20))
    assert all(0 < len(batch) <= 4_096 for batch in batches)
