"""The session metrics, read from a TOML file and checked before anything runs.

A metrics file is the one definition of every event-derived column: `Metrics` tells the decoder which
properties to read, the session aggregator what to keep, the person aggregator what to roll up, and
`pipeline.tables` which columns exist. The kinds and their keys are in `_KEYS`.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

Kind = Literal["flag", "count", "distinct", "first", "last", "max"]
PropertyType = Literal["text", "number", "present"]

#: `kind` → the keys that its entry may have besides `kind` and `description`.
_KEYS: dict[str, frozenset[str]] = {
    "flag": frozenset({"events", "name_contains", "screens", "count"}),
    "count": frozenset({"events", "name_contains", "screens", "property", "person_noun"}),
    "distinct": frozenset({"property"}),
    "first": frozenset({"property", "person"}),
    "last": frozenset({"property", "person"}),
    "max": frozenset({"property", "divided_by", "clip"}),
}
#: Keys of which a flag or a count needs exactly one: what makes an event match.
_CONDITIONS = {
    "flag": ("events", "name_contains", "screens", "count"),
    "count": ("events", "name_contains", "screens", "property"),
}
_TOP_KEYS = {"libraries", "max_events_per_session", "engaged_by", "engagement_flags", "metrics"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
_MAX_COUNTS = 16  # a count is a bit of the per-event mask in the session accumulator
_MAX_FLAGS = 62  # a flag is a bit of one signed 64-bit integer
#: A file is written by hand, a value is a text or a small number.
_MAX_BYTES = 100_000
_MAX_TOLD = 300
_TOO_MUCH = "a value is nested too deep or too large"
_DEEP = re.compile(r"(?:[\w-]{1,64}\.){32}")  # the parser's time is quadratic in the parts of a dotted key
SCREEN_PROPERTY = "$screen_name"
LIBRARY_PROPERTY = "$lib"
SESSION_PROPERTY = "$session_id"
#: The flag that the pipeline derives from Firebase events; metrics may refer to it but not declare it.
CREATED_EVENT = "created_event"
PACKAGED = Path(__file__).with_name("metrics.toml")


class MetricsError(ValueError):
    """A metrics file is wrong; the message is one line naming the entry, the bad and the allowed value."""


@dataclass(frozen=True)
class Metric:
    """One entry of a metrics file: a column of `sessions` and what it gives to `persons`."""

    name: str
    kind: Kind
    description: str
    events: tuple[str, ...] = ()
    name_contains: tuple[str, ...] = ()
    screens: tuple[str, ...] = ()
    count: str | None = None
    property: str | None = None
    divided_by: str | None = None
    clip: tuple[float, float] | None = None
    person: Literal["latest"] | None = None
    person_noun: str | None = None

    def matches_name(self, event: str) -> bool:
        """Whether an event of this name makes the flag true or counts, by name alone."""
        if self.name_contains:
            folded = event.casefold()
            return all(part.casefold() in folded for part in self.name_contains)
        return event in self.events


@dataclass(frozen=True)
class Metrics:
    """A checked metrics file. Entries keep the order of the file, which is the order of the columns."""

    entries: tuple[Metric, ...]
    libraries: frozenset[str] | None
    """`$lib` values whose events are used; None for any."""
    max_events_per_session: int
    engaged_by: tuple[str, ...]
    engagement_flags: tuple[str, ...]

    def of_kind(self, *kinds: Kind) -> tuple[Metric, ...]:
        """The entries of these kinds, in file order."""
        return tuple(entry for entry in self.entries if entry.kind in kinds)

    @cached_property
    def event_flags(self) -> tuple[Metric, ...]:
        """Flags decided by single events; entry i is bit i of the accumulator's flags."""
        return tuple(entry for entry in self.of_kind("flag") if entry.count is None)

    @cached_property
    def counts(self) -> tuple[Metric, ...]:
        """Counts; entry i is bit i of an event's mask."""
        return self.of_kind("count")

    @cached_property
    def distincts(self) -> tuple[Metric, ...]:
        """Distinct counts, in the order of the accumulator's sets."""
        return self.of_kind("distinct")

    @cached_property
    def edges(self) -> tuple[Metric, ...]:
        """Firsts and lasts, in the order of the accumulator's edges."""
        return self.of_kind("first", "last")

    @cached_property
    def maxima(self) -> tuple[Metric, ...]:
        """Maxima, in the order of the accumulator's maxima."""
        return self.of_kind("max")

    @cached_property
    def person_flags(self) -> tuple[str, ...]:
        """Flags with a `<flag>_sum` column in `persons`, in column order."""
        return (CREATED_EVENT, *(entry.name for entry in self.of_kind("flag")))

    @cached_property
    def person_counts(self) -> tuple[Metric, ...]:
        """Counts with total, average and maximum columns in `persons`."""
        return tuple(entry for entry in self.counts if entry.person_noun)

    @cached_property
    def person_latest(self) -> tuple[Metric, ...]:
        """Firsts and lasts whose value in the latest session that has one goes to `persons`."""
        return tuple(entry for entry in self.edges if entry.person == "latest")

    @cached_property
    def properties(self) -> dict[str, PropertyType]:
        """The event properties to decode and how: text and number beat mere presence."""
        found: dict[str, PropertyType] = {SESSION_PROPERTY: "text"}
        if self.libraries is not None:
            found[LIBRARY_PROPERTY] = "text"
        for name, kind, entry in _uses(self.entries):
            known = found.get(name, "present")
            if known != "present" and kind not in ("present", known):
                raise MetricsError(
                    f"metric {entry!r}: property {name!r} is used as {kind} here and as {known} elsewhere; "
                    "use it as one of text, number"
                )
            found[name] = known if kind == "present" else kind
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the definitions (descriptions aside): tables of different digests never mix."""
        content = {
            "libraries": sorted(self.libraries) if self.libraries is not None else "*",
            "max_events_per_session": self.max_events_per_session,
            "engaged_by": self.engaged_by,
            "engagement_flags": self.engagement_flags,
            "entries": [{**vars(entry), "description": ""} for entry in self.entries],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _uses(entries: tuple[Metric, ...]) -> list[tuple[str, PropertyType, str]]:
    """(property, how it is used, metric) for every property that the entries name."""
    uses: list[tuple[str, PropertyType, str]] = []
    for entry in entries:
        if entry.screens:
            uses.append((SCREEN_PROPERTY, "text", entry.name))
        if entry.property:
            kind: PropertyType = "number" if entry.kind == "max" else "present" if entry.kind == "count" else "text"
            uses.append((entry.property, kind, entry.name))
        if entry.divided_by:
            uses.append((entry.divided_by, "number", entry.name))
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
    limit = raw.get("max_events_per_session", 100_000)
    if not _is_int(limit) or not 1 <= limit <= 1_000_000:
        raise MetricsError(f"max_events_per_session: {limit!r} is not a whole number from 1 to 1000000")
    metrics = Metrics(
        entries=tuple(_entry(name, value) for name, value in table.items()),
        libraries=None if "*" in libraries else frozenset(libraries),
        max_events_per_session=limit,
        engaged_by=_texts(raw, "engaged_by", "the file", default=[]),
        engagement_flags=_texts(raw, "engagement_flags", "the file", default=[]),
    )
    _check_references(metrics)
    return metrics


def _entry(name: str, value: Any) -> Metric:
    where = f"metric {name!r}"
    if not _NAME.fullmatch(name):
        raise MetricsError(f"{where}: a name is lower-case letters, digits and _ ({_NAME.pattern})")
    if not isinstance(value, dict):
        raise MetricsError(f"{where}: {value!r} is not a table; write [metrics.{name}]")
    kind = value.get("kind")
    if kind not in _KEYS:
        raise MetricsError(f"{where}: kind {kind!r} is not one of {', '.join(_KEYS)}")
    _only(value, {"kind", "description"} | _KEYS[kind], where)
    entry = Metric(
        name=name,
        kind=kind,
        description=_text(value, "description", where, required=True) or "",
        events=_texts(value, "events", where),
        name_contains=_texts(value, "name_contains", where),
        screens=_texts(value, "screens", where),
        count=_text(value, "count", where),
        property=_text(value, "property", where, required=kind in ("distinct", "first", "last", "max")),
        divided_by=_text(value, "divided_by", where),
        clip=_clip(value, where),
        person=_choice(value, "person", where, ("latest",)),
        person_noun=_text(value, "person_noun", where),
    )
    conditions = _CONDITIONS.get(kind)
    if conditions and sum(key in value for key in conditions) != 1:
        raise MetricsError(f"{where}: a {kind} needs exactly one of {', '.join(conditions)}")
    if entry.person_noun and not _NAME.fullmatch(entry.person_noun):
        raise MetricsError(f"{where}: person_noun {entry.person_noun!r} does not match {_NAME.pattern}")
    return entry


def _check_references(metrics: Metrics) -> None:
    counts = {entry.name for entry in metrics.counts}
    for entry in metrics.of_kind("flag"):
        if entry.count is not None and entry.count not in counts:
            raise MetricsError(f"metric {entry.name!r}: count {entry.count!r} is not one of {_list(counts)}")
    for name in metrics.engaged_by:
        if name not in counts:
            raise MetricsError(f"engaged_by: {name!r} is not one of the counts {_list(counts)}")
    for name in metrics.engagement_flags:
        if name not in metrics.person_flags:
            raise MetricsError(f"engagement_flags: {name!r} is not one of the flags {_list(metrics.person_flags)}")
    for what, used, limit in (
        ("count", metrics.counts, _MAX_COUNTS),
        ("flag", metrics.event_flags, _MAX_FLAGS),
    ):
        if len(used) > limit:
            raise MetricsError(f"{len(used)} metrics of kind {what!r}: at most {limit} are allowed")
    _ = metrics.properties  # raises when one property is used as two types


def _only(table: Mapping[str, Any], allowed: set[str] | frozenset[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise MetricsError(f"{where}: unknown key {key!r}; allowed are {_list(allowed)}")


def _checked(table: Mapping[str, Any], key: str, where: str, valid: Callable[[Any], bool], wanted: str) -> Any:
    value = table.get(key)
    if value is not None and not valid(value):
        raise MetricsError(f"{where}: {key} {value!r} is not {wanted}")
    return value


def _text(table: Mapping[str, Any], key: str, where: str, *, required: bool = False) -> str | None:
    value: str | None = _checked(table, key, where, _is_text, "a non-empty text")
    if required and value is None:
        raise MetricsError(f"{where}: {key} is missing; it is a non-empty text")
    return value


def _texts(table: Mapping[str, Any], key: str, where: str, default: list[str] | None = None) -> tuple[str, ...]:
    value = _checked(table, key, where, _is_texts, "a non-empty list of texts")
    return tuple(default or ()) if value is None else tuple(value)


def _choice(
    table: Mapping[str, Any], key: str, where: str, allowed: tuple[Literal["latest"], ...]
) -> Literal["latest"] | None:
    value: Literal["latest"] | None = _checked(
        table, key, where, lambda given: given in allowed, f"one of {_list(allowed)}"
    )
    return value


def _clip(table: Mapping[str, Any], where: str) -> tuple[float, float] | None:
    value = _checked(table, "clip", where, _is_range, "two ascending numbers such as [0.0, 1.0]")
    return None if value is None else (float(value[0]), float(value[1]))


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_text(item) for item in value)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(_is_int(item) or isinstance(item, float) for item in value)
        and value[0] < value[1]
    )


def _list(names: Any) -> str:
    return ", ".join(sorted(names)) or "(none)"
