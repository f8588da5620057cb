"""What the event scan of a run covers, and what of it is news. Times are µs since the epoch, UTC."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: An event can't arrive before it happens; a day is left for wrong clocks, as PostHog's own ingestion does.
MAX_AHEAD = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Scope:
    """The default reads everything and recomputes every session."""

    scan_start: int | None = None
    """Events that happened before are not aggregated."""
    scan_end: int | None = None
    """Events from here on are not aggregated."""
    new_after: int | None = None
    """Incremental: what arrived after is new."""
    new_by_timestamp: bool = False
    """The source has no arrival: an event's own time stands for it."""
    days: tuple[int, int] | None = None
    """Backfill: recompute the sessions that start in [first, second)."""

    @property
    def is_full(self) -> bool:
        """Whether every event is read and every session recomputed."""
        return self.new_after is None and self.days is None

    def in_window(self, stamps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether events of these times can be aggregated by this scan."""
        inside = np.ones(len(stamps), bool)
        if self.scan_start is not None:
            inside &= stamps >= self.scan_start
        if self.scan_end is not None:
            inside &= stamps < self.scan_end
        return inside

    def concerns(
        self,
        stamps: npt.NDArray[np.int64],
        stamp_null: npt.NDArray[np.bool_],
        arrivals: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.bool_]:
        """Whether rows are looked at: those of the window, and whatever else is news (late or broken)."""
        if self.is_full:
            return np.ones(len(stamps), bool)
        inside = self.in_window(stamps) & ~stamp_null
        if self.new_after is None:
            return inside
        # a time that cannot be lies in every later window: such a row was rejected when it was new, and that is enough
        inside &= stamps <= arrivals + MAX_AHEAD
        return inside | (stamp_null if self.new_by_timestamp else arrivals > self.new_after)


#: The scope of a full load.
EVERYTHING = Scope()
