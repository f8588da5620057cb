"""Which news of very late events a run has seen before, so that no session waits for what is in its row already.

What arrived within the overlap is news to the next run once more. Of most of it that run makes the sessions again; but
rows that happened before its window it could only list, and after a history was loaded in one go that is all of them.
So the ledger remembers what a run has looked at: of every late arrival (exact, as exports give whole loads one) the sum
of its rows' hashes. Up to the first arrival whose sum is another one the source brings nothing new: these rows are in
the rows of their sessions, or the ledger lists those.

The sums are of all rows that arrived more than the lateness after they happened, whatever became of them, so that they
depend on nothing but the source.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.incremental.unsettled import NEWEST
from transforms.incremental.window import EVER, UNSEEN, Window
from transforms.machinery.uuids import Ids, Words, mix
from transforms.schemas.fields import INTEGER

#: What a run has found: an arrival (µs), the sum of the hashes of the late rows with it (wrapping).
FOUND = pa.schema([pa.field("arrival", INTEGER), pa.field("sum", INTEGER)])
NOTHING = pa.RecordBatch.from_pylist([], schema=FOUND)
#: The greatest arrivals that are remembered: a year of hourly loads and more, up to 190 KB of text.
MOST = 10_000

_Ints = npt.NDArray[np.int64]


def hashes(events: Ids, sessions: Ids, stamps: _Ints) -> Words:
    """What tells rows apart: the event's id, its session's, and its time."""
    return mix(mix(events.high, events.low) + stamps.view(np.uint64), mix(sessions.high, sessions.low))


def found(arrivals: _Ints, words: Words) -> pa.RecordBatch:
    """`FOUND` of some rows, by arrival; the `MOST` greatest."""
    known, row = np.unique(arrivals, return_inverse=True)
    sums = np.zeros(len(known), np.uint64)
    np.add.at(sums, row, words)
    return pa.RecordBatch.from_arrays([known[-MOST:], sums[-MOST:].view(np.int64)], schema=FOUND)


def merge_found(parts: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
    """`FOUND` of all rows, from those of their parts; commutative and associative."""
    rows = pa.Table.from_batches([NOTHING, *parts])
    return found(rows.column("arrival").to_numpy(), rows.column("sum").to_numpy().view(np.uint64))


@dataclass(frozen=True)
class Seen:
    """What the ledger remembers of it."""

    since: int
    """Of arrivals from here on all is known, µs."""
    lateness: int
    """The rows that arrived so long after they happened, µs."""
    sums: dict[int, int]
    """Arrival → sum."""

    @classmethod
    def of(cls, text: str | None) -> Seen | None:
        """From the column of the ledger; None where an earlier version, or a run without arrivals, has left none."""
        if text is None:
            return None
        raw = json.loads(text)
        numbers = np.frombuffer(zlib.decompress(base64.b64decode(raw["sums"])), "<i8").reshape(2, -1)
        arrivals = np.cumsum(numbers[0]).tolist()
        return cls(raw["since"], raw["lateness"], dict(zip(arrivals, numbers[1].tolist(), strict=True)))

    def text(self) -> str:
        """For the column of the ledger."""
        arrivals = np.array(sorted(self.sums), np.int64)
        numbers = [np.diff(arrivals, prepend=0), np.array([self.sums[one] for one in arrivals.tolist()], np.int64)]
        packed = zlib.compress(np.concatenate(numbers).astype("<i8").tobytes())
        sums = base64.b64encode(packed).decode()
        return json.dumps({"since": self.since, "lateness": self.lateness, "sums": sums})


def news_only(
    waiting: pa.RecordBatch, window: Window, before: Seen | None, now: pa.RecordBatch
) -> Iterator[pa.RecordBatch]:
    """Of `UNSETTLED` rows those that wait for more than what was seen before; arguments as of `new_since`."""
    yield waiting.filter(pc.greater_equal(waiting.column(NEWEST), new_since(window, before, now)))


def seen_after(window: Window, now: pa.RecordBatch, reached: int | None) -> Seen | None:
    """What is known after a run of this window; None where it has not looked for all news, or nothing has arrived.

    Args:
      window: of the run.
      now: `FOUND` of all its rows.
      reached: the watermark after it, µs, None for none; what arrived longer before than the overlap is no news
        anymore.
    """
    if window.lateness is None or reached is None:
        return None
    since = max(_complete(window, now), reached - window.overlap)
    return Seen(since, window.lateness, {one: number for one, number in _by_arrival(now).items() if one >= since})


def new_since(window: Window, before: Seen | None, now: pa.RecordBatch) -> int:
    """The first arrival of which late rows may be news, `UNSEEN` where none are: what is not remembered always is.

    Args:
      window: of the run.
      before: what was known before it.
      now: `FOUND` of all its rows.
    """
    if window.new_from is None:
        return EVER
    complete = _complete(window, now)
    if before is None or before.lateness != window.lateness or max(before.since, complete) > window.new_from:
        return window.new_from
    sums = _by_arrival(now)
    news = (one for one in sums.keys() | before.sums.keys() if sums.get(one) != before.sums.get(one))
    return min((one for one in news if one >= window.new_from), default=UNSEEN)


def _complete(window: Window, now: pa.RecordBatch) -> int:
    """From which arrival on `now` holds all late rows."""
    least = now.column("arrival")[0].as_py() if now.num_rows == MOST else EVER
    return least if window.new_from is None else max(least, window.new_from)


def _by_arrival(now: pa.RecordBatch) -> dict[int, int]:
    return dict(zip(now.column("arrival").to_pylist(), now.column("sum").to_pylist(), strict=True))
