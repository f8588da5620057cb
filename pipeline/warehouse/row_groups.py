"""Which row groups of the events a run must read: from the statistics in their footers, then from their times.

The rule is `Window.wanted`, asked of ranges. Statistics skip nulls, so a group that may hold a null has rows beside its
range; and not every one of them is a datetime of Python's, so they are taken as the integers that they are.

A range says little where a single row is odd: one time to come, or a null in either column, and a group of any day may
hold a row of the run. Its two columns of times are a hundredth of its bytes, so they are read to see.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.tables import EVENTS
from pipeline.warehouse.parquet import binding_of, open_file, raw_batches
from transforms.incremental.window import ARRIVAL_TIME, EVENT_TIME, NO_VALUES, UNKNOWN, Range, Window, may_hold
from transforms.machinery.times import micros_or_null

#: The events as far as `Window.wanted` asks for them.
_TIMES = replace(EVENTS, schema=pa.schema([EVENTS.schema.field(name) for name in (EVENT_TIME, ARRIVAL_TIME)]))
#: Units of Parquet's timestamps → how many make a µs, or how many µs one makes.
_UNITS = {"milliseconds": (1_000, 1), "microseconds": (1, 1), "nanoseconds": (1, 1_000)}


@dataclass(frozen=True)
class RowGroup:
    """One row group of the events: where it is and what its statistics say."""

    path: str
    index: int
    rows: int
    bytes: int
    """Compressed bytes of the columns that are read."""
    times: Range = UNKNOWN
    arrivals: Range = UNKNOWN

    def may_concern(self, window: Window) -> bool:
        """Whether it can hold a row that a run of this window must see, by its statistics."""
        return window.is_full or may_hold(window.wanted, {EVENT_TIME: self.times, ARRIVAL_TIME: self.arrivals})


def row_groups(files: Sequence[Path], label: str) -> list[RowGroup]:
    """All row groups of the events that have rows."""
    found: list[RowGroup] = []
    for path in files:
        file = open_file(path, label)
        metadata = file.metadata
        if not metadata.num_rows:
            continue
        binding = binding_of(file, path, EVENTS, label)
        wanted = set(binding.names)
        paths = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
        places = {name: paths.index(source) for name, source in binding.sources.items() if source in paths}
        read = [number for number, path in enumerate(paths) if path.split(".")[0] in wanted]
        for index in range(metadata.num_row_groups):
            group = metadata.row_group(index)
            if group.num_rows:
                size = sum(group.column(number).total_compressed_size for number in read)
                times, arrivals = (
                    _range(file, group, places[name]) if name in places else NO_VALUES
                    for name in (EVENT_TIME, ARRIVAL_TIME)
                )
                found.append(RowGroup(str(path), index, group.num_rows, size, times, arrivals))
    return found


def needed(groups: Sequence[RowGroup], window: Window, label: str) -> list[RowGroup]:
    """Those that hold a row that a run of this window must see.

    Raises:
      RunError: the times of one that may hold such a row cannot be read.
    """
    if window.is_full:
        return list(groups)
    found: list[RowGroup] = []
    candidates = (group for group in groups if group.may_concern(window))
    for path, of_file in itertools.groupby(candidates, attrgetter("path")):
        file = open_file(path, label)
        binding = binding_of(file, path, _TIMES, label)
        for group in of_file:
            times = map(binding.conform, raw_batches(file, (path, (group.index,)), binding, label))
            if any(_concerns(batch, window) for batch in times):
                found.append(group)
    return found


def _concerns(times: pa.RecordBatch, window: Window) -> bool:
    return bool(window.concerns(*(micros_or_null(times.column(name)) for name in (EVENT_TIME, ARRIVAL_TIME))).any())


def _range(file: pq.ParquetFile, group: pq.RowGroupMetaData, place: int) -> Range:
    """What is known of a timestamp column, in µs."""
    statistics = group.column(place).statistics
    if statistics is None:
        return UNKNOWN
    nulls = not statistics.has_null_count or statistics.null_count > 0
    if statistics.has_null_count and statistics.null_count == group.num_rows:
        return NO_VALUES
    unit = json.loads(file.metadata.schema.column(place).logical_type.to_json()).get("timeUnit")
    if not statistics.has_min_max or statistics.physical_type != "INT64" or unit not in _UNITS:
        return Range(has_nulls=nulls)
    times, parts = _UNITS[unit]
    # nanoseconds are cut when they are read: outwards here, so that the range holds them either way
    return Range(statistics.min_raw * times // parts, -(-statistics.max_raw * times // parts), has_nulls=nulls)
