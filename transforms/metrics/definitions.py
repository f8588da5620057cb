"""The session metrics, read from a TOML file and checked before anything runs.

A metrics file is the one definition of every event-derived column: `Metrics` tells the decoder what to keep of an
event, the session aggregator which columns to make, the person aggregator what to roll up, and `pipeline.tables` which
columns exist. The kinds and their keys are in `transforms.metrics.kinds`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from transforms.machinery.zones import UTC, ZONES_VERSION, zone_names
from transforms.metrics import checks
from transforms.metrics.checks import Check
from transforms.metrics.kinds import KINDS
from transforms.metrics.kinds.conditions import EVENT_NAME, When, Where
from transforms.metrics.kinds.every_session import of_every_session
from transforms.metrics.kinds.kind import WANTED, Column, Kind, Needs, Ratio, RollUp
from transforms.metrics.kinds.links import Link
from transforms.metrics.kinds.occurrences import Count, Flag, flag_sum

Entry = TypeVar("Entry", bound=Kind | Link | Check)
PropertyType = Literal["text", "number", "both", "present"]

_TOP_KEYS = {
    "libraries",
    "max_events_per_session",
    "max_event_age_days",
    "inactive_days",
    "reporting_timezone",
    "dev_builds",
    "engaged_by",
    "engagement_flags",
    "metrics",
    "links",
    "checks",
}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
#: Fields of a kind that an entry does not give itself.
_FILLED_IN = frozenset({"name", "counted"})
#: A file is written by hand, a value is a text or a small number.
_MAX_BYTES = 100_000
_MAX_TOLD = 300
_TOO_MUCH = "a value is nested too deep or too large"
#: Dotted keys (the parser's time is quadratic in their parts), lists and tables inside each other.
_DEEP = re.compile(r"(?:[\w-]{1,64}\.){32}|(?:\[\s*){32}|(?:\{\s*[\w-]{1,64}\s*=\s*){32}")
LIBRARY_PROPERTY = "$lib"
SESSION_PROPERTY = "$session_id"
#: The flag that the pipeline derives from Firebase events; metrics may refer to it but not declare it.
CREATED_EVENT = "created_event"
PACKAGED = Path(__file__).with_name("metrics.toml")


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


def load_metrics(path: Path | None = None) -> Metrics:
    """Read and check a metrics file (the packaged one by default).

    Raises:
      MetricsError: in one line, what is wrong where, and what is allowed.
    """
    path = path or PACKAGED
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise MetricsError(f"metrics file {path}: larger than {_MAX_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise MetricsError(f"metrics file {path}: {reason}") from error
    try:
        if _DEEP.search(text):
            raise MetricsError(_TOO_MUCH)
        return parse_metrics(text)
    except MetricsError as error:
        told = str(error)
        raise MetricsError(
            f"metrics file {path}: {told if len(told) <= _MAX_TOLD else f'{told[:_MAX_TOLD]} …'}"
        ) from error
    except (RecursionError, ValueError, OverflowError) as error:  # of the parser, or of telling the value
        raise MetricsError(f"metrics file {path}: {_TOO_MUCH}") from error


def parse_metrics(text: str) -> Metrics:
    """The `Metrics` of a TOML text; raises `MetricsError` like `load_metrics`."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise MetricsError(f"not TOML: {error}") from error
    _only(raw, _TOP_KEYS, "the file")
    table = raw.get("metrics", {})
    if not isinstance(table, dict) or not table:
        raise MetricsError("no metrics: add at least one [metrics.NAME] entry")
    libraries = _texts(raw, "libraries", "the file", default=["posthog-react-native"])
    limit = _whole(raw, "max_events_per_session", 100_000, 1_000_000)
    oldest = _whole(raw, "max_event_age_days", 1_825, 36_500)
    metrics = Metrics(
        entries=_resolved(tuple(_entry(name, value) for name, value in table.items())),
        libraries=None if "*" in libraries else frozenset(libraries),
        max_events_per_session=limit,
        max_event_age_days=oldest,
        inactive_days=_whole(raw, "inactive_days", 14, 36_500),
        engaged_by=_texts(raw, "engaged_by", "the file", default=[]),
        engagement_flags=_texts(raw, "engagement_flags", "the file", default=[]),
        reporting_timezone=_zone(raw),
        dev_builds=_dev_builds(raw),
        links=_tables(raw, "link", Link, WANTED),
        checks=_tables(raw, "check", Check, checks.WANTED),
    )
    _check_references(metrics)
    return metrics


def _entry(name: str, value: Any) -> Kind:
    where = _named("metric", name, value)
    kind = value.get("kind")
    if kind not in KINDS:
        raise MetricsError(f"{where}: kind {kind!r} is not one of {', '.join(KINDS)}")
    return _converted(name, value, KINDS[kind], {"kind"}, where, {**WANTED, **KINDS[kind].wanted})


def _tables(raw: Mapping[str, Any], noun: str, to: type[Entry], wanted: Mapping[str, str]) -> tuple[Entry, ...]:
    """The entries `[<noun>s.NAME]`."""
    given = raw.get(f"{noun}s", {})
    if not isinstance(given, dict):
        raise MetricsError(f"{noun}s: {given!r} is not a table; write [{noun}s.NAME]")
    named = {name: _named(noun, name, value) for name, value in given.items()}
    return tuple(_converted(name, given[name], to, set(), where, wanted) for name, where in named.items())


def _named(noun: str, name: str, value: Any) -> str:
    """How messages call an entry; its name is one, and it is a table."""
    where = f"{noun} {name!r}"
    if not _NAME.fullmatch(name):
        raise MetricsError(f"{where}: a name is lower-case letters, digits and _ ({_NAME.pattern})")
    if not isinstance(value, dict):
        raise MetricsError(f"{where}: {value!r} is not a table; write [{noun}s.{name}]")
    return where


def _converted(
    name: str, value: dict[str, Any], to: type[Entry], more: set[str], where: str, wanted: Mapping[str, str]
) -> Entry:
    """An entry as what it says it is, whose fields, and `more`, are its keys."""
    _only(value, {*more, *to.__struct_fields__} - _FILLED_IN, where)
    try:
        return msgspec.convert({**value, "name": name}, to)
    except msgspec.ValidationError as error:
        raise MetricsError(f"{where}: {_told(str(error), value, wanted)}") from error


def _told(error: str, value: Mapping[str, Any], wanted: Mapping[str, str]) -> str:
    """What msgspec says of an entry, with the bad value and what it should have been."""
    missing = re.match(r"Object missing required field `(\w+)`", error)
    if missing:
        return f"{missing[1]} is missing; it is {wanted[missing[1]]}"
    wrong = re.search(r"(?: - at (?:`key` in )?`\$\.|^wrong `)(\w+)", error)
    if not wrong:
        return error
    given = repr(value[wrong[1]])
    return f"{wrong[1]} {given} is not {wanted[wrong[1]]}" if len(given) <= _MAX_TOLD else f"{wrong[1]}: {_TOO_MUCH}"


def _resolved(entries: tuple[Kind, ...]) -> tuple[Kind, ...]:
    """Flags of a count know what it counts."""
    counts = {entry.name: entry.condition() for entry in entries if isinstance(entry, Count)}
    found: list[Kind] = []
    for entry in entries:
        if isinstance(entry, Flag) and entry.count is not None:
            if entry.count not in counts:
                raise MetricsError(f"metric {entry.name!r}: count {entry.count!r} is not one of {_list(counts)}")
            entry = msgspec.structs.replace(entry, counted=counts[entry.count])
        found.append(entry)
    return tuple(found)


def _check_references(metrics: Metrics) -> None:
    counts = {entry.name for entry in metrics.entries if isinstance(entry, Count)}
    for name in metrics.engaged_by:
        if name not in counts:
            raise MetricsError(f"engaged_by: {name!r} is not one of the counts {_list(counts)}")
    for name in metrics.engagement_flags:
        if name not in metrics.flags:
            raise MetricsError(f"engagement_flags: {name!r} is not one of the flags {_list(metrics.flags)}")
    for check in metrics.checks:
        if check.metric is not None and check.metric not in counts | {*metrics.flags} - {CREATED_EVENT}:
            raise MetricsError(f"check {check.name!r}: metric {check.metric!r} is no flag or count of the file")
    _ = metrics.properties  # raises when the event's name is used as a number


def _only(table: Mapping[str, Any], allowed: set[str] | frozenset[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise MetricsError(f"{where}: unknown key {key!r}; allowed are {_list(allowed)}")


def _checked(table: Mapping[str, Any], key: str, where: str, valid: Callable[[Any], bool], wanted: str) -> Any:
    value = table.get(key)
    if value is not None and not valid(value):
        raise MetricsError(f"{where}: {key} {value!r} is not {wanted}")
    return value


def _texts(table: Mapping[str, Any], key: str, where: str, default: list[str] | None = None) -> tuple[str, ...]:
    value = _checked(table, key, where, _is_texts, "a non-empty list of texts")
    return tuple(default or ()) if value is None else tuple(value)


def _zone(table: Mapping[str, Any]) -> str:
    zone = table.get("reporting_timezone", UTC)
    if not isinstance(zone, str) or zone not in zone_names():
        raise MetricsError(f"reporting_timezone: {zone!r} is not a zone of the IANA database, as America/Chicago is")
    return zone


def _dev_builds(table: Mapping[str, Any]) -> Where:
    """`dev_builds`, by default Expo Go: no event of a release runs in it."""
    given = table.get("dev_builds", {"$app_namespace": ["host.exp.exponent", "host.exp.Exponent"]})
    try:
        found = msgspec.convert({"where": given}, When)
        found.condition()
    except ValueError as error:
        raise MetricsError(f"dev_builds: {given!r} is not {WANTED['where']}") from error
    return found.where


def _whole(table: Mapping[str, Any], key: str, default: int, most: int) -> int:
    value: int = table.get(key, default)
    if not _is_int(value) or not 1 <= value <= most:
        raise MetricsError(f"{key}: {value!r} is not a whole number from 1 to {most}")
    return value


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(item) for item in value)


def _list(names: Any) -> str:
    return ", ".join(sorted(names)) or "(none)"
