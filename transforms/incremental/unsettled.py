"""Sessions that a run knows to be incomplete: which they are, and the days whose backfill settles them.

The ledger is the memory: what a run could not settle is given to the next one, so that a session of which a part lies
before the window is not taken for whole a night later. `MAX_LISTED` ids are remembered, the days of all.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import apache_beam as beam
import pyarrow as pa

from transforms.incremental.window import EVENT_TIME, NEVER, Window
from transforms.machinery.guard import guarded
from transforms.machinery.times import column_micros, micros
from transforms.schemas.fields import INTEGER, TIMESTAMP, columns_of
from transforms.schemas.inputs import EVENTS
from transforms.schemas.outputs import SESSION

#: Names of sessions that the ledger lists; their number and their days are complete.
MAX_LISTED = 1_000
#: The latest arrival (µs) that is a reason why a session waits, `NEVER` for any other reason.
NEWEST = "newest"
#: A session, the time of its earliest event that is known, and `NEWEST`.
UNSETTLED = pa.schema([*columns_of(SESSION, "session_id"), *columns_of(EVENTS, EVENT_TIME), pa.field(NEWEST, INTEGER)])
_EPOCH = date(1970, 1, 1)
_DAY = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Unsettled:
    """What the ledger says of them."""

    sessions: Sequence[str] = ()
    """The first `MAX_LISTED` ids, by day."""
    session_days: Sequence[str] = ()
    """The day (UTC, ISO) of each, whose backfill settles it."""
    days: str = "{}"
    """JSON: day → sessions, all of them."""

    @property
    def numbers(self) -> dict[str, int]:
        """`days`, read."""
        numbers: dict[str, int] = json.loads(self.days)
        return numbers

    @property
    def total(self) -> int:
        """How many there are."""
        return sum(self.numbers.values())

    @property
    def has_unlisted(self) -> bool:
        """Whether there are more than are listed."""
        return self.total > len(self.sessions)

    def rows(self) -> pa.RecordBatch:
        """`UNSETTLED` rows of those that are listed; of their time no more than the day is known."""
        times = [micros(datetime.fromisoformat(day).replace(tzinfo=UTC)) for day in self.session_days]
        return unsettled_rows(self.sessions, times, [NEVER] * len(times))

    def reach(self, window: Window) -> bool:
        """Whether one belongs to the days of a backfill."""
        return any(_covers(window, day) for day in self.numbers)

    def not_listed(self, window: Window) -> dict[str, int]:
        """Day → those without a name, of days that a run of this window does not settle."""
        if window.is_full:
            return {}
        left = Counter(self.numbers)
        left.subtract(self.session_days)
        return {day: number for day, number in left.items() if number > 0 and not _covers(window, day)}

    def with_others(self, others: Mapping[str, int]) -> Unsettled:
        """These and so many without a name, by day."""
        numbers = Counter(self.numbers) + Counter(others)
        return Unsettled(self.sessions, self.session_days, json.dumps(numbers, sort_keys=True))


def _covers(window: Window, day: str) -> bool:
    """Whether a run reads sessions of this day whole."""
    begin = (date.fromisoformat(day) - _EPOCH).days * _DAY
    if window.days is not None:
        return window.days[0] <= begin < window.days[1]
    # of those without a row nothing is concluded in the window's first day
    first = window.scan_start if window.whole_from is None else window.whole_from
    return first is None or begin >= first


#: A session that waits, as they are listed: its day (UTC, ISO), its id.
Waits = tuple[str, str]


def unsettled_of(waits: Iterable[Waits], numbers: Mapping[str, int]) -> Unsettled:
    """The first of those that wait, and day → sessions."""
    first = heapq.nsmallest(MAX_LISTED, waits)
    days, ids = zip(*first, strict=True) if first else ((), ())
    return Unsettled(ids, days, json.dumps(numbers, sort_keys=True))


_Part = tuple[Counter[str], list[Waits]]


@guarded("listing of sessions")
@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(Unsettled)
class ListUnsettled(beam.CombineFn):
    """`UNSETTLED` rows of each session once → `Unsettled`; an accumulator holds numbers by day and the first ids."""

    def create_accumulator(self) -> _Part:
        """Nothing."""
        return Counter(), []

    def add_input(self, part: _Part, sessions: pa.RecordBatch) -> _Part:
        """Some sessions more."""
        numbers, waits = part
        days = [_day(micros) for micros in column_micros(sessions.column(EVENT_TIME)).tolist()]
        numbers.update(days)
        waits += zip(days, sessions.column("session_id").to_pylist(), strict=True)
        return (numbers, waits) if len(waits) < 2 * MAX_LISTED else self.compact(part)

    def merge_accumulators(self, parts: Iterable[_Part]) -> _Part:
        """All of them."""
        numbers, waits = Counter[str](), list[Waits]()
        for some, more in parts:
            numbers += some
            waits += more
        return self.compact((numbers, waits))

    def compact(self, part: _Part) -> _Part:
        """Only those that can be listed."""
        return part[0], heapq.nsmallest(MAX_LISTED, part[1])

    def extract_output(self, part: _Part) -> Unsettled:
        """The list."""
        return unsettled_of(part[1], part[0])


def _day(micros: int) -> str:
    return str(_EPOCH + timedelta(days=micros // _DAY))


def unsettled_rows(sessions: Iterable[str], times: Iterable[int], newest: Iterable[int]) -> pa.RecordBatch:
    """`UNSETTLED` rows of these sessions, times (µs) and `NEWEST`."""
    moments = pa.array(list(times), INTEGER).cast(TIMESTAMP)
    columns = [pa.array(list(sessions), pa.string()), moments, pa.array(list(newest), INTEGER)]
    return pa.RecordBatch.from_arrays(columns, schema=UNSETTLED)
