"""The kinds of session metrics: a class each.

A kind is what its entry in a metrics file may say (fields with their types; unknown keys are refused), what it needs of
every event, its column as a function of a session's events in order of (time, uuid), and what it gives to persons.
There is no merge: a session is the set of its events, and the set is what meets (`transforms.event_sets`).

A new kind is a class here and its name in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.columns import TextColumn

Bools: TypeAlias = npt.NDArray[np.bool_]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Text = Annotated[str, msgspec.Meta(pattern=r"\S")]
Texts = Annotated[tuple[Text, ...], msgspec.Meta(min_length=1)]
Noun = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9_]{0,99}$")]

#: What a wrong value of a key should have been, for messages.
WANTED = {
    "description": "a non-empty text",
    "events": "a non-empty list of texts",
    "name_contains": "a non-empty list of texts",
    "screens": "a non-empty list of texts",
    "count": "a non-empty text",
    "property": "a non-empty text",
    "divided_by": "a non-empty text",
    "clip": "two ascending numbers such as [0.0, 1.0]",
    "person": "one of latest",
    "person_noun": "lower-case letters, digits and _",
}


class Condition(NamedTuple):
    """What an event must be to match: exactly one of these is given."""

    events: tuple[str, ...] = ()
    name_contains: tuple[str, ...] = ()
    screens: tuple[str, ...] = ()
    property: str | None = None

    def matches_name(self, event: str) -> bool:
        """Whether an event of this name matches by name alone."""
        if self.name_contains:
            folded = event.casefold()
            return all(part.casefold() in folded for part in self.name_contains)
        return event in self.events


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

    def matches(self, condition: Condition) -> Bools:
        """Per event whether it matches."""

    def text(self, name: str) -> TextColumn:
        """Per event the text of a property."""

    def number(self, ratio: Ratio) -> Floats:
        """Per event the number, NaN for none."""


class PersonSessions(Protocol):
    """The sessions of some persons, each once, by person and there by (start, session id)."""

    @property
    def starts(self) -> Ints:
        """Where the sessions of each person begin."""

    @property
    def sizes(self) -> Ints:
        """Sessions a person."""

    def ints(self, name: str) -> Ints:
        """Per session the value of a flag or count."""

    def texts(self, name: str) -> TextColumn:
        """Per session the value of a text column."""


class RollUp(NamedTuple):
    """A column of `persons` that comes from a session metric."""

    name: str
    type: pa.DataType
    description: str
    required: bool
    of: Callable[[PersonSessions], Any]
    """One value a person, as an array."""


class Kind(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """One entry of a metrics file: a column of `sessions` and what it gives to `persons`."""

    type: ClassVar[pa.DataType]
    required: ClassVar[bool] = False
    """Whether every session has a value."""

    name: str
    description: Text

    def needs(self) -> Needs:
        """What must be kept of every event."""
        raise NotImplementedError

    def column(self, events: SessionEvents) -> Any:
        """One value a session, as an array of `type`."""
        raise NotImplementedError

    def rollups(self) -> tuple[RollUp, ...]:
        """What persons get of it."""
        return ()


class Flag(Kind, frozen=True, kw_only=True, tag="flag"):
    """Whether any event matches."""

    type = pa.bool_()
    required = True
    events: Texts = ()
    name_contains: Texts = ()
    screens: Texts = ()
    count: Text | None = None
    counted: Condition | None = None
    """What `count` stands for; filled in when the whole file is read, never given."""

    def __post_init__(self) -> None:
        _one_of(self, "events", "name_contains", "screens", "count")

    def needs(self) -> Needs:
        """One bit an event."""
        return Needs(conditions=(self._condition(),))

    def column(self, events: SessionEvents) -> Bools:
        """True where any event matches."""
        return np.logical_or.reduceat(events.matches(self._condition()), events.starts)

    def rollups(self) -> tuple[RollUp, ...]:
        """In how many sessions."""
        return (flag_sum(self.name),)

    def _condition(self) -> Condition:
        return self.counted or Condition(self.events, self.name_contains, self.screens)


class Count(Kind, frozen=True, kw_only=True, tag="count"):
    """How many events match."""

    type = pa.int64()
    required = True
    events: Texts = ()
    name_contains: Texts = ()
    screens: Texts = ()
    property: Text | None = None
    person_noun: Noun | None = None

    def __post_init__(self) -> None:
        _one_of(self, "events", "name_contains", "screens", "property")

    def condition(self) -> Condition:
        """Which events are counted."""
        return Condition(self.events, self.name_contains, self.screens, self.property)

    def needs(self) -> Needs:
        """One bit an event."""
        return Needs(conditions=(self.condition(),))

    def column(self, events: SessionEvents) -> Ints:
        """The number of matching events."""
        return np.add.reduceat(events.matches(self.condition()), events.starts, dtype=np.int64)

    def rollups(self) -> tuple[RollUp, ...]:
        """Total, mean and maximum, where a noun names them."""
        noun, name = self.person_noun, self.name
        if noun is None:
            return ()

        def total(sessions: PersonSessions) -> Ints:
            return np.add.reduceat(sessions.ints(name), sessions.starts)

        return (
            RollUp(f"total_{noun}", pa.int64(), f"Sum of {name}.", True, total),
            RollUp(
                f"avg_{noun}_per_session",
                pa.float64(),
                f"Mean of {name}.",
                True,
                lambda sessions: total(sessions) / sessions.sizes,
            ),
            RollUp(
                f"max_{noun}_per_session",
                pa.int64(),
                f"Maximum of {name}.",
                True,
                lambda sessions: np.maximum.reduceat(sessions.ints(name), sessions.starts),
            ),
        )


class Distinct(Kind, frozen=True, kw_only=True, tag="distinct"):
    """How many different texts a property has."""

    type = pa.int64()
    required = True
    property: Text

    def needs(self) -> Needs:
        """One text an event."""
        return Needs(texts=(self.property,))

    def column(self, events: SessionEvents) -> Ints:
        """The number of different texts."""
        column = events.text(self.property)
        session = np.repeat(np.arange(len(events.starts)), events.ends - events.starts)
        there = column.codes >= 0
        width = len(column.values) + 1
        pairs = np.unique(session[there] * width + column.codes[there])
        return np.bincount(pairs // width, minlength=len(events.starts))


class First(Kind, frozen=True, kw_only=True, tag="first"):
    """The first text of a property; events without one are skipped."""

    type = pa.string()
    property: Text
    person: Literal["latest"] | None = None

    def needs(self) -> Needs:
        """One text an event."""
        return Needs(texts=(self.property,))

    def column(self, events: SessionEvents) -> pa.Array:
        """The text of the earliest event that has one."""
        column = events.text(self.property)
        return _at(column, first_known(column.codes, events.starts))

    def rollups(self) -> tuple[RollUp, ...]:
        """The value of the latest session that has one."""
        return (_latest(self.name),) if self.person else ()


class Last(First, frozen=True, kw_only=True, tag="last"):
    """The last text of a property; events without one are skipped."""

    def column(self, events: SessionEvents) -> pa.Array:
        """The text of the latest event that has one."""
        column = events.text(self.property)
        return _at(column, last_known(column.codes, events.starts, events.ends))


class Max(Kind, frozen=True, kw_only=True, tag="max"):
    """The greatest number of a property, or of a ratio of two."""

    type = pa.float64()
    property: Text
    divided_by: Text | None = None
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.clip and not self.clip[0] < self.clip[1]:
            raise ValueError("wrong `clip`")

    def ratio(self) -> Ratio:
        """The number of an event."""
        return Ratio(self.property, self.divided_by, self.clip)

    def needs(self) -> Needs:
        """One number an event."""
        return Needs(numbers=(self.ratio(),))

    def column(self, events: SessionEvents) -> pa.Array:
        """The greatest, null where no event has one."""
        found = np.fmax.reduceat(events.number(self.ratio()), events.starts)
        return pa.array(found, mask=np.isnan(found))


#: Every kind by the name that a metrics file gives it; flags and counts lead the columns of persons.
KINDS: dict[str, type[Kind]] = {
    "flag": Flag,
    "count": Count,
    "distinct": Distinct,
    "first": First,
    "last": Last,
    "max": Max,
}


def flag_sum(name: str) -> RollUp:
    """In how many sessions of a person a flag is set."""
    return RollUp(
        f"{name}_sum",
        pa.int64(),
        f"Sessions with {name}.",
        True,
        lambda sessions: np.add.reduceat(sessions.ints(name), sessions.starts),
    )


def first_known(codes: npt.NDArray[np.int32], starts: Ints) -> Ints:
    """Per group the first row whose code is not −1; −1 where there is none."""
    found = starts.copy()
    if (codes[starts] < 0).any():
        row = np.where(codes >= 0, np.arange(len(codes)), len(codes))
        found = np.minimum.reduceat(row, starts)
        found[found == len(codes)] = -1
    return found


def last_known(codes: npt.NDArray[np.int32], starts: Ints, ends: Ints) -> Ints:
    """Per group the last row whose code is not −1; −1 where there is none."""
    if (codes[ends - 1] >= 0).all():
        return ends - 1
    return np.maximum.reduceat(np.where(codes >= 0, np.arange(len(codes)), -1), starts)


def _at(column: TextColumn, rows: Ints) -> pa.Array:
    return column.take(rows).texts() if (rows >= 0).all() else _with_nulls(column, rows)


def _with_nulls(column: TextColumn, rows: Ints) -> pa.Array:
    codes = np.where(rows >= 0, column.codes[rows], -1)
    return TextColumn(codes, column.values).texts()


def _latest(name: str) -> RollUp:
    def latest(sessions: PersonSessions) -> pa.Array:
        column = sessions.texts(name)
        return _at(column, last_known(column.codes, sessions.starts, sessions.starts + sessions.sizes))

    return RollUp(name, pa.string(), f"{name} of the latest session that has one.", False, latest)


def _one_of(entry: Any, *keys: str) -> None:
    if sum(bool(getattr(entry, key)) for key in keys) != 1:
        kind = entry.__struct_config__.tag
        raise ValueError(f"a {kind} needs exactly one of {', '.join(keys)}")
