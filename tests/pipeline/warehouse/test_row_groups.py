"""A row group is left out exactly when no row in it concerns the run, whatever its statistics say, or do not say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline import tables
from pipeline.warehouse.binding import Binding
from pipeline.warehouse.parquet import binding_of, open_file
from pipeline.warehouse.row_groups import RowGroup, needed, row_groups
from tests.builders import START, at, event
from transforms.incremental.window import NO_VALUES, Range, Window
from transforms.machinery.times import micros
from transforms.schemas.fields import TIMESTAMP

DAY = 86_400_000_000
NOW = micros(START)
TEXTS = {"uuid": "u", "event": "e", "properties": "{}", "distinct_id": "d"}
WINDOW = Window(scan_start=NOW - 5 * DAY, new_from=NOW, undated_from=NOW - 3 * DAY, clock=NOW + DAY)


def group(times: Range, arrivals: Range) -> RowGroup:
    return RowGroup("part-0.parquet", 0, 1, 1, times, arrivals)


def concerned(window: Window, rows: list[tuple[int | None, int | None]]) -> bool:
    """Whether any of these (time, arrival) concerns a run, as `transforms.events.decoder` asks it."""
    columns = [
        (np.array([time or 0 for time in times], np.int64), np.array([time is None for time in times], bool))
        for times in zip(*rows, strict=True)
    ]
    return bool(window.concerns(*columns).any())


moments = st.integers(NOW - 10 * DAY, NOW + 3 * DAY) | st.integers(-(2**61), 2**61)
windows = st.one_of(
    st.builds(lambda start, after: Window(start, None, start + after, start), moments, st.integers(0, 9 * DAY)),
    st.builds(lambda start, days: Window(start, start + days * DAY, days=(start, start)), moments, st.integers(1, 9)),
    st.just(Window()),
)
rows_of_group = st.lists(st.tuples(st.none() | moments, st.none() | moments), min_size=1, max_size=6)


@settings(deadline=None)  # it writes files
@given(windows, rows_of_group, st.sampled_from(["us", "ns", "ms"]), st.booleans(), st.booleans())
@example(WINDOW, [(NOW - 30 * DAY, NOW - 30 * DAY), (NOW, None)], "us", True, True)
@example(WINDOW, [(NOW - 30 * DAY, None), (None, None)], "us", True, True)
@example(Window(NOW, NOW + DAY, days=(NOW, NOW)), [(NOW + 1, NOW - 9 * DAY)], "us", True, True)
def test_pruning_keeps_what_the_rule_of_rows_keeps(
    tmp_path_factory: pytest.TempPathFactory,
    window: Window,
    rows: list[tuple[int | None, int | None]],
    unit: str,
    statistics: bool,
    has_arrival: bool,
) -> None:
    factor = {"us": lambda value: value, "ns": lambda value: value * 1_000 + 7, "ms": lambda value: value // 1_000}[
        unit
    ]
    limit = 2**63 // 1_000 - 8 if unit == "ns" else 2**62
    kind = pa.timestamp(unit, "UTC")

    def column(place: int) -> pa.Array:
        values = [row[place] for row in rows]
        return pa.array([None if one is None or abs(one) > limit else factor(one) for one in values], kind)

    content: dict[str, Any] = {name: pa.array([value] * len(rows)) for name, value in TEXTS.items()}
    content["timestamp"] = column(0)
    if has_arrival:
        content["bq_ingested_timestamp"] = column(1)
    path = tmp_path_factory.mktemp("groups") / "part-0.parquet"
    pq.write_table(pa.table(content), path, write_statistics=statistics)
    read = binding(path).conform(pa.table(content).to_batches()[0])
    times = [read.column(name).cast(pa.int64()).to_pylist() for name in ("timestamp", "bq_ingested_timestamp")]
    [found] = row_groups([path], "in.events")
    expected = concerned(window, list(zip(*times, strict=True)))
    assert found.may_concern(window) or not expected
    assert needed([found], window, "in.events") == [found] * expected


def binding(path: Path) -> Binding:
    return binding_of(open_file(path, "in.events"), path, tables.EVENTS, "in.events")


OLD = Range(NOW - 30 * DAY, NOW - 20 * DAY, has_nulls=False)
NEW = Range(NOW - DAY, NOW + DAY, has_nulls=False)
TO_COME = Range(NOW + 90 * DAY, NOW + 99 * DAY, has_nulls=False)


@pytest.mark.parametrize(
    ("times", "arrivals", "expected"),
    [
        (OLD, OLD, False),
        (OLD, NEW, True),  # late rows are told apart and listed
        (TO_COME, OLD, False),  # arrived before they happened: rejected when they were new
        (NEW, OLD, True),  # the arrival may be wrong, and no run has seen them
        (NEW, NEW, True),
        (OLD, Range(OLD.least, OLD.greatest, has_nulls=True), False),
        (TO_COME, Range(OLD.least, OLD.greatest, has_nulls=True), True),  # a null arrival is no old arrival
        (OLD, NO_VALUES, False),
        (NEW, NO_VALUES, True),
        (Range(OLD.least, OLD.greatest, has_nulls=True), NO_VALUES, True),
        (NO_VALUES, NO_VALUES, True),
        (NO_VALUES, OLD, False),
        (Range(), OLD, True),  # they may be of these days
        (Range(), Range(), True),
    ],
)
def test_what_an_incremental_run_leaves_out(times: Range, arrivals: Range, expected: bool) -> None:
    assert group(times, arrivals).may_concern(WINDOW) is expected


def test_without_arrivals_only_a_row_without_time_can_be_news_of_before_the_window() -> None:
    assert group(Range(OLD.least, OLD.greatest, has_nulls=True), NO_VALUES).may_concern(WINDOW)
    assert not group(OLD, NO_VALUES).may_concern(WINDOW)


def test_a_backfill_reads_its_days_whenever_they_arrived_later() -> None:
    window = Window(NOW - 30 * DAY, NOW - 29 * DAY, days=(NOW - 30 * DAY, NOW - 29 * DAY))
    assert group(OLD, NEW).may_concern(window)
    assert not group(NEW, NEW).may_concern(window)
    assert not group(NO_VALUES, NEW).may_concern(window)


def test_odd_rows_of_old_days_do_not_make_a_run_read_these_days(tmp_path: Path) -> None:
    old = NOW - 30 * DAY
    days = [  # (time, arrival) of the rows of each row group
        [(old, old), (None, old), (old, None)],
        [(old, old), (NOW + 90 * DAY, old), (old, None)],
        [(old, old), (None, None), (old, old)],  # of no known day: it may be news
        [(old, old), (old, old), (NOW, NOW)],
    ]
    times, arrivals = zip(*(row for rows in days for row in rows), strict=True)
    content = {name: pa.array([value] * len(times)) for name, value in TEXTS.items()}
    content |= {"timestamp": pa.array(times, TIMESTAMP), "bq_ingested_timestamp": pa.array(arrivals, TIMESTAMP)}
    pq.write_table(pa.table(content), tmp_path / "part-0.parquet", row_group_size=3)
    groups = row_groups([tmp_path / "part-0.parquet"], "in.events")
    assert [one.may_concern(WINDOW) for one in groups] == [True] * 4
    assert [one.index for one in needed(groups, WINDOW, "in.events")] == [2, 3]
    assert needed(groups, Window(), "in.events") == groups


@pytest.mark.parametrize("zone", ["UTC", None])
def test_statistics_that_are_no_datetime_of_pythons(tmp_path: Path, zone: str | None) -> None:
    kind = pa.timestamp("ns", zone)
    raw = [NOW * 1_000 + 123, NOW * 1_000 + 999]
    found = written(tmp_path, pa.array(raw, kind))
    assert (found.times.least, found.times.greatest) == (NOW, NOW + 1)
    far = 2**62  # the year 148,000
    found = written(tmp_path, pa.array([-far, far], pa.timestamp("us", zone)))
    assert (found.times.least, found.times.greatest) == (-far, far)


def test_times_of_96_bits_have_no_statistics_and_do_not_wrap(tmp_path: Path) -> None:
    moment = datetime(2300, 1, 1, tzinfo=UTC)
    column = pa.array([moment, moment + timedelta(days=1)], pa.timestamp("us", "UTC"))
    found = written(tmp_path, column, use_deprecated_int96_timestamps=True)
    assert found.times == Range()
    file = open_file(found.path, "in.events")
    assert binding(Path(found.path)).conform(next(file.iter_batches())).column("timestamp").to_pylist()[0] == moment


def test_groups_without_rows_are_none_and_bytes_are_those_that_are_read(tmp_path: Path) -> None:
    rows = [event(number, seconds=0) for number in range(100)]
    content = pa.Table.from_pylist(rows, tables.EVENTS.bare)
    pq.write_table(content, tmp_path / "slim.parquet")
    pq.write_table(content.append_column("extra", [[str(n) * 100 for n in range(100)]]), tmp_path / "wide.parquet")
    pq.write_table(content.slice(0, 0), tmp_path / "empty.parquet")
    empty, slim, wide = (tmp_path / f"{name}.parquet" for name in ("empty", "slim", "wide"))
    assert row_groups([empty], "in.events") == []
    [first], [second] = row_groups([slim], "in.events"), row_groups([wide], "in.events")
    assert first.bytes == second.bytes > 0
    assert first.times == Range(micros(at(0)), micros(at(0)), has_nulls=False)
    assert first.arrivals == Range(micros(at(60)), micros(at(60)), has_nulls=False)


def written(folder: Path, times: pa.Array, **options: Any) -> RowGroup:
    """The one row group of a file of events with these times and no arrival."""
    content = {name: pa.array([value] * len(times)) for name, value in TEXTS.items()} | {"timestamp": times}
    pq.write_table(pa.table(content), folder / "part-0.parquet", **options)
    [found] = row_groups([folder / "part-0.parquet"], "in.events")
    assert found.arrivals == NO_VALUES
    return found
