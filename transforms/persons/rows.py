"""Session rows → person rows: the second combine.

All sessions with one `person_id` are a person. What is moved is the columns of session rows that persons are made from,
in blocks of persons, and one pass makes all persons of a block. Sums are of integers (µs and counts), exact however
large, and floats are made once, at the end, so that a person's numbers do not depend on the order of sessions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import PCollection

from transforms.machinery.blocks import cut, pack_rows, text_blocks, unpack_rows
from transforms.machinery.columns import TextColumn, dictionary
from transforms.machinery.combine import SetCombineFn, Slice
from transforms.machinery.counts import NAMESPACE
from transforms.machinery.record_batches import columns_to_batch
from transforms.machinery.steps import flat_map
from transforms.machinery.times import dates
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.every_session import START_DATE
from transforms.metrics.kinds.texts import first_text, last_text
from transforms.schemas.fields import bare, columns_of
from transforms.schemas.inputs import PROFILE
from transforms.schemas.outputs import CREATED

_DAY = 86_400_000_000
_MICROS = 1_000_000
_PROFILE = [one.name for one in PROFILE]
_CREATED = [one.name for one in CREATED]
_CHANNEL = "channel_type"
#: Sessions of a block that wait for nothing; beyond, repetitions are dropped first.
_BOUND = 1_000_000
Ints = npt.NDArray[np.int64]


def moved_schema(metrics: Metrics, sessions: pa.Schema) -> pa.Schema:
    """The columns of session rows that persons are made from."""
    names = ["person_id", "session_id", "start_timestamp", "end_timestamp", START_DATE, "is_engaged", "user_id"]
    columns = columns_of(sessions, *names, _CHANNEL, *_PROFILE, *metrics.rolled_up)
    return pa.schema([*columns, *bare(CREATED)])


@dataclass(frozen=True)
class Persons:
    """The sessions of a block's persons, each once, by person and there in order; see `kinds.kind.PersonSessions`."""

    rows: pa.RecordBatch
    starts: Ints
    sizes: Ints

    def ints(self, name: str) -> Ints:
        """Per session the value of a flag or count."""
        return np.asarray(self.rows.column(name).cast(pa.int64()).to_numpy())

    def floats(self, name: str) -> npt.NDArray[np.float64]:
        """Per session the value of a number, NaN for none."""
        return np.asarray(self.rows.column(name).cast(pa.float64()).fill_null(math.nan).to_numpy())

    def times(self, name: str) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """Per session a time, µs, and whether there is one."""
        column = self.rows.column(name)
        return np.asarray(column.view(pa.int64()).fill_null(0).to_numpy()), np.asarray(column.is_valid())

    def texts(self, name: str) -> TextColumn:
        """Per session the value of a text column."""
        return dictionary(self.rows.column(name))

    def days(self, name: str) -> Ints:
        """Per session a date, days since the epoch."""
        return np.asarray(self.rows.column(name).view(pa.int32()).to_numpy().astype(np.int64))

    def micros(self, name: str) -> Ints:
        """Per session a time, µs."""
        return np.asarray(self.rows.column(name).view(pa.int64()).to_numpy())


def by_person(rows: pa.RecordBatch) -> Persons:
    """Sessions by (person, start, session id), each once."""
    order = pc.sort_indices(
        rows, sort_keys=[(name, "ascending") for name in ("person_id", "start_timestamp", "session_id")]
    )
    rows = rows.take(order)
    sessions = rows.column("session_id").dictionary_encode()
    if len(sessions.dictionary) < rows.num_rows:
        _, first = np.unique(sessions.indices.to_numpy(), return_index=True)
        rows = rows.take(pa.array(np.sort(first)))
    people = rows.column("person_id").dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(people, prepend=-1))
    return Persons(rows, starts, np.diff(np.append(starts, len(people))))


def person_rows(rows: pa.RecordBatch, metrics: Metrics, schema: pa.Schema) -> pa.RecordBatch:
    """Session rows (`moved_schema`) of all sessions of some persons → their rows, with `schema`."""
    if not rows.num_rows:
        return pa.RecordBatch.from_pylist([], schema=schema)
    sessions = by_person(rows)
    starts, sizes = sessions.starts, sessions.sizes
    begin = sessions.micros("start_timestamp")
    first, last = begin[starts], begin[starts + sizes - 1]
    days = (last - first) / _DAY
    active = np.zeros(len(begin), bool)
    for name in metrics.engagement_flags:
        active |= sessions.ints(name) > 0
    values: dict[str, Any] = {
        "total_sessions": sizes,
        "engaged_sessions": np.add.reduceat(sessions.ints("is_engaged"), starts),
        **_durations(sessions.micros("end_timestamp") - begin, starts, sizes),
        "first_session_date": first,
        "last_session_date": last,
        "days_since_first_session": days,
        "sessions_per_day": sizes / (days + 1),
        **_activity(sessions.days(START_DATE), starts, sizes, metrics.inactive_days),
        "engagement_score": np.add.reduceat(active.astype(np.int64), starts) / sizes,
        "first_touch_channel": first_text(sessions.texts(_CHANNEL), starts),
        "latest_touch_channel": last_text(sessions.texts(_CHANNEL), starts, starts + sizes),
        **{column.name: column.of(sessions) for column in metrics.rollups},
    }
    one = sessions.rows.take(pa.array(starts))  # what is of the user is the same in all sessions of a person
    values |= {name: one.column(name) for name in ("person_id", "user_id", *_PROFILE, *_CREATED)}
    return columns_to_batch(values, schema)


def _activity(days: Ints, starts: Ints, sizes: Ints, inactive_days: int) -> dict[str, Any]:
    """What the days of sessions say."""
    days = days[np.lexsort((days, np.repeat(np.arange(len(starts)), sizes)))]  # clocks that go back can repeat a day
    gaps = np.diff(days, prepend=0)
    gaps[starts] = 0
    return {
        "active_days": np.add.reduceat(gaps > 0, starts, dtype=np.int64) + 1,
        "first_active_date": dates(days[starts]),
        "last_active_date": dates(days[starts + sizes - 1]),
        "longest_gap_days": np.maximum.reduceat(gaps, starts),
        "times_churned": np.add.reduceat(gaps > inactive_days, starts, dtype=np.int64),
    }


def _durations(micros: Ints, starts: Ints, sizes: Ints) -> dict[str, Any]:
    """Seconds of sessions: exact sums of any size, as Python's integers."""
    exact = micros.astype(object)
    totals = np.add.reduceat(exact, starts)
    squares = np.add.reduceat(exact * exact, starts)
    ordered = micros[np.lexsort((micros, np.repeat(np.arange(len(starts)), sizes)))]
    middle = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2
    return {
        "avg_session_duration": totals / (sizes * _MICROS),
        "median_session_duration": middle / _MICROS,
        "total_session_duration": totals / _MICROS,
        "min_session_duration": np.minimum.reduceat(micros, starts) / _MICROS,
        "max_session_duration": np.maximum.reduceat(micros, starts) / _MICROS,
        "std_session_duration": [
            _deviation(number, total, square)
            for number, total, square in zip(sizes.tolist(), totals, squares, strict=True)
        ],
    }


def _deviation(number: int, total: int, squares: int) -> float | None:
    """Sample deviation in seconds, exact until the root; null for one session."""
    if number < 2:
        return None
    return math.sqrt((number * squares - total * total) / (number * (number - 1))) / _MICROS


class PersonCombineFn(SetCombineFn):
    """Slices of session rows of a block of persons → the rows of those persons.

    Every session of a person counts, however many they are: a million take about 200 MB.
    """

    width = BeamMetrics.distribution(NAMESPACE, "person_merge_width")

    def __init__(self, metrics: Metrics, sessions: pa.Schema, schema: pa.Schema, bound: int = _BOUND) -> None:
        super().__init__(bound)
        self._metrics, self._schema, self._moved = metrics, schema, moved_schema(metrics, sessions)

    def prune(self, slices: Sequence[bytes]) -> Slice:
        """Each session once."""
        rows = by_person(self._unpack(slices)).rows
        return rows.num_rows, pack_rows(rows)

    def output(self, slices: Sequence[bytes]) -> pa.RecordBatch:
        """See `person_rows`."""
        return person_rows(self._unpack(slices), self._metrics, self._schema)

    def _unpack(self, slices: Sequence[bytes]) -> pa.RecordBatch:
        if not slices:
            return pa.RecordBatch.from_pylist([], schema=self._moved)
        return pa.concat_batches([unpack_rows(packed, self._moved) for packed in slices])


def deal(rows: pa.RecordBatch, schema: pa.Schema, blocks: int) -> Iterator[tuple[str, Slice]]:
    """Session rows → (block of persons, slice of the columns of `schema`)."""
    moved = rows.select(schema.names)
    people = text_blocks(rows.column("person_id"), blocks)
    sizes = dict(zip(*(found.tolist() for found in np.unique(people, return_counts=True)), strict=True))
    for (_, size), (block, packed) in zip(sorted(sizes.items()), cut(moved, people), strict=True):
        yield block, (size, packed)


class AggregatePersons(beam.PTransform):
    """Record batches of session rows (`sessions`) → record batches of person rows with `schema`.

    The join before gives all sessions of a block of persons at once, so a slice is a whole block, and no person is a
    hot key.
    """

    def __init__(self, metrics: Metrics, sessions: pa.Schema, schema: pa.Schema, blocks: int) -> None:
        super().__init__()
        self._combine = PersonCombineFn(metrics, sessions, schema)
        self._moved, self._blocks = moved_schema(metrics, sessions), blocks

    def expand(self, sessions: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """One shuffle by block of persons."""
        return (
            sessions
            | "Key by person" >> flat_map(deal, self._moved, self._blocks, gives=tuple[str, Slice])
            | "Combine per person" >> beam.CombinePerKey(self._combine)
            | "Persons" >> beam.Values().with_output_types(pa.RecordBatch)
        )
