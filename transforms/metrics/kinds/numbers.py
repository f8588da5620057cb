"""Kinds that are about the numbers of a property."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa

from transforms.metrics.kinds.conditions import Text
from transforms.metrics.kinds.kind import (
    Floats,
    Ints,
    Needs,
    Noun,
    OfSome,
    PersonSessions,
    Ratio,
    RollUp,
    SessionEvents,
)

#: What fits into 64 bits.
_FITS = 2**63


class Max(OfSome, frozen=True, kw_only=True, tag="max"):
    """The greatest number of a property, or of a ratio of two."""

    type = pa.float64()
    wanted: ClassVar[Mapping[str, str]] = {"person": "one of max"}
    extreme: ClassVar[np.ufunc] = np.fmax
    word: ClassVar[str] = "Greatest"
    property: Text
    divided_by: Text | None = None
    clip: tuple[float, float] | None = None
    person: Literal["max"] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError("wrong `clip`")

    def ratio(self) -> Ratio:
        """The number of an event."""
        return Ratio(self.property, self.divided_by, self.clip)

    def needs(self) -> Needs:
        """One number an event, and one bit where it is of some events only."""
        return Needs(conditions=self.asked(), numbers=(self.ratio(),))

    def column(self, events: SessionEvents) -> pa.Array:
        """The extreme, null where no event has a number."""
        return _known(self.extreme.reduceat(self.some(events, events.number(self.ratio()), np.nan), events.starts))

    def rollups(self) -> tuple[RollUp, ...]:
        """The extreme of all sessions."""
        if self.person is None:
            return ()

        def extreme(sessions: PersonSessions) -> pa.Array:
            return _known(self.extreme.reduceat(sessions.floats(self.name), sessions.starts))

        return (RollUp(self.name, self.type, f"{self.word} {self.name}.", False, self.name, extreme),)


class Min(Max, frozen=True, kw_only=True, tag="min"):
    """The least number of a property, or of a ratio of two."""

    wanted: ClassVar[Mapping[str, str]] = {"person": "one of min"}
    extreme = np.fmin
    word = "Least"
    person: Literal["min"] | None = None  # type: ignore[assignment]


class Sum(OfSome, frozen=True, kw_only=True, tag="sum"):
    """The sum of a property's numbers, each rounded to `decimals`: integers are added, so no order matters."""

    type = pa.float64()
    property: Text
    decimals: Annotated[int, msgspec.Meta(ge=0, le=9)]
    person_noun: Noun | None = None

    def needs(self) -> Needs:
        """One number an event, and one bit where it is of some events only."""
        return Needs(conditions=self.asked(), numbers=(Ratio(self.property),))

    def column(self, events: SessionEvents) -> pa.Array:
        """The sum, null where no event has a number."""
        return exact_sum(self.some(events, events.number(Ratio(self.property)), np.nan), events.starts, self._scale())

    def rollups(self) -> tuple[RollUp, ...]:
        """The sum of all sessions, where a noun names it."""
        if self.person_noun is None:
            return ()

        def total(sessions: PersonSessions) -> pa.Array:
            return exact_sum(sessions.floats(self.name), sessions.starts, self._scale())

        return (RollUp(f"total_{self.person_noun}", self.type, f"Sum of {self.name}.", False, self.name, total),)

    def _scale(self) -> int:
        return int(10**self.decimals)


def exact_sum(values: Floats, starts: Ints, scale: int) -> pa.Array:
    """Per group the sum of its numbers as multiples of 1 / scale, null where it has none (NaN)."""
    there = ~np.isnan(values)
    scaled = np.rint(np.where(there, values, 0.0) * scale)
    whole = scaled.astype(np.int64) if np.abs(scaled).max() * len(scaled) < _FITS else _unbounded(scaled)
    totals = np.add.reduceat(whole, starts).tolist()
    some = np.logical_or.reduceat(there, starts).tolist()
    return pa.array([total / scale if known else None for total, known in zip(totals, some, strict=True)], pa.float64())


def _unbounded(whole: Floats) -> Ints:
    """Whole numbers as Python's integers, whose sums are exact however large."""
    return np.array([int(value) for value in whole.tolist()], object)


def _known(found: Floats) -> pa.Array:
    return pa.array(found, mask=np.isnan(found))
