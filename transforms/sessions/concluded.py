"""Of which sessions a run concludes something: whose fresh facts count, which rows stay, which wait for a backfill.

A full load concludes everything. Other runs conclude only what they have read whole:

* An incremental run has read every event from the beginning of its window on. A session counts as read whole when
  nothing of it is known from before: neither its published row begins there, nor one of its events, new or of a run
  before, was left out because it lies there. Such a session is made from this run's facts, touched or not, which also
  brings in what came later than the overlap. Of any other session the published row stays, or it stays unpublished; it
  is listed when one of its events is new, and as long as it waits. Where people are excluded, or more sessions wait
  than are listed, not having a row may mean that the session is one of those, and the event that says so may lie before
  the window: of a session that begins in the window's first day (`Window.whole_from`) and has no row nothing is
  concluded.
* A backfill concludes the sessions that start in its days, now or as published or as listed. `pipeline.plan` makes it
  read the published ones to their ends. One that begins before what is read belongs to other days; one that turns out
  to reach beyond it is listed, and then the next backfill of its day reads on.

Being excluded needs no events: a row of which all distinct ids are excluded goes in every run. A row of which only some
are stays until a run reads it whole.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.ids.excluded import Excluded
from transforms.incremental.unsettled import NEWEST
from transforms.incremental.window import EVER, NEVER, Window
from transforms.machinery.keys import grouped
from transforms.machinery.times import column_micros
from transforms.sessions.facts import ARRIVAL, MAX_DISTINCT_IDS

_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.int64]
#: The columns of published rows that `excluded_ids` needs.
IDS_OF = ("distinct_ids", "is_oversized")


@dataclass(frozen=True)
class Choice:
    """Masks and, of the sessions that wait, when they begin."""

    use: _Bools
    """Of the facts: they count."""
    stale: _Bools
    """Of the facts: news, or a session that waits, and not read whole."""
    surprising: _Bools
    """Of the facts: they count, and neither an arrival nor anything else says why they should be new."""
    stay: _Bools
    """Of the published rows: their facts stay."""
    waiting: dict[str, tuple[int, int]]
    """Session → the earliest time known of it, µs, of which day a backfill settles it; and `NEWEST`, why it waits."""

    @classmethod
    def of_everything(cls, facts: int, published: int) -> Choice:
        """All fresh facts count, no published row stays."""
        none = np.zeros(facts, bool)
        return cls(~none, none, none, np.zeros(published, bool), {})


def choose(window: Window, excluded: Excluded, facts: pa.Table, published: pa.Table, unsettled: pa.Table) -> Choice:
    """What a run concludes.

    Args:
      window: of the run.
      excluded: who is left out.
      facts: of this run's events, one row a session.
      published: rows of the sessions table.
      unsettled: `transforms.incremental.unsettled.UNSETTLED` rows of the same sessions: of late events, and of the last
      run.
    """
    if window.is_full:
        return Choice.of_everything(facts.num_rows, published.num_rows)
    ids, keys = facts.column("session_id"), published.column("session_id").combine_chunks()
    position = np.asarray(pc.index_in(ids, value_set=keys).fill_null(-1))
    begins, ends = column_micros(published.column("start_timestamp")), column_micros(published.column("end_timestamp"))
    waits = _Waits.of(unsettled, keys, begins)
    arrivals, (earliest, newest) = column_micros(facts.column(ARRIVAL)), waits.of_sessions(ids)
    known = _Known(
        start=column_micros(facts.column("start_timestamp")),
        before=np.append(begins, NEVER)[position],
        until=np.append(ends, EVER)[position],
        waits=earliest,
        newest=np.maximum(arrivals, newest),
    )
    news = np.zeros(facts.num_rows, bool)
    if window.new_from is not None:
        news = arrivals >= window.new_from
    use, stale = _in_days(window, known) if window.days else _in_window(window, known, news)

    rows = np.arange(published.num_rows)
    some, every = excluded_ids(published, excluded)
    absent = ~np.isin(rows, position) & _read_whole(window, begins, ends, waits.of_sessions(keys)[0])
    gone = absent & some
    if window.days:  # what starts in these days and was not found again
        gone |= absent & _within(window.days, begins)
    surprising = np.zeros(len(use), bool)
    if window.new_from is not None:
        surprising = use & ~news & (known.waits == NEVER) & ~np.append(some, False)[position]
    stay = ~(np.isin(rows, position[use]) | gone | every)
    return Choice(use, stale, surprising, stay, _waiting(window, waits, ids, known, use, stale))


@dataclass(frozen=True)
class _Waits:
    """Sessions of which events were left out, now or before, and the earliest time known of each, µs."""

    ids: pa.ChunkedArray
    begins: _Ints
    newest: _Ints
    """Of each its `NEWEST`."""

    @classmethod
    def of(cls, unsettled: pa.Table, keys: pa.Array, begins: _Ints) -> _Waits:
        """From `UNSETTLED` rows; the published row (of `keys`, with its `begins`) may begin earlier than they."""
        found = grouped(unsettled, "session_id").aggregate([("timestamp", "min"), (NEWEST, "max")])
        row = np.asarray(pc.index_in(found.column("session_id"), value_set=keys).fill_null(-1))
        earliest = np.minimum(column_micros(found.column("timestamp_min")), np.append(begins, NEVER)[row])
        return cls(found.column("session_id"), earliest, found.column(f"{NEWEST}_max").to_numpy())

    def of_sessions(self, ids: pa.Array | pa.ChunkedArray) -> tuple[_Ints, _Ints]:
        """Of each session its time and its `NEWEST`; `NEVER` and `EVER` of one that does not wait."""
        if not len(self.ids):
            return np.full(len(ids), NEVER), np.full(len(ids), EVER)
        position = np.asarray(pc.index_in(ids, value_set=self.ids.combine_chunks()).fill_null(-1))
        return np.append(self.begins, NEVER)[position], np.append(self.newest, EVER)[position]


def _waiting(
    window: Window, waits: _Waits, ids: pa.ChunkedArray, known: _Known, use: _Bools, stale: _Bools
) -> dict[str, tuple[int, int]]:
    """`Choice.waiting`: of the sessions that wait from now on, or still."""
    resolved = _read_whole(window, waits.begins, waits.begins, waits.begins)
    if window.days:
        resolved &= _within(window.days, waits.begins)
    waiting = _by_session(waits.ids, ~resolved, waits.begins, waits.newest)
    earliest = np.minimum(np.minimum(known.start, known.before), known.waits)
    waiting |= _by_session(ids, stale, earliest, known.newest)
    for session_id in ids.filter(pa.array(use)).to_pylist() if waiting else ():
        waiting.pop(session_id, None)
    return waiting


def _by_session(ids: pa.ChunkedArray, chosen: _Bools, begins: _Ints, newest: _Ints) -> dict[str, tuple[int, int]]:
    reasons = zip(begins[chosen].tolist(), newest[chosen].tolist(), strict=True)
    return dict(zip(ids.filter(pa.array(chosen)).to_pylist(), reasons, strict=True))


@dataclass(frozen=True)
class _Known:
    """Of each session of the facts, µs."""

    start: _Ints
    before: _Ints
    """Start of its published row."""
    until: _Ints
    """End of its published row."""
    waits: _Ints
    """Earliest time of an event that was left out."""
    newest: _Ints
    """The latest arrival, of those events too."""


def _in_window(window: Window, known: _Known, news: _Bools) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, stale) for an incremental run."""
    whole = _read_whole(window, known.before, known.until, known.waits)
    if window.whole_from is not None:
        whole &= (known.before != NEVER) | (known.start >= window.whole_from)
    return whole, ~whole & (news | (known.waits != NEVER))


def _in_days(window: Window, known: _Known) -> tuple[_Bools, _Bools]:
    """(use the fresh facts, stale) for a backfill."""
    assert window.days is not None
    here = np.logical_or.reduce([_within(window.days, times) for times in (known.start, known.before, known.waits)])
    whole = _read_whole(window, known.before, known.until, known.waits)
    of_other_days = (known.waits == NEVER) & (known.before < (window.scan_start or EVER))
    return here & whole, here & ~whole & ~of_other_days


def _read_whole(window: Window, begins: _Ints, ends: _Ints, waits: _Ints) -> _Bools:
    """Whether all that is known of sessions lies in what the run reads; of one that waits the end is not known."""
    whole = np.minimum(begins, waits) >= (window.scan_start or EVER)
    if window.scan_end is not None:
        whole &= (ends < window.scan_end) & (waits == NEVER)
    return whole


def _within(days: tuple[int, int], times: _Ints) -> _Bools:
    return (times >= days[0]) & (times < days[1])


def excluded_ids(sessions: pa.Table, excluded: Excluded) -> tuple[_Bools, _Bools]:
    """(whether some of a session's distinct ids may be excluded, whether all are), by `IDS_OF` of published rows.

    A list that is full may have been cut, one of an oversized session is that of a sample: any id may be among those
    that are not there.
    """
    hits = np.zeros(sessions.num_rows, np.int64)
    if not excluded:
        return hits > 0, hits > 0
    flat = sessions.column("distinct_ids").combine_chunks()
    owner = np.asarray(pc.list_parent_indices(flat))[excluded.mask(pc.list_flatten(flat))]
    np.add.at(hits, owner, 1)
    sizes = np.asarray(pc.list_value_length(flat).fill_null(0))
    cut = (sizes >= MAX_DISTINCT_IDS) | np.asarray(sessions.column("is_oversized"))
    return (hits > 0) | cut, (hits == sizes) & (hits > 0) & ~cut
