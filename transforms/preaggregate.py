"""A batch of kept events → one `SessionAccumulator` a session, all sessions of the batch at once.

Sessions, not events, go through the shuffle. The result equals merging single-event accumulators, but
costs a few numpy passes over the batch instead of Python per event.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.events import DecodedEvents
from transforms.metrics import Metrics
from transforms.properties import TextColumn
from transforms.session_accumulator import (
    MAX_DISTINCT,
    MAX_DISTINCT_IDS,
    Edge,
    SessionAccumulator,
)

_Ints = npt.NDArray[np.int64]


def preaggregate(events: DecodedEvents, metrics: Metrics) -> Iterator[tuple[str, SessionAccumulator]]:
    """(session id, accumulator) for every session of the batch, in no particular order."""
    if not len(events.timestamps):
        return
    codes = events.sessions.codes
    by_time = _by_time(events)
    groups = _Groups(codes[by_time])
    stamps = events.timestamps[by_time]
    ends = groups.ends - 1
    arrivals = np.maximum.reduceat(events.arrivals[by_time], groups.starts).tolist()
    flags = np.bitwise_or.reduceat(events.flags[by_time], groups.starts).tolist()
    maxima = [np.fmax.reduceat(values[by_time], groups.starts).tolist() for values in events.maxima]
    edge_finder = _Edges(events, by_time, groups)
    first_ids = edge_finder.find(events.distinct_ids, last=False)
    edges = [edge_finder.find(events.texts[entry.property or ""], last=entry.kind == "last") for entry in metrics.edges]
    packed = _PackedEvents(events, groups, metrics.max_events_per_session)
    distinct_ids = _distinct_ids(events, groups)
    distincts = [_hashes(codes, events.texts[entry.property or ""], groups) for entry in metrics.distincts]
    first_stamps, last_stamps = stamps[groups.starts].tolist(), stamps[ends].tolist()
    rows = (groups.ends - groups.starts).tolist()
    names = events.sessions.values
    for i, code in enumerate(groups.codes.tolist()):
        keys, masks, oversized = packed.of(i)
        first_id = first_ids[i]
        assert first_id is not None, "every kept event has a distinct id"
        yield (
            names[code],
            SessionAccumulator(
                rows[i],
                first_stamps[i],
                last_stamps[i],
                arrivals[i],
                flags[i],
                keys,
                masks,
                True,
                oversized,
                distinct_ids[i],
                tuple([column[i] for column in distincts]),
                tuple([None if column[i] != column[i] else column[i] for column in maxima]),
                first_id,
                tuple([column[i] for column in edges]),
            ),
        )


def _sorted(codes: npt.NDArray[np.int32], values: npt.NDArray[Any]) -> _Ints:
    """Rows by (code, value): several times as fast as `np.lexsort`, but equal rows are in no certain order."""
    order = np.argsort(values)
    return order[np.argsort(codes[order], kind="stable")]


def _by_time(events: DecodedEvents) -> _Ints:
    """Rows by (session, timestamp, uuid); the few that need the uuid are sorted once more."""
    codes, stamps = events.sessions.codes, events.timestamps
    order = _sorted(codes, stamps)
    same = (np.diff(codes[order]) == 0) & (np.diff(stamps[order]) == 0)
    tied = np.flatnonzero(np.append(same, False) | np.append(False, same))
    rows = order[tied]
    high, low = events.ids.order
    order[tied] = rows[np.lexsort((low[rows], high[rows], stamps[rows], codes[rows]))]
    return order


class _Groups:
    """Runs of equal values in a sorted code column: group i is rows starts[i] to ends[i]."""

    def __init__(self, sorted_codes: npt.NDArray[np.int32]) -> None:
        self.starts: _Ints = np.flatnonzero(np.diff(sorted_codes, prepend=-1))
        self.ends: _Ints = np.append(self.starts[1:], len(sorted_codes))
        self.codes = sorted_codes[self.starts]

    def bounds(self, sorted_codes: npt.NDArray[np.int32]) -> list[int]:
        """Where each group begins in another column sorted by the same codes, and where the last ends."""
        return [*np.searchsorted(sorted_codes, self.codes).tolist(), len(sorted_codes)]


class _Edges:
    """First and last non-null values by (timestamp, uuid, value)."""

    def __init__(self, events: DecodedEvents, by_time: _Ints, groups: _Groups) -> None:
        self._events, self._by_time, self._groups = events, by_time, groups
        self._stamps = events.timestamps
        high, low = (order[by_time] for order in events.ids.order)
        stamps, codes = events.timestamps[by_time], events.sessions.codes[by_time]
        # rows that the sort could not tell apart: one uuid, one time, perhaps different values
        self._tied = np.flatnonzero(
            (np.diff(codes) == 0) & (np.diff(stamps) == 0) & (high[1:] == high[:-1]) & (low[1:] == low[:-1])
        )

    def find(self, column: TextColumn, *, last: bool) -> list[Edge | None]:
        """Per group the edge of a text column."""
        order = self._by_time
        codes = column.codes[order]
        if (codes[self._tied] != codes[self._tied + 1]).any():
            rank = np.argsort(np.argsort(np.array([*column.values, ""], object)))[column.codes]
            high, low = self._events.ids.order
            order = np.lexsort((rank, low, high, self._stamps, self._events.sessions.codes))
            codes = column.codes[order]
        position = np.arange(len(codes))
        if last:
            found = np.maximum.reduceat(np.where(codes >= 0, position, -1), self._groups.starts)
            missing = found < 0
        else:
            found = np.minimum.reduceat(np.where(codes >= 0, position, len(codes)), self._groups.starts)
            missing = found == len(codes)
        rows = order[np.where(missing, 0, found)]
        values, packed = column.values, self._events.ids.packed_of
        return [
            None if absent else (stamp, packed(row), values[code])
            for absent, stamp, row, code in zip(
                missing.tolist(),
                self._stamps[rows].tolist(),
                rows.tolist(),
                column.codes[rows].tolist(),
                strict=True,
            )
        ]


class _PackedEvents:
    """Per group its unique event keys, ascending, and the union of the masks of rows with one key."""

    def __init__(self, events: DecodedEvents, groups: _Groups, limit: int) -> None:
        order = _sorted(events.sessions.codes, events.ids.keys)
        keys, codes = events.ids.keys[order], events.sessions.codes[order]
        unique = np.flatnonzero(np.append(True, (np.diff(codes) != 0) | (keys[1:] != keys[:-1])))
        self._masks = np.bitwise_or.reduceat(events.masks[order], unique).astype("<u2", copy=False).tobytes()
        self._keys = keys[unique].astype("<u8", copy=False).tobytes()
        self._bounds = groups.bounds(codes[unique])
        self._limit = limit

    def of(self, group: int) -> tuple[bytes, bytes, bool]:
        """(keys, masks, whether some were left out)."""
        begin, end = self._bounds[group], self._bounds[group + 1]
        stop = min(end, begin + self._limit)
        return self._keys[8 * begin : 8 * stop], self._masks[2 * begin : 2 * stop], stop < end


def _distinct_ids(events: DecodedEvents, groups: _Groups) -> list[tuple[str, ...]]:
    column = events.distinct_ids
    order = np.lexsort((column.codes, events.sessions.codes))
    ids = column.codes[order]
    firsts, lasts = ids[groups.starts].tolist(), ids[groups.ends - 1].tolist()
    singles = [(value,) for value in column.values]
    return [
        singles[first]
        if first == last
        else tuple(sorted({column.values[code] for code in ids[begin:end].tolist()}))[:MAX_DISTINCT_IDS]
        for first, last, begin, end in zip(firsts, lasts, groups.starts.tolist(), groups.ends.tolist(), strict=True)
    ]


def _hashes(sessions: npt.NDArray[np.int32], column: TextColumn, groups: _Groups) -> list[bytes]:
    table = np.array([text_hash(value) for value in column.values], np.uint64)
    there = np.flatnonzero(column.codes >= 0)
    hashes, codes = table[column.codes[there]], sessions[there]
    order = np.lexsort((hashes, codes))
    hashes, codes = hashes[order], codes[order]
    if len(codes):
        unique = np.append(True, (np.diff(codes) != 0) | (hashes[1:] != hashes[:-1]))
        hashes, codes = hashes[unique], codes[unique]
    packed = hashes.astype("<u8", copy=False).tobytes()
    bounds = groups.bounds(codes)
    return [packed[8 * begin : 8 * min(end, begin + MAX_DISTINCT)] for begin, end in itertools.pairwise(bounds)]


def text_hash(text: str) -> int:
    """64 bits that stand for a text in a distinct count, within one run."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
