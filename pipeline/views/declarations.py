"""The files of BigQuery's SQL beside this one, a view each, and what a metrics file fills in. Pure.

A file begins with comments: what the view tells, then a line a column (`-- name TYPE: meaning`). `${TABLE}` is a
table or an earlier view. What depends on the metrics file is filled in: `${name}` is a column that a metric gives,
`${FUNNELS}` its sequences, `${ACTIONS}` those of its links. A view of which the metrics file declares a part only is
not made, so that any file will do.

"Now" is the watermark of the ledger: how far the arrivals have come, never the clock.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.times import Sequence

#: All views; each after those that it reads.
NAMES = (
    "daily_active",
    "retention_weekly",
    "retention_days",
    "person_lifecycle",
    "person_funnels",
    "person_links",
    "user_daily_activity",
    "user_churn_state",
    "sessions_aggregated",
    "people_aggregated",
    "checks",
)
_HEADER = re.compile(r"(?:-- .*\n)+")
_COLUMN = re.compile(r"-- (\w+) ([A-Z0-9]+): (.+)")
#: The day that is not finished yet: arrivals have come so far.
_CLOCK = "(SELECT DATE(MAX(watermark), '{zone}') AS today FROM ${{RUNS}})"
#: Days on which a person starts a session, the finished ones.
_ACTIVE_DAYS = "(SELECT DISTINCT person_id, start_date AS date FROM ${{SESSIONS}} WHERE start_date < {clock})"

#: Days on which Firebase users did something, the one that is not finished too, but none of a clock that is ahead.
_USER_DAYS = """(
    SELECT days.*, clock.today
    FROM ${{PERSON_DAYS}} AS days
    CROSS JOIN {clock} AS clock
    WHERE days.user_id IS NOT NULL AND days.date <= clock.today
  )"""
#: Placeholders of what a metrics file may declare nothing of.
_DECLARED = ("FUNNELS", "ACTIONS")


class _Query(Template):
    """SQL with `${name}`; a `$` elsewhere is one, as in a path of JSON."""

    pattern = r"\$\{(?P<braced>[A-Za-z_]\w*)\}|(?P<named>(?!))|(?P<escaped>(?!))|(?P<invalid>(?!))"  # type: ignore[assignment]


@dataclass(frozen=True)
class ViewColumn:
    """A column of a view."""

    name: str
    type: str
    """In BigQuery's words."""
    description: str


@dataclass(frozen=True)
class View:
    """A view under some metrics file."""

    name: str
    description: str
    columns: tuple[ViewColumn, ...]
    template: str
    """The query, in which only names of tables and views are left to be filled in."""

    @property
    def reads(self) -> frozenset[str]:
        """The tables and views that it reads."""
        return frozenset(name.lower() for name in _Query(self.template).get_identifiers())

    def over(self, names: Mapping[str, str]) -> str:
        """The query over tables of these names (of all that it `reads`), in BigQuery's SQL."""
        columns = ", ".join(f"`{column.name}`" for column in self.columns)
        query = _Query(self.template).substitute({name.upper(): quoted for name, quoted in names.items()})
        return f"SELECT {columns} FROM (\n{query})"


def views(metrics: Metrics) -> tuple[View, ...]:
    """The views that can be made under a metrics file, each after those that it reads."""
    clock = _CLOCK.format(zone=metrics.reporting_timezone)
    known = {column.name: f"`{column.name}`" for column in metrics.columns}
    known |= {"CLOCK": clock, "ACTIVE_DAYS": _ACTIVE_DAYS.format(clock=clock)}
    known |= {"USER_DAYS": _USER_DAYS.format(clock=clock), "ZONE": f"'{metrics.reporting_timezone}'"}
    known["INACTIVE_DAYS"] = str(metrics.inactive_days)
    if metrics.actions:
        known["ACTIONS"] = ", ".join(_action(name) for name in metrics.actions)
    sequences = [entry for entry in metrics.entries if isinstance(entry, Sequence)]
    if sequences:
        known["FUNNELS"] = ", ".join(_funnel(entry) for entry in sequences)
    return tuple(_views(known))


def missing(made: Collection[View]) -> tuple[str, ...]:
    """The names of the views that a metrics file gives no columns for."""
    return tuple(name for name in NAMES if name not in {view.name for view in made})


def declared(name: str) -> tuple[str, tuple[ViewColumn, ...], Template]:
    """What the file of a view says: what it tells, its columns, its query."""
    text = Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
    header = _HEADER.match(text)
    assert header, f"{name}.sql begins with what it tells"
    lines = header.group().splitlines()
    columns = tuple(ViewColumn(*found.groups()) for line in lines if (found := _COLUMN.fullmatch(line)))
    told = " ".join(line.removeprefix("-- ") for line in lines if not _COLUMN.fullmatch(line))
    return told, columns, _Query(text[header.end() :])


def _views(known: Mapping[str, str]) -> Iterator[View]:
    lacking = {*_DECLARED} - set(known)
    for name in NAMES:
        told, columns, query = declared(name)
        query = _Query(query.safe_substitute(known))
        asked = set(query.get_identifiers())
        if asked & lacking or not all(one.isupper() for one in asked):
            lacking.add(name.upper())
        else:
            yield View(name, told, columns, query.template)


def _funnel(sequence: Sequence) -> str:
    """A sequence of a session as a value of one type for all of them."""
    columns = ("step", "started_at", "finished_at", "duration", "attempts")
    parts = ", ".join(f"`{sequence.name}_{column}` AS {column}" for column in columns)
    return f"STRUCT('{sequence.name}' AS funnel, {len(sequence.steps)} AS steps, {parts})"


def _action(name: str) -> str:
    """What a row of `session_links` says of an action."""
    return f"STRUCT('{name}' AS action, links.`first_{name}_at` AS first_at, links.`{name}_count` AS number)"
