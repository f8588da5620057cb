"""What the event scan of a run covers, and what of it is news. Times are µs since the epoch, UTC.

The rule is written once, as comparisons of a row's two times with constants (`Window.wanted`). It is evaluated on rows
(`rows_where`), on what the statistics of a row group say of all its rows (`may_hold`), and by BigQuery
(`pipeline.warehouse.bigquery.sql`). Statistics and SQL only prune: they may let more rows through, never fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

#: An event can't arrive before it happens; a day is left for wrong clocks, as PostHog's own ingestion does.
MAX_AHEAD = 24 * 3600 * 1_000_000
#: PostHog's SDKs end a session after a day, so a scan begins a day before what it has to see whole.
MAX_SESSION = 24 * 3600 * 1_000_000
#: Before and after any time.
EVER, NEVER = -(2**62), 2**62
#: Added to the arrivals of news of which nobody remembers whether it was seen before (`transforms.incremental.seen`).
UNSEEN = 2**61

#: The times of a row by the names of their columns in `posthog.events`.
EVENT_TIME, ARRIVAL_TIME = "timestamp", "bq_ingested_timestamp"


@dataclass(frozen=True)
class Comparison:
    """One condition on a row; `>=` and `<` never hold for null."""

    column: str
    sign: Literal[">=", "<", "is null"]
    value: int = 0


#: Comparisons that must all hold.
All: TypeAlias = tuple[Comparison, ...]
#: Values (anything where null) and which of them are null.
Times: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]


@dataclass(frozen=True)
class Range:
    """What is known of a column in many rows; None: nothing."""

    least: int | None = None
    greatest: int | None = None
    has_values: bool = True
    """Whether some may be other than null."""
    has_nulls: bool = True
    """Whether some may be null."""


UNKNOWN = Range()
#: Of a column that is not there, or null in all rows.
NO_VALUES = Range(has_values=False)


@dataclass(frozen=True)
class Window:
    """The default reads everything and recomputes every session."""

    scan_start: int | None = None
    """Events that happened before are not aggregated."""
    scan_end: int | None = None
    """Events from here on are not aggregated."""
    new_from: int | None = None
    """Incremental: what arrived then or later is new; equal, because a whole load can have one arrival."""
    undated_from: int | None = None
    """Incremental: rows whose arrival is not known are new when they happened then or later; not after `new_from`."""
    days: tuple[int, int] | None = None
    """Backfill: recompute the sessions that start in [first, second)."""
    whole_from: int | None = None
    """Incremental: a session without a published row is known whole when it begins then or later; None: always."""
    clock: int | None = None
    """The run's own clock: later arrivals say nothing about how far the source has come."""
    overlap: int = 0
    """What arrived so long before the watermark after this run is news to the next one."""
    lateness: int | None = None
    """News that arrived longer after it happened may lie before the next window; None: this run does not look for all
    news."""

    @property
    def is_full(self) -> bool:
        """Whether every event is read and every session recomputed."""
        return self.new_from is None and self.days is None

    @property
    def late(self) -> All | None:
        """Rows that are news but happened before the window: they are listed. No partition by time prunes them."""
        if self.new_from is None or self.scan_start is None:
            return None
        return Comparison(EVENT_TIME, "<", self.scan_start), Comparison(ARRIVAL_TIME, ">=", self.new_from)

    @property
    def wanted(self) -> tuple[All, ...]:
        """Rows that a run looks at: those for which any of these holds. Empty for a full load: all rows.

        They are the rows of the window, and whatever else is news (late, or broken). A row that happened more than
        `MAX_AHEAD` after its arrival is rejected. If its time is still to come (`clock`), it lies in every window from
        then on, so an arrival long before the window leaves it out: rejected once is enough. If not, its arrival may be
        what is wrong, a zero of some loader, and no run before has seen it.
        """
        if self.is_full:
            return ()
        undated = Comparison(ARRIVAL_TIME, "is null")
        inside: All = ()
        dated: All = ()
        if self.scan_start is not None:
            inside += (Comparison(EVENT_TIME, ">=", self.scan_start),)
            dated += (Comparison(ARRIVAL_TIME, ">=", self.scan_start - MAX_AHEAD),)
        if self.scan_end is not None:
            inside += (Comparison(EVENT_TIME, "<", self.scan_end),)
        found = [(*inside, *dated), (*inside, undated)]
        if inside and self.clock is not None:
            found.append((*inside, Comparison(EVENT_TIME, "<", self.clock + MAX_AHEAD)))
        if self.new_from is not None:
            timeless = Comparison(EVENT_TIME, "is null")
            found += [(timeless, Comparison(ARRIVAL_TIME, ">=", self.new_from)), (timeless, undated)]
        return (*found, self.late) if self.late else tuple(found)

    def in_window(self, stamps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether events of these times can be aggregated by this scan."""
        inside = np.ones(len(stamps), bool)
        if self.scan_start is not None:
            inside &= stamps >= self.scan_start
        if self.scan_end is not None:
            inside &= stamps < self.scan_end
        return inside

    def concerns(self, stamps: Times, arrivals: Times) -> npt.NDArray[np.bool_]:
        """Whether rows are `wanted`."""
        if self.is_full:
            return np.ones(len(stamps[0]), bool)
        return rows_where(self.wanted, {EVENT_TIME: stamps, ARRIVAL_TIME: arrivals})

    def counts(self, arrivals: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether arrivals can be evidence for the watermark."""
        return np.ones(len(arrivals), bool) if self.clock is None else arrivals <= self.clock

    def as_arrivals(self, stamps: npt.NDArray[np.int64], arrivals: Times) -> npt.NDArray[np.int64]:
        """Arrivals that are news when they are not before `new_from`, also where the arrival is not known.

        Such a row is new when it happened at `undated_from` or later, so its own time is moved by the difference. News
        that nobody remembers lies after all other arrivals (`UNSEEN`).
        """
        values, unknown = arrivals
        if self.new_from is None:
            return np.where(unknown, stamps, values)
        moved = 0 if self.undated_from is None else self.new_from - self.undated_from
        found = np.where(unknown, stamps + moved, values)
        return found + UNSEEN * ((found >= self.new_from) & ~self.remembers(stamps, arrivals))

    def remembers(self, stamps: npt.NDArray[np.int64], arrivals: Times) -> npt.NDArray[np.bool_]:
        """Which rows are so late that the ledger remembers them: not before `new_from`, for those are not all read."""
        values, unknown = arrivals
        if self.lateness is None:
            return np.zeros(len(values), bool)
        late = ~unknown & (values - stamps > self.lateness)
        return late if self.new_from is None else late & (values >= self.new_from)


def rows_where(wanted: tuple[All, ...], columns: Mapping[str, Times]) -> npt.NDArray[np.bool_]:
    """Of each row, whether all comparisons of any of the alternatives hold."""

    def holds(one: Comparison) -> npt.NDArray[np.bool_]:
        values, nulls = columns[one.column]
        if one.sign == "is null":
            return nulls
        return (values >= one.value if one.sign == ">=" else values < one.value) & ~nulls

    found = np.zeros(len(next(iter(columns.values()))[0]), bool)
    for alternative in wanted:
        found |= np.logical_and.reduce([holds(one) for one in alternative])
    return found


def may_hold(wanted: tuple[All, ...], columns: Mapping[str, Range]) -> bool:
    """Whether a row with values in these ranges can satisfy `rows_where`."""

    def possible(one: Comparison) -> bool:
        known = columns[one.column]
        if one.sign == "is null":
            return known.has_nulls
        edge = known.greatest if one.sign == ">=" else known.least
        if not known.has_values or edge is None:
            return known.has_values
        return edge >= one.value if one.sign == ">=" else edge < one.value

    return any(all(possible(one) for one in alternative) for alternative in wanted)


#: The window of a full load.
EVERYTHING = Window()
