"""The rule of what a run reads: the same on rows, on statistics of row groups, and in SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.row_groups import needed, row_groups
from transforms.incremental.window import (
    ARRIVAL_TIME,
    EVENT_TIME,
    EVERYTHING,
    MAX_AHEAD,
    NO_VALUES,
    Range,
    Window,
    may_hold,
)
from transforms.machinery.times import from_micros
from transforms.schemas.fields import TIMESTAMP

HOUR = 3_600_000_000
DAY = 24 * HOUR
#: 2026-01-01
BASE = 1_767_225_600_000_000
TIMES = st.one_of(
    st.none(),
    st.integers(-20 * 24, 20 * 24).map(lambda hours: BASE + hours * HOUR),
    st.sampled_from([BASE + 15 * 365 * DAY, BASE - 10 * 365 * DAY]),
)
INCREMENTAL = st.builds(
    lambda overlap, lateness: Window(
        scan_start=BASE - overlap - lateness - DAY,
        new_from=BASE - overlap,
        undated_from=BASE - max(overlap, lateness),
        clock=BASE + 12 * HOUR,
    ),
    st.integers(0, 3).map(lambda days: days * DAY),
    st.integers(0, 5).map(lambda days: days * DAY),
)
BACKFILL = st.builds(
    lambda first, number: Window(
        scan_start=BASE + (first - 1) * DAY,
        scan_end=BASE + (first + number + 1) * DAY,
        days=(BASE + first * DAY, BASE + (first + number) * DAY),
        clock=BASE + 12 * HOUR,
    ),
    st.integers(-9, 9),
    st.integers(1, 4),
)
WINDOWS = st.one_of(INCREMENTAL, BACKFILL)
ROWS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=12)


def times(values: list[int | None]) -> tuple[Any, Any]:
    return np.array([value or 0 for value in values], np.int64), np.array([value is None for value in values])


def wanted(window: Window, rows: list[tuple[int | None, int | None]]) -> list[bool]:
    stamps, arrivals = zip(*rows, strict=True)
    found: list[bool] = window.concerns(times(list(stamps)), times(list(arrivals))).tolist()
    return found


def in_words(window: Window, stamp: int | None, arrival: int | None) -> bool:
    """The rule as the documentation tells it."""
    if stamp is None:
        return window.new_from is not None and (arrival is None or arrival >= window.new_from)
    assert window.scan_start is not None
    if window.new_from is not None and arrival is not None and arrival >= window.new_from and stamp < window.scan_start:
        return True
    before_end = window.scan_end is None or stamp < window.scan_end
    assert window.clock is not None
    plausible = arrival is None or arrival >= window.scan_start - MAX_AHEAD
    return window.scan_start <= stamp and before_end and (plausible or stamp < window.clock + MAX_AHEAD)


@given(WINDOWS, ROWS)
def test_rows_are_chosen_by_the_rule(window: Window, rows: list[tuple[int | None, int | None]]) -> None:
    assert wanted(window, rows) == [in_words(window, *row) for row in rows]


@given(INCREMENTAL, ROWS)
def test_whatever_is_news_is_read(window: Window, rows: list[tuple[int | None, int | None]]) -> None:
    stamps, arrivals = (list(values) for values in zip(*rows, strict=True))
    as_arrivals = window.as_arrivals(times(stamps)[0], times(arrivals)).tolist()
    for row, (stamp, arrival), read in zip(as_arrivals, rows, wanted(window, rows), strict=True):
        assert window.new_from is not None
        assert window.undated_from is not None
        news = arrival >= window.new_from if arrival is not None else stamp is None or stamp >= window.undated_from
        assert read or not news
        assert (row >= window.new_from) == news or stamp is None


@given(WINDOWS, ROWS)
def test_ranges_never_leave_out_a_wanted_row(window: Window, rows: list[tuple[int | None, int | None]]) -> None:
    def range_of(values: list[int | None]) -> Range:
        known = [value for value in values if value is not None]
        return Range(min(known, default=None), max(known, default=None), bool(known), None in values)

    stamps, arrivals = (list(values) for values in zip(*rows, strict=True))
    found = may_hold(window.wanted, {EVENT_TIME: range_of(stamps), ARRIVAL_TIME: range_of(arrivals)})
    assert found or not any(wanted(window, rows))
    unknown = may_hold(window.wanted, {EVENT_TIME: Range(), ARRIVAL_TIME: Range()})
    assert unknown


@settings(max_examples=60, deadline=None)
@given(window=WINDOWS, rows=ROWS, size=st.integers(1, 4), dated=st.booleans())
def test_row_groups_that_are_not_read_hold_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    window: Window,
    rows: list[tuple[int | None, int | None]],
    size: int,
    dated: bool,
) -> None:
    path: Path = tmp_path_factory.mktemp("groups") / "part.parquet"
    rows = [(stamp, arrival if dated else None) for stamp, arrival in rows]
    stamps, arrivals = zip(*rows, strict=True)
    columns = {EVENT_TIME: stamps, ARRIVAL_TIME: arrivals} if dated else {EVENT_TIME: stamps}
    content = {name: pa.array(values, TIMESTAMP) for name, values in columns.items()}
    others = {name: pa.array(["x"] * len(rows)) for name in ("uuid", "event", "properties", "distinct_id")}
    pq.write_table(pa.table(content | others), path, row_group_size=size)
    groups = row_groups([path], "in.events")
    read = [any(wanted(window, rows[begin : begin + size])) for begin in range(0, len(rows), size)]
    assert all(group.may_concern(window) or not read[group.index] for group in groups)
    assert needed(groups, window, "in.events") == [group for group in groups if read[group.index]]


@settings(max_examples=60, deadline=None)
@given(WINDOWS, ROWS, st.booleans())
def test_sql_reads_the_same_rows(window: Window, rows: list[tuple[int | None, int | None]], dated: bool) -> None:
    rows = [(stamp, arrival if dated else None) for stamp, arrival in rows]
    columns = (EVENT_TIME, ARRIVAL_TIME) if dated else (EVENT_TIME,)
    condition = sql.in_window(window, columns, late=True)
    query = sqlglot.transpile(f"SELECT number FROM events WHERE {condition}", read="bigquery", write="duckdb")[0]
    with duckdb.connect() as db:
        db.execute(f"create table events(number int, {EVENT_TIME} timestamptz, {ARRIVAL_TIME} timestamptz)")
        for number, row in enumerate(rows):
            moments = [from_micros(value) if value is not None else None for value in row]
            db.execute("insert into events values (?, ?, ?)", [number, *moments])
        found = {number for (number,) in db.execute(query).fetchall()}
    assert found == {number for number, read in enumerate(wanted(window, rows)) if read}


def test_a_full_load_reads_everything() -> None:
    assert EVERYTHING.is_full
    assert EVERYTHING.concerns(times([None, BASE]), times([None, None])).all()


def test_nothing_without_arrival_but_rows_without_any_time_forces_a_read() -> None:
    window = Window(scan_start=BASE - 4 * DAY, new_from=BASE, undated_from=BASE - 3 * DAY)
    old = Range(BASE - 30 * DAY, BASE - 20 * DAY, has_nulls=False)
    assert not may_hold(window.wanted, {EVENT_TIME: old, ARRIVAL_TIME: NO_VALUES})
    assert may_hold(window.wanted, {EVENT_TIME: Range(old.least, old.greatest), ARRIVAL_TIME: NO_VALUES})


def test_an_impossible_time_is_not_read_every_night() -> None:
    window = Window(scan_start=BASE - 4 * DAY, new_from=BASE, undated_from=BASE - 3 * DAY, clock=BASE + DAY)
    assert wanted(window, [(BASE + 5_000 * DAY, BASE - 30 * DAY), (BASE + 5_000 * DAY, BASE)]) == [False, True]


def test_an_event_of_these_days_is_read_whatever_its_arrival_says() -> None:
    window = Window(scan_start=BASE - 4 * DAY, new_from=BASE, undated_from=BASE - 3 * DAY, clock=BASE + DAY)
    odd = [0, -62_135_596_800_000_000, BASE - 30 * DAY, BASE + 10**18]
    assert all(wanted(window, [(BASE, arrival) for arrival in odd]))
