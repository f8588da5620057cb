"""Kinds that are about the texts of a property; numbers and booleans count as their JSON text."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.machinery.columns import TextColumn, different, lists_of_different
from transforms.metrics.kinds.conditions import Text
from transforms.metrics.kinds.kind import Column, Ints, Needs, OfSome, PersonSessions, RollUp, SessionEvents


class OfTexts(OfSome, frozen=True, kw_only=True):
    """A kind of a property's texts; events without one are skipped."""

    property: Text

    def needs(self) -> Needs:
        """One text an event, and one bit where it is of some events only."""
        return Needs(conditions=self.asked(), texts=(self.property,))

    def texts(self, events: SessionEvents) -> TextColumn:
        """The texts of the events that count."""
        column = events.text(self.property)
        return TextColumn(self.some(events, column.codes, -1), column.values)


class Distinct(OfTexts, frozen=True, kw_only=True, tag="distinct"):
    """How many different texts a property has."""

    type = pa.int64()
    required = True

    def column(self, events: SessionEvents) -> Ints:
        """The number of different texts."""
        session, _ = different(self.texts(events), events.starts, events.ends)
        return np.bincount(session, minlength=len(events.starts))


class First(OfTexts, frozen=True, kw_only=True, tag="first"):
    """The first text of a property; events without one are skipped."""

    type = pa.string()
    person: Literal["latest"] | None = None

    def column(self, events: SessionEvents) -> pa.Array:
        """The text of the earliest event that has one."""
        return first_text(self.texts(events), events.starts)

    def rollups(self) -> tuple[RollUp, ...]:
        """The value of the latest session that has one."""
        return (_latest(self.name),) if self.person else ()


class Last(First, frozen=True, kw_only=True, tag="last"):
    """The last text of a property; events without one are skipped."""

    def column(self, events: SessionEvents) -> pa.Array:
        """The text of the latest event that has one."""
        return last_text(self.texts(events), events.starts, events.ends)


class Values(OfTexts, frozen=True, kw_only=True, tag="values"):
    """The different texts of a property, ascending, at most `limit` of them, and whether there are more."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 20

    def columns(self) -> tuple[Column, ...]:
        """The texts, and whether the list is cut."""
        return (
            Column(self.name, pa.list_(pa.string()), self.description, False),
            Column(f"{self.name}_is_cut", pa.bool_(), f"{self.name} has the first {self.limit:,} only.", True),
        )

    def values(self, events: SessionEvents) -> tuple[Any, ...]:
        """Lists (empty, not null, where there is no text), and flags."""
        lists, sizes = lists_of_different(self.texts(events), events.starts, events.ends, self.limit)
        return lists, sizes > self.limit


def first_text(column: TextColumn, starts: Ints) -> pa.Array:
    """Per group the first text that is there, null where none is."""
    return _at(column, first_known(column.codes, starts))


def last_text(column: TextColumn, starts: Ints, ends: Ints) -> pa.Array:
    """Per group the last text that is there, null where none is."""
    return _at(column, last_known(column.codes, starts, ends))


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
        return last_text(sessions.texts(name), sessions.starts, sessions.starts + sessions.sizes)

    return RollUp(name, pa.string(), f"{name} of the latest session that has one.", False, name, latest)
