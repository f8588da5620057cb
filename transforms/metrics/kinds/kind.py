"""What a kind of metric is: its columns, what it needs of events, and what persons get of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.machinery.columns import TextColumn
from transforms.metrics.kinds.conditions import ALL, EVENT_NAME, Condition, Text, Texts, Where, condition

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Numbers = TypeVar("Numbers", bound=npt.NDArray[Any])
Noun = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]
TIME = pa.timestamp("us", "UTC")
#: µs a second.
SECOND = 1_000_000

#: What a wrong value of a key should have been, for messages.
WANTED = {
    "description": "a non-empty text",
    "events": "a non-empty list of texts",
    "name_contains": "a non-empty list of texts",
    "screens": "a non-empty list of texts",
    "where": "a table of properties, each with a text, a number, true or false, or a list of them",
    "count": "a non-empty text",
    "property": "a non-empty text",
    "divided_by": "a non-empty text",
    "clip": "two ascending numbers such as [0.0, 1.0]",
    "person": "one of latest",
    "person_noun": "lower-case letters, digits and _",
    "actions": "a table of actions (lower-case letters, digits and _), each with a non-empty list of event names",
    "decimals": "a whole number from 0 to 9",
    "limit": "a whole number from 1 to 1000",
    "steps": "a list of 2 to 20 steps, each an event name or a table of conditions",
    "pauses": "a non-empty list of event names",
    "resumes": "a non-empty list of event names, none of them in pauses",
}


class Ratio(NamedTuple):
    """A number of an event: a property, divided by another where one is given (only by more than 0), clipped."""

    property: str
    divided_by: str | None = None
    clip: tuple[float, float] | None = None


class Needs(NamedTuple):
    """What must be kept of every event."""

    conditions: tuple[Condition, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: tuple[Ratio, ...] = ()


class SessionEvents(Protocol):
    """The events of some sessions, each once, by session and there by (time, uuid)."""

    @property
    def starts(self) -> Ints:
        """Where the events of each session begin."""

    @property
    def ends(self) -> Ints:
        """Where they end (exclusive)."""

    @property
    def times(self) -> Ints:
        """Per event its time, µs."""

    @property
    def ahead(self) -> Bools:
        """Per event whether its time is later than its arrival."""

    @property
    def first_time(self) -> Ints:
        """Per session the time of its first event, µs."""

    @property
    def last_time(self) -> Ints:
        """Per session the time of its last event, µs."""

    def matches(self, condition: Condition) -> Bools:
        """Per event whether it matches."""

    def text(self, name: str) -> TextColumn:
        """Per event the text of a property; its dictionary ascends."""

    def number(self, ratio: Ratio) -> Floats:
        """Per event the number, NaN for none."""


class PersonSessions(Protocol):
    """The sessions of some persons, each once, by person and there by (start, session id); or of days of persons, where
    their order says nothing."""

    @property
    def starts(self) -> Ints:
        """Where the sessions of each person begin."""

    @property
    def sizes(self) -> Ints:
        """Sessions a person."""

    def ints(self, name: str) -> Ints:
        """Per session the value of a flag or count."""

    def floats(self, name: str) -> Floats:
        """Per session the value of a number, NaN for none."""

    def times(self, name: str) -> tuple[Ints, Bools]:
        """Per session a time, µs, and whether there is one."""

    def texts(self, name: str) -> TextColumn:
        """Per session the value of a text column."""


class Column(NamedTuple):
    """A column of `sessions` that a metric gives."""

    name: str
    type: pa.DataType
    description: str
    required: bool
    """Whether every session has a value."""


class RollUp(NamedTuple):
    """A column of `persons`, or of their days, that comes from a column of `sessions`."""

    name: str
    type: pa.DataType
    description: str
    required: bool
    source: str
    """The column of `sessions`."""
    of: Callable[[PersonSessions], Any]
    """One value a person, as an array."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind"):
    """One entry of a metrics file: columns of `sessions` and what they give to `persons`."""

    type: ClassVar[pa.DataType]
    """Of its column, where it has one."""
    required: ClassVar[bool] = False
    """Whether every session has a value."""
    wanted: ClassVar[Mapping[str, str]] = {}
    """What of `WANTED` is otherwise here."""

    name: str
    description: Text

    def needs(self) -> Needs:
        """What must be kept of every event."""
        raise NotImplementedError

    def names(self) -> frozenset[str] | None:
        """The names of the events of which its texts and numbers are needed; None for all."""
        return None

    def columns(self) -> tuple[Column, ...]:
        """The columns of `sessions`."""
        return (Column(self.name, self.type, self.description, self.required),)

    def values(self, events: SessionEvents) -> tuple[Any, ...]:
        """Per column one value a session, as an array of its type."""
        return (self.column(events),)

    def column(self, events: SessionEvents) -> Any:
        """The values of a kind with one column."""
        raise NotImplementedError

    def rollups(self) -> tuple[RollUp, ...]:
        """What persons get of it."""
        return ()

    def day_rollups(self) -> tuple[RollUp, ...]:
        """What a day of a person gets of it: sums, over the sessions that start on it."""
        return ()


class OfSome(Kind, frozen=True, kw_only=True):
    """A kind that may be of some events only: of those that are all that is given."""

    events: Texts = ()
    name_contains: Texts = ()
    screens: Texts = ()
    where: Where = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.condition()  # raises when `where` is wrong

    def condition(self) -> Condition:
        """Which events count."""
        return condition(self.events, self.name_contains, self.screens, None, self.where)

    def names(self) -> frozenset[str] | None:
        """The names of the events that count, where the entry says them."""
        found = dict(self.condition().where).get(EVENT_NAME)
        return None if found is None else frozenset(found)

    def asked(self) -> tuple[Condition, ...]:
        """What must be checked of every event: nothing where all count."""
        condition = self.condition()
        return () if condition == ALL else (condition,)

    def some(self, events: SessionEvents, values: Numbers, nothing: float) -> Numbers:
        """`values` of events, `nothing` for those that do not count."""
        condition = self.condition()
        return values if condition == ALL else np.where(events.matches(condition), values, values.dtype.type(nothing))  # type: ignore[return-value]


class OfMatches(OfSome, frozen=True, kw_only=True):
    """A kind that is about events, not about a property of theirs: something must say which."""

    property: Text | None = None
    """Must be there."""

    def __post_init__(self) -> None:
        if not (self.events or self.name_contains or self.screens or self.property or self.where):
            kind = self.__struct_config__.tag
            raise ValueError(f"a {kind} needs at least one of events, name_contains, screens, property, where")
        self.condition()

    def condition(self) -> Condition:
        """Which events count."""
        return condition(self.events, self.name_contains, self.screens, self.property, self.where)

    def needs(self) -> Needs:
        """One bit an event."""
        return Needs(conditions=self.asked())


def times(found: Ints, there: Bools) -> pa.Array:
    """µs as a column of times, null where there is none."""
    return pa.array(found, mask=~there).view(TIME)
