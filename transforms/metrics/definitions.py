"""The session metrics that a file declares; `transforms.metrics.file` reads and checks it.

A metrics file is the one definition of every event-derived column: `Metrics` tells the decoder what to keep of an
event, the session aggregator which columns to make, the person aggregator what to roll up, and `pipeline.tables` which
columns exist. The kinds and their keys are in `transforms.metrics.kinds`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from transforms.machinery.zones import ZONES_VERSION
from transforms.metrics import checks
from transforms.metrics.checks import Check
from transforms.metrics.kinds import KINDS
from transforms.metrics.kinds.conditions import EVENT_NAME, Where
from transforms.metrics.kinds.every_session import of_every_session
from transforms.metrics.kinds.kind import Column, Kind, Needs, Ratio, RollUp
from transforms.metrics.kinds.links import Link
from transforms.metrics.kinds.occurrences import Count, Flag, flag_sum
from transforms.metrics.privacy import Privacy

PropertyType = Literal["text", "number", "both", "present"]

LIBRARY_PROPERTY = "$lib"
SESSION_PROPERTY = "$session_id"
#: The flag that the pipeline derives from Firebase events; metrics may refer to it but not declare it.
CREATED_EVENT = "created_event"


class MetricsError(ValueError):
    """A metrics file is wrong; the message is one line naming the entry, the bad and the allowed value."""


@dataclass(frozen=True)
class Metrics:
    """A checked metrics file. Entries keep the order of the file, which is the order of the columns."""

    entries: tuple[Kind, ...]
    libraries: frozenset[str] | None
    """`$lib` values whose events are used; None for any."""
    max_events_per_session: int
    max_event_age_days: int
    """Events that arrived later than this after they happened have a wrong clock: they are rejected."""
    inactive_days: int
    """A person who is not seen for more days than this has churned, for that time."""
    engaged_by: tuple[str, ...]
    engagement_flags: tuple[str, ...]
    reporting_timezone: str
    """In which days of reports begin and end."""
    dev_builds: Where
    """Properties of events of a build that is no release."""
    links: tuple[Link, ...] = ()
    checks: tuple[Check, ...] = ()
    privacy: Privacy = field(default_factory=Privacy)

    @cached_property
    def day_checks(self) -> tuple[Check, ...]:
        """The checks one by one, where the file has one for every flag and count; no table depends on them."""
        return tuple(checks.for_each(self.checks, [one.name for one in self.entries if isinstance(one, Flag | Count)]))

    @cached_property
    def of_every_session(self) -> tuple[Kind, ...]:
        """The kinds that no entry declares."""
        return of_every_session(self.reporting_timezone, self.dev_builds)

    @cached_property
    def every(self) -> tuple[Kind, ...]:
        """All kinds of a session: those of the entries, then those of every session."""
        return (*self.entries, *self.of_every_session)

    @cached_property
    def declared(self) -> tuple[Kind | Link, ...]:
        """What the file declares of events: its entries, then its links."""
        return (*self.entries, *self.links)

    @cached_property
    def needs(self) -> Needs:
        """What must be kept of every event, each once."""
        every = [entry.needs() for entry in (*self.declared, *self.of_every_session)]
        found = (_once(value for needs in every for value in needs[part]) for part in range(3))
        conditions, texts, numbers = found
        return Needs(conditions, tuple(text for text in texts if text != EVENT_NAME), numbers)  # it has its name anyway

    @cached_property
    def needed_of(self) -> dict[str | Ratio, frozenset[str]]:
        """The texts and numbers of `needs` that are needed of some events only → the names of these events.

        The name belongs to what an event is, so what is left out here is of none of its copies.
        """
        found: dict[str | Ratio, list[frozenset[str] | None]] = {}
        for entry in (*self.declared, *self.of_every_session):
            _, texts, numbers = entry.needs()
            wanted: list[str | Ratio] = [*texts, *numbers]
            for value in wanted:
                found.setdefault(value, []).append(entry.names())
        some = {value: [one for one in names if one is not None] for value, names in found.items()}
        return {value: frozenset().union(*names) for value, names in some.items() if len(names) == len(found[value])}

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns of `sessions` that entries give."""
        return tuple(column for entry in self.entries for column in entry.columns())

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """What links say that was done, each once."""
        return _once(action for link in self.links for action in link.actions)

    @cached_property
    def flags(self) -> tuple[str, ...]:
        """Flags of a session, in the order of their `<flag>_sum` in `persons`."""
        return (CREATED_EVENT, *(entry.name for entry in self.entries if isinstance(entry, Flag)))

    @property
    def rollups(self) -> tuple[RollUp, ...]:
        """The columns of `persons` that come from session metrics: by kind, then in file order."""
        return (flag_sum(CREATED_EVENT), *(column for entry in self._by_kind for column in entry.rollups()))

    @property
    def day_rollups(self) -> tuple[RollUp, ...]:
        """The columns of `person_days` that come from session metrics, in the same order."""
        return (flag_sum(CREATED_EVENT), *(column for entry in self._by_kind for column in entry.day_rollups()))

    @property
    def _by_kind(self) -> list[Kind]:
        return sorted(self.entries, key=lambda entry: [*KINDS.values()].index(type(entry)))

    @cached_property
    def rolled_up(self) -> tuple[str, ...]:
        """The columns of `sessions` that `rollups` are made from."""
        return _once(column.source for column in self.rollups)

    @cached_property
    def properties(self) -> dict[str, PropertyType]:
        """The event properties to decode and how: as text, as number, as both, or only whether they are there."""
        found: dict[str, PropertyType] = {SESSION_PROPERTY: "text"}
        if self.libraries is not None:
            found[LIBRARY_PROPERTY] = "text"
        for name, kind, entry in _uses((*self.declared, *self.of_every_session)):
            if name == EVENT_NAME:
                if kind == "number":
                    raise MetricsError(f"metric {entry!r}: property {name!r} is the event's name, a text, no number")
                continue
            known = found.get(name, "present")
            told = {known, kind} - {"present"}  # presence needs nothing that the others do not give
            found[name] = "both" if len(told) > 1 else told.pop() if told else "present"
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definitions (descriptions aside): tables of different digests never mix."""
        content = {
            "libraries": sorted(self.libraries) if self.libraries is not None else "*",
            "max_events_per_session": self.max_events_per_session,
            "max_event_age_days": self.max_event_age_days,
            "inactive_days": self.inactive_days,
            "reporting_timezone": self.reporting_timezone,
            "zones": ZONES_VERSION,
            "dev_builds": self.dev_builds,
            "engaged_by": self.engaged_by,
            "engagement_flags": self.engagement_flags,
            "entries": [{**msgspec.to_builtins(entry), "description": ""} for entry in self.entries],
            "links": [{**msgspec.to_builtins(link), "description": ""} for link in self.links],
        }
        if self.privacy != Privacy():
            content["privacy"] = msgspec.to_builtins(self.privacy)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _once(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _uses(entries: tuple[Kind | Link, ...]) -> list[tuple[str, PropertyType, str]]:
    """(property, how it is used, metric) for every property that the entries name."""
    uses: list[tuple[str, PropertyType, str]] = []
    for entry in entries:
        conditions, texts, numbers = entry.needs()
        for condition in conditions:
            uses += [(name, "text", entry.name) for name, _ in condition.where]
            if condition.property:
                uses.append((condition.property, "present", entry.name))
        uses += [(name, "text", entry.name) for name in texts]
        for ratio in numbers:
            uses += [(name, "number", entry.name) for name in (ratio.property, ratio.divided_by) if name]
    return uses
