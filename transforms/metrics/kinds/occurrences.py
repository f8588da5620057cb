"""Kinds that say whether events happened, and how many."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from transforms.metrics.kinds.conditions import Condition, Text
from transforms.metrics.kinds.kind import Bools, Ints, Noun, OfMatches, PersonSessions, RollUp, SessionEvents


class Flag(OfMatches, frozen=True, kw_only=True, tag="flag"):
    """Whether any event matches."""

    type = pa.bool_()
    required = True
    count: Text | None = None
    counted: Condition | None = None
    """What `count` stands for; filled in when the whole file is read, never given."""

    def __post_init__(self) -> None:
        if not self.count:
            super().__post_init__()
        elif self.events or self.name_contains or self.screens or self.property or self.where:
            raise ValueError("a flag needs count or conditions, not both")

    def condition(self) -> Condition:
        """Which events count."""
        return self.counted or super().condition()

    def column(self, events: SessionEvents) -> Bools:
        """True where any event matches."""
        return np.logical_or.reduceat(events.matches(self.condition()), events.starts)

    def rollups(self) -> tuple[RollUp, ...]:
        """In how many sessions."""
        return (flag_sum(self.name),)

    def day_rollups(self) -> tuple[RollUp, ...]:
        """The same."""
        return self.rollups()


class Count(OfMatches, frozen=True, kw_only=True, tag="count"):
    """How many events match."""

    type = pa.int64()
    required = True
    person_noun: Noun | None = None

    def column(self, events: SessionEvents) -> Ints:
        """The number of matching events."""
        return np.add.reduceat(events.matches(self.condition()), events.starts, dtype=np.int64)

    def rollups(self) -> tuple[RollUp, ...]:
        """Total, mean and maximum, where a noun names them."""
        noun, name, total = self.person_noun, self.name, self._total
        if noun is None:
            return ()
        return (
            RollUp(f"total_{noun}", pa.int64(), f"Sum of {name}.", True, name, total),
            RollUp(
                f"avg_{noun}_per_session",
                pa.float64(),
                f"Mean of {name}.",
                True,
                name,
                lambda sessions: total(sessions) / sessions.sizes,
            ),
            RollUp(
                f"max_{noun}_per_session",
                pa.int64(),
                f"Maximum of {name}.",
                True,
                name,
                lambda sessions: np.maximum.reduceat(sessions.ints(name), sessions.starts),
            ),
        )

    def day_rollups(self) -> tuple[RollUp, ...]:
        """The total, where persons have one."""
        name = self.name
        return (RollUp(name, self.type, f"Sum of {name}.", True, name, self._total),) if self.person_noun else ()

    def _total(self, sessions: PersonSessions) -> Ints:
        return np.add.reduceat(sessions.ints(self.name), sessions.starts)


def flag_sum(name: str) -> RollUp:
    """In how many sessions of a person a flag is set."""
    return RollUp(
        f"{name}_sum",
        pa.int64(),
        f"Sessions with {name}.",
        True,
        name,
        lambda sessions: np.add.reduceat(sessions.ints(name), sessions.starts),
    )
