"""The set of a block's events: one event out of its copies, in order, bounded however many a session sends. Pure.

A set is slim event rows (`transforms.events.slim_rows.layout`) in no order, repeats and all; the union of two is both.
What it says is decided once, here:

* **One uuid, one event.** Rows of a session that agree in uuid, event name and distinct id are copies of one event. The
  latest arrival decides everything about it (one that is null comes last), then the earliest time, then its content in
  the order of the columns. The others are repetitions.
* **Order.** A session's events are in order of (time, uuid), then name, distinct id and content, so that "first" and
  "last" are the same whatever order the rows came in.
* **Bounded.** A session of more than `limit` events is *oversized*: `limit` of them stand for all, its first and its
  last, and those with the smallest keys (a mixture of the uuid's bits, so a sample that no order and no batch decides).
  `prune` leaves of any set what this needs: of each session at most limit + 3 rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from transforms.events.slim_rows import NO_ARRIVAL, WORD
from transforms.machinery.columns import Columns, TextColumn
from transforms.machinery.uuids import mix, uuid_texts
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.conditions import ALL, EVENT_NAME, Condition
from transforms.metrics.kinds.kind import Ratio

#: Keys of one sort are below this.
_FITS = 2**63
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class EventSet:
    """The events of one or more sessions, each once, by session and there in order; see `kinds.kind.SessionEvents`."""

    rows: Columns
    starts: Ints
    ends: Ints
    metrics: Metrics
    input_rows: Ints
    """Per session the rows that were read of it, copies included."""
    arrival: Ints
    """Per session the greatest arrival, µs."""
    oversized: Bools
    """Per session whether its events are a sample."""
    first_time: Ints
    """Per session the time of its first event, µs."""
    last_time: Ints
    """Per session the time of its last event, µs."""

    @property
    def times(self) -> Ints:
        """Per event its time, µs."""
        return self.rows.numbers["time"]

    @property
    def ahead(self) -> Bools:
        """Per event whether its time is later than its arrival."""
        lag = self.rows.numbers["lag"]
        found: Bools = (lag < 0) & (lag != NO_ARRIVAL)
        return found

    def matches(self, condition: Condition) -> Bools:
        """Per event whether it matches."""
        if condition == ALL:
            return np.ones(len(self.rows), bool)
        word, bit = divmod(self.metrics.needs.conditions.index(condition), WORD)
        found: Bools = (self.rows.numbers[f"bits{word}"] >> np.uint64(bit)) & np.uint64(1) != 0
        return found

    def text(self, name: str) -> TextColumn:
        """Per event the text of a property; its dictionary ascends."""
        return self.rows.texts[name if name == EVENT_NAME else f"text {name}"]

    def number(self, ratio: Ratio) -> npt.NDArray[np.float64]:
        """Per event the number, NaN for none."""
        return self.rows.numbers[f"number {self.metrics.needs.numbers.index(ratio)}"]


def resolve(rows: Columns, metrics: Metrics) -> EventSet:
    """The events of a set of at least one row."""
    limit = metrics.max_events_per_session
    group = _Grouped(rows)
    rows, starts = group.rows, group.starts
    times = rows.numbers["time"]
    input_rows = np.add.reduceat(rows.numbers["rows"], starts, dtype=np.int64)
    arrival = np.maximum.reduceat(_arrivals(rows), starts)
    first, last = starts, group.ends - 1
    copies = group.copies()
    oversized = np.zeros(len(starts), bool)
    if copies is not None or (group.ends - starts).max() > limit:
        keep = np.ones(len(rows), bool) if copies is None else ~copies
        oversized = np.add.reduceat(keep, starts, dtype=np.int64) > limit
        extremes = first[oversized], last[oversized]
        for session in np.flatnonzero(oversized).tolist():
            begin, end = int(starts[session]), int(group.ends[session])
            keep[begin:end] = _sample(group, begin, end, keep[begin:end], limit)
        times_of = times[extremes[0]], times[extremes[1]]
        rows = rows.take(keep)
        kept = np.cumsum(keep)
        ends = kept[group.ends - 1]
        starts = np.append(0, ends[:-1])
        times = rows.numbers["time"]
    else:
        ends, times_of = group.ends, (times[:0], times[:0])
    first_time, last_time = times[starts], times[ends - 1]
    first_time[oversized], last_time[oversized] = times_of
    return EventSet(rows, starts, ends, metrics, input_rows, arrival, oversized, first_time, last_time)


def prune(rows: Columns, limit: int) -> Columns:
    """A smaller set with the same events: of each session one row an event, and at most `limit` + 3.

    Of all rows of a session the first and the last in order stay, also where they are a copy that does not count: if
    the session turns out to be oversized, they are what is known of its begin and end, in whatever parts it came.
    """
    group = _Grouped(rows)
    rows = group.rows
    copies = group.copies()
    keep = np.ones(len(rows), bool) if copies is None else ~copies
    for session in np.flatnonzero(np.add.reduceat(keep, group.starts, dtype=np.int64) > limit + 1).tolist():
        begin, end = int(group.starts[session]), int(group.ends[session])
        events = np.flatnonzero(keep[begin:end])
        keep[begin:end] = False
        keep[begin + events[_by_key(rows.take(begin + events))[: limit + 1]]] = True
    keep[group.starts] = keep[group.ends - 1] = True
    if keep.all():
        return rows
    number = np.add.reduceat(rows.numbers["rows"], group.starts, dtype=np.int64)
    number -= np.add.reduceat(np.where(keep, rows.numbers["rows"], 0), group.starts, dtype=np.int64)
    latest = np.maximum.reduceat(_arrivals(rows), group.starts)
    # a session's first row stays, and takes over what the dropped ones stood for
    rows.numbers["rows"][group.starts] += number.astype(np.int32)
    lag = rows.numbers["lag"][group.starts]
    own = rows.numbers["time"][group.starts] + np.where(lag == NO_ARRIVAL, 0, lag)
    rows.numbers["later"][group.starts] = latest - own
    return rows.take(keep)


def _arrivals(rows: Columns) -> Ints:
    """The greatest arrival that each row stands for; its time where it has none."""
    lag = rows.numbers["lag"]
    found: Ints = rows.numbers["time"] + np.where(lag == NO_ARRIVAL, 0, lag) + rows.numbers["later"]
    return found


class _Grouped:
    """Rows by session, and there in order; `rows` are a copy."""

    def __init__(self, rows: Columns) -> None:
        high, low = rows.numbers["session_high"], rows.numbers["session_low"]
        key = mix(high, low)
        order = np.argsort(key)
        if _collide(key[order], high[order], low[order]):  # two ids of one mixture: by the ids themselves
            order = np.lexsort((low, high))
        high, low = high[order], low[order]
        begins = np.append(True, (high[1:] != high[:-1]) | (low[1:] != low[:-1]))
        session = np.cumsum(begins) - 1
        times = rows.numbers["time"][order]
        order = order[_by_time(session, times)]
        starts = np.flatnonzero(begins)
        self.starts: Ints = starts
        self.ends: Ints = np.append(starts[1:], len(order))
        self.session: Ints = session
        self.rows = _order_ties(rows.take(order), session)

    def copies(self) -> Bools | None:
        """Which rows are copies that do not count; None where there is none."""
        numbers, texts = self.rows.numbers, self.rows.texts
        key = mix(mix(numbers["uuid_high"], numbers["uuid_low"]), self.session.astype(np.uint64))
        ordered = np.sort(key)
        twice = ordered[1:][ordered[1:] == ordered[:-1]]
        if not len(twice):
            return None
        rows = np.flatnonzero(np.isin(key, twice))
        event = [
            self.session[rows],
            numbers["uuid_high"][rows],
            numbers["uuid_low"][rows],
            texts["event"].codes[rows],
            texts["distinct_id"].codes[rows],
        ]
        some = self.rows.take(rows)
        arrival = np.where(some.numbers["lag"] == NO_ARRIVAL, NO_ARRIVAL, some.numbers["time"] + some.numbers["lag"])
        # ascending, so that the last of each event's rows is the one that counts
        better = [arrival, -some.numbers["time"], *(-column for column in _content(some))]
        order = np.lexsort([*better[::-1], *event[::-1]])
        loses = np.ones(len(order), bool)
        loses[-1] = False
        same = np.ones(len(order) - 1, bool)
        for column in event:
            same &= column[order[1:]] == column[order[:-1]]
        loses[:-1] = same
        found = np.zeros(len(self.rows), bool)
        found[rows[order[loses]]] = True
        return found


def _content(rows: Columns) -> list[npt.NDArray[np.float64 | np.int64]]:
    """What a row says, as numbers that compare the same in every set: codes are ranks of texts there."""
    columns = [values for name, values in rows.numbers.items() if name.startswith(("bits", "number"))]
    columns += [column.codes for name, column in rows.texts.items() if name.startswith("text ")]
    return [np.unique(values, return_inverse=True)[1].astype(np.int64) for values in columns]


def _by_time(session: Ints, times: Ints) -> Ints:
    """Rows by (session, time), of rows by session already: one sort where both fit into 64 bits."""
    least, spread = int(times.min()), int(times.max()) - int(times.min())
    if (int(session[-1]) + 1) * (spread + 1) < _FITS:
        return np.argsort(session * np.int64(spread + 1) + (times - least))
    order = np.argsort(times)
    return order[np.argsort(session[order], kind="stable")]


def _order_ties(rows: Columns, session: Ints) -> Columns:
    """Rows by (session, time) → those of one time by uuid, name, distinct id, arrival and content as well."""
    times = rows.numbers["time"]
    same = (session[1:] == session[:-1]) & (times[1:] == times[:-1])
    if not same.any():
        return rows
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    some = rows.take(tied)
    keys = [
        session[tied],
        times[tied],
        *_uuid_order(some),
        some.texts["event"].codes,
        some.texts["distinct_id"].codes,
        some.numbers["lag"],
        *_content(some),
    ]
    order = np.arange(len(rows))
    order[tied] = tied[np.lexsort(keys[::-1])]
    return rows.take(order)


def _uuid_order(rows: Columns) -> tuple[npt.NDArray[np.uint64 | np.int64], ...]:
    """Columns that order rows as the texts of their uuids do."""
    high, low = rows.numbers["uuid_high"], rows.numbers["uuid_low"]
    other = rows.texts["uuid"]
    if (other.codes < 0).all():
        return high, low
    texts = pc.coalesce(other.texts(), uuid_texts(high, low)).to_pylist()
    rank = {text: place for place, text in enumerate(sorted(set(texts)))}
    return (np.array([rank[text] for text in texts], np.int64),)


def _by_key(rows: Columns) -> Ints:
    """Events by the key that samples are taken by."""
    high, low = rows.numbers["uuid_high"], rows.numbers["uuid_low"]
    names = rows.texts["event"].codes, rows.texts["distinct_id"].codes
    return np.lexsort((names[1], names[0], low, high, mix(high, low)))


def _sample(group: _Grouped, begin: int, end: int, counts: Bools, limit: int) -> Bools:
    """Which rows of an oversized session stand for it; `counts` are the rows that count in its whole set."""
    rows = group.rows.take(np.arange(begin, end))
    events = np.flatnonzero(counts)
    known = events[_by_key(rows.take(events))[: limit + 1]]  # all that a pruned set is sure to have
    chosen: list[int] = []
    for extreme in (0, end - begin - 1):
        same = known[_same_event(rows, extreme, known)]
        row = int(same[0]) if len(same) else extreme
        if len(chosen) < limit and not _same_event(rows, row, np.array(chosen, int)).any():
            chosen.append(row)
    rest = known[~np.isin(known, chosen)][: limit - len(chosen)]
    found = np.zeros(end - begin, bool)
    found[chosen] = found[rest] = True
    return found


def _same_event(rows: Columns, row: int, among: Ints) -> Bools:
    found = np.ones(len(among), bool)
    for values in (
        rows.numbers["uuid_high"],
        rows.numbers["uuid_low"],
        rows.texts["event"].codes,
        rows.texts["distinct_id"].codes,
    ):
        found &= values[among] == values[row]
    return found


def _collide(key: npt.NDArray[np.uint64], high: npt.NDArray[np.uint64], low: npt.NDArray[np.uint64]) -> bool:
    same = key[1:] == key[:-1]
    return bool((same & ((high[1:] != high[:-1]) | (low[1:] != low[:-1]))).any())
