"""A metrics file → `Metrics`, checked before anything runs: each problem is one line that says what is allowed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from transforms.machinery.zones import UTC, zone_names
from transforms.metrics import checks, privacy
from transforms.metrics.checks import Check
from transforms.metrics.definitions import CREATED_EVENT, Metrics, MetricsError
from transforms.metrics.kinds import KINDS
from transforms.metrics.kinds.conditions import When, Where
from transforms.metrics.kinds.kind import WANTED, Kind
from transforms.metrics.kinds.links import Link
from transforms.metrics.kinds.occurrences import Count, Flag
from transforms.metrics.privacy import Privacy

Entry = TypeVar("Entry", bound=Kind | Link | Check)

PACKAGED = Path(__file__).with_name("metrics.toml")
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
    "privacy",
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


def load_metrics(path: Path | None = None) -> Metrics:
    """Read and check a metrics file (the packaged one by default).

    Raises:
      MetricsError: in one line, what is wrong where, and what is allowed.
    """
    path = path or PACKAGED
    try:
        if path.is_file() and path.stat().st_size > _MAX_BYTES:
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
        privacy=_privacy(raw),
    )
    _check_references(metrics)
    return metrics


def _entry(name: str, value: Any) -> Kind:
    where = _named("metric", name, value)
    kind = value.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        wrong = f"kind {kind!r} is not one of" if "kind" in value else "kind is missing: one of"
        raise MetricsError(f"{where}: {wrong} {', '.join(KINDS)}")
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


def _privacy(table: Mapping[str, Any]) -> Privacy:
    given = table.get("privacy", {})
    if not isinstance(given, dict):
        raise MetricsError(f"privacy: {given!r} is not a table; write [privacy]")
    _only(given, frozenset(Privacy.__struct_fields__), "privacy")
    try:
        found = msgspec.convert(given, Privacy)
    except msgspec.ValidationError as error:
        raise MetricsError(f"privacy: {_told(str(error), given, privacy.WANTED)}") from error
    if problem := found.problem():
        raise MetricsError(f"privacy: {problem}")
    return found


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
