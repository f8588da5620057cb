"""Kinds that are about when events happened, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import pyarrow as pa

from transforms.metrics.kinds.conditions import ALL, Condition, Text, Texts, When
from transforms.metrics.kinds.kind import (
    SECOND,
    TIME,
    Bools,
    Column,
    Ints,
    Kind,
    Needs,
    OfMatches,
    PersonSessions,
    RollUp,
    SessionEvents,
    times,
)
from transforms.metrics.kinds.numbers import exact_sum

_INT64 = np.iinfo(np.int64)


class FirstTime(OfMatches, frozen=True, kw_only=True, tag="first_time"):
    """When the first matching event happened."""

    type = TIME
    wanted: ClassVar[Mapping[str, str]] = {"person": "one of min"}
    extreme: ClassVar[np.ufunc] = np.minimum
    none: ClassVar[int] = _INT64.max
    word: ClassVar[str] = "Earliest"
    person: Literal["min"] | None = None

    def column(self, events: SessionEvents) -> pa.Array:
        """The extreme time, null where no event matches."""
        return self._extreme(events.times, events.matches(self.condition()), events.starts)

    def rollups(self) -> tuple[RollUp, ...]:
        """The extreme of all sessions."""
        if self.person is None:
            return ()

        def extreme(sessions: PersonSessions) -> pa.Array:
            return self._extreme(*sessions.times(self.name), sessions.starts)

        return (RollUp(self.name, self.type, f"{self.word} {self.name}.", False, self.name, extreme),)

    def _extreme(self, micros: Ints, there: Bools, starts: Ints) -> pa.Array:
        found = self.extreme.reduceat(np.where(there, micros, self.none), starts)
        return times(found, found != self.none)


class LastTime(FirstTime, frozen=True, kw_only=True, tag="last_time"):
    """When the last matching event happened."""

    wanted: ClassVar[Mapping[str, str]] = {"person": "one of max"}
    extreme = np.maximum
    none = _INT64.min
    word = "Latest"
    person: Literal["max"] | None = None  # type: ignore[assignment]


class Sequence(Kind, frozen=True, kw_only=True, tag="sequence"):
    """How far a session came in ordered steps.

    The first event that matches the first step reaches it; each next step is reached by the first event after that,
    in order, that matches it. What happens in between does not matter.
    """

    steps: Annotated[tuple[Text | When, ...], msgspec.Meta(min_length=2, max_length=20)]

    def __post_init__(self) -> None:
        try:
            every = ALL in self.conditions()
        except ValueError:  # of a step's `where`
            every = True
        if every:
            raise ValueError("wrong `steps`")

    def conditions(self) -> tuple[Condition, ...]:
        """One a step."""
        return tuple((When(events=(step,)) if isinstance(step, str) else step).condition() for step in self.steps)

    def needs(self) -> Needs:
        """One bit a step."""
        return Needs(conditions=self.conditions())

    def columns(self) -> tuple[Column, ...]:
        """See `values`."""
        name, steps = self.name, len(self.steps)
        return (
            Column(f"{name}_step", pa.int64(), f"{self.description} Steps reached in order, 0 to {steps}.", True),
            Column(f"{name}_started_at", TIME, f"{self.description} When the first step was reached.", False),
            Column(f"{name}_finished_at", TIME, f"{self.description} When the last step was reached.", False),
            Column(f"{name}_duration", pa.float64(), f"{self.description} Seconds from first to last step.", False),
            Column(f"{name}_attempts", pa.int64(), f"{self.description} Events of the first step.", True),
        )

    def values(self, events: SessionEvents) -> tuple[Any, ...]:
        """Steps reached, when the first and the last one was, seconds between, and events of the first step."""
        at, reached = events.starts - 1, np.ones(len(events.starts), bool)
        step = np.zeros(len(events.starts), np.int64)
        started, begun = at, reached
        first, *_ = conditions = self.conditions()
        for number, condition in enumerate(conditions):
            hits = np.append(np.flatnonzero(events.matches(condition)), len(events.times))
            at = hits[np.minimum(np.searchsorted(hits, at + 1), len(hits) - 1)]
            reached = reached & (at < events.ends)
            step += reached
            if number == 0:
                started, begun = at, reached
        start, finish = (_time_of(events, rows, there) for rows, there in ((started, begun), (at, reached)))
        seconds = pa.array((finish - start) / SECOND, mask=~reached)
        attempts = np.add.reduceat(events.matches(first), events.starts, dtype=np.int64)
        return step, times(start, begun), times(finish, reached), seconds, attempts

    def rollups(self) -> tuple[RollUp, ...]:
        """In how many sessions it was started and finished."""

        def sessions_with(column: str, verb: str) -> RollUp:
            source = f"{self.name}_{column}"
            return RollUp(
                f"{self.name}_{verb}_sum",
                pa.int64(),
                f"Sessions with {source}.",
                True,
                source,
                lambda sessions: np.add.reduceat(sessions.times(source)[1].astype(np.int64), sessions.starts),
            )

        return sessions_with("started_at", "started"), sessions_with("finished_at", "finished")


class Duration(Kind, frozen=True, kw_only=True, tag="duration"):
    """Seconds from the first to the last event without pauses.

    A pause is from an event that is one of `pauses` to the next that is one of `resumes`, or to the session's end.
    """

    type = pa.float64()
    required = True
    pauses: Texts
    resumes: Texts

    def __post_init__(self) -> None:
        if set(self.pauses) & set(self.resumes):
            raise ValueError("wrong `resumes`")

    def needs(self) -> Needs:
        """Two bits an event."""
        return Needs(conditions=self._marks())

    def column(self, events: SessionEvents) -> Any:
        """The span minus the pauses."""
        pauses, resumes = (events.matches(condition) for condition in self._marks())
        # the latest mark at or before each event; the first event of a session is one, as no pause comes from before
        marks = pauses | resumes
        marks[events.starts] = True
        latest = np.maximum.accumulate(np.where(marks, np.arange(len(marks)), 0))
        until_next = np.append(np.diff(events.times), 0)
        until_next[events.ends - 1] = 0
        paused = np.add.reduceat(np.where(pauses[latest], until_next, 0), events.starts)
        return (events.last_time - events.first_time - paused) / SECOND

    def rollups(self) -> tuple[RollUp, ...]:
        """The sum of all sessions."""
        return (self._sum(f"total_{self.name}"),)

    def day_rollups(self) -> tuple[RollUp, ...]:
        """The same."""
        return (self._sum(self.name),)

    def _sum(self, name: str) -> RollUp:
        def total(sessions: PersonSessions) -> pa.Array:
            return exact_sum(sessions.floats(self.name), sessions.starts, SECOND)

        return RollUp(name, self.type, f"Sum of {self.name}, seconds.", True, self.name, total)

    def _marks(self) -> tuple[Condition, Condition]:
        return When(events=self.pauses).condition(), When(events=self.resumes).condition()


def _time_of(events: SessionEvents, rows: Ints, there: Bools) -> Ints:
    return events.times[np.where(there, rows, events.starts)]
