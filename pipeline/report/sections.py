"""Answers → sections of the report: numbers as a table, with what they say in words. Pure.

A number of persons below `questions.FEWEST` is hidden, wherever it stands, and so is what would tell it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from pipeline.report.questions import FEWEST
from pipeline.report.sources import Rows

#: Stands for a number of persons that could be somebody.
HIDDEN = f"<{FEWEST}"
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
Cell = Any
_WEEK = timedelta(days=7)


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    name: str
    title: str
    told: str
    """What it shows, in a sentence or two."""
    columns: tuple[tuple[str, str], ...]
    """Name and label of each."""
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def records(self) -> list[dict[str, Cell]]:
        """The rows by name of column; what is hidden is None."""
        names = [name for name, _ in self.columns]
        return [dict(zip(names, (None if c == HIDDEN else c for c in row), strict=True)) for row in self.rows]


def sections(answers: Mapping[str, Rows]) -> list[Section]:
    """The sections that some answers give, in the order of the page; an answer without rows gives none."""
    made = {
        "days": days,
        "weeks": weeks,
        "retention": retention,
        "funnels": funnels,
        "links": links,
        "entry": entry,
        "exit": exits,
    }
    made |= {"versions": versions, "hours": hours, "runs": quality, "reasons": reasons, "checks": checks}
    asked = {**answers, "reasons": answers.get("runs", [])}
    return [section(asked[name]) for name, section in made.items() if asked.get(name)]


def days(rows: Rows) -> Section:
    """Sessions and active persons by day, beside the same weekday a week before."""
    known: dict[date, Mapping[str, Any]] = {row["date"]: row for row in rows}
    table = []
    for row in rows:
        before = known.get(row["date"] - _WEEK, {})
        shown = [_sessions(one) for one in (row, before)], [_persons(one.get("dau")) for one in (row, before)]
        table.append((row["date"], *shown[0], *shown[1], _persons(row["new_persons"])))
    last, before = rows[-1], known.get(rows[-1]["date"] - _WEEK, {})
    told = (
        f"{last['date']:%A, %-d %B}: {_number(_sessions(last))} sessions{_against(last, before, 'sessions')}, "
        f"{_number(_persons(last['dau']))} active persons{_against(last, before, 'dau')}."
    )
    columns = (
        ("date", "Day"),
        ("sessions", "Sessions"),
        ("sessions_before", "A week before"),
        ("dau", "Active persons"),
        ("dau_before", "A week before"),
        ("new_persons", "New persons"),
    )
    return Section("days", "Sessions and active persons by day", told, columns, tuple(table))


def weeks(rows: Rows) -> Section:
    """New, returning, resurrecting and dormant persons by week."""
    kinds = ("new_persons", "returning_persons", "resurrecting_persons", "dormant_persons")
    labels = ("New", "Returning", "Resurrecting", "Dormant")
    table = tuple((row["week"], *(_persons(row[kind]) for kind in kinds)) for row in rows)
    last = rows[-1]
    parts = ", ".join(
        f"{_number(_persons(last[kind]))} {label.lower()}" for kind, label in zip(kinds, labels, strict=True)
    )
    told = (
        f"In the last finished week, from {last['week']:%-d %B} on: {parts}. Dormant are those of the week before who "
        "stayed away."
    )
    return Section(
        "weeks", "Where persons come from and go to", told, (("week", "Week"), *zip(kinds, labels, strict=True)), table
    )


def retention(rows: Rows) -> Section:
    """A line a week of first sessions: who came back how many weeks later, in finished weeks."""
    furthest = max(row["week_number"] for row in rows)
    cohorts: dict[date, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        cohorts.setdefault(row["cohort_week"], {})[row["week_number"]] = row
    table = []
    for week, found in cohorts.items():
        size = next(iter(found.values()))["cohort_size"]
        shares = (_share(found[n]) if n in found else None for n in range(furthest + 1))
        table.append((week, _persons(size), *shares))
    columns = (("cohort_week", "Week of the first session"), ("cohort_size", "Persons"))
    later = tuple((f"week_{n}", f"Week {n}") for n in range(furthest + 1))
    first = [row for row in rows if row["week_number"] == 1 and _share(row) not in (HIDDEN, None)]
    active, size = (sum(row[name] for row in first) for name in ("active", "cohort_size"))
    told = (
        f"Of the persons who came first in a finished week, {active / size:.0%} came back in the next." if size else ""
    )
    return Section(
        "retention", "Who comes back", told or "No later week is finished yet.", (*columns, *later), tuple(table)
    )


def funnels(rows: Rows) -> Section:
    """How many persons reached each step of the declared sequences."""
    table, first = [], {row["funnel"]: row["persons"] for row in reversed(rows)}
    for row in rows:
        persons = _persons(row["persons"])
        share = HIDDEN if HIDDEN in (persons, _persons(first[row["funnel"]])) else row["persons"] / first[row["funnel"]]
        table.append(
            (row["funnel"], row["step"], persons, share, row["median_seconds"] if persons != HIDDEN else HIDDEN)
        )
    told = " ".join(_funnel_told(name, [row for row in rows if row["funnel"] == name]) for name in first)
    columns = (
        ("funnel", "Sequence"),
        ("step", "Step"),
        ("persons", "Persons"),
        ("share", "Of the first step"),
        ("median_seconds", "Median seconds from first to last step"),
    )
    return Section("funnels", "How far persons come", told, columns, tuple(table))


def _funnel_told(name: str, rows: Rows) -> str:
    first, last = rows[0]["persons"], rows[-1]["persons"]
    if min(first, last) < FEWEST:
        return f"Of {name} too few persons reached the last step to tell."
    usual = f", in {rows[-1]['median_seconds']:,.0f} seconds in the median" if rows[-1]["median_seconds"] else ""
    return f"{last / first:.0%} of those who began {name} finished it in order{usual}."


def links(rows: Rows) -> Section:
    """Of the objects that persons viewed, how many the same persons joined."""
    table, told = [], []
    for row in rows:
        persons, joiners = _persons(row["persons"]), _persons(row["joiners"])
        hidden = HIDDEN in (persons, joiners)
        counts = [HIDDEN] * 3 if hidden else [row["viewed"], row["joined"], row["joined"] / row["viewed"]]
        table.append((row["link"], persons, joiners, *counts))
        if not hidden:
            told.append(
                f"{counts[2]:.0%} of the times that a person views one {row['link']}, the same person joins it."
            )
    columns = (
        ("link", "Object"),
        ("persons", "Persons who viewed one"),
        ("joiners", "Persons who joined one that they had viewed"),
        ("viewed", "Persons × objects viewed"),
        ("joined", "Of them joined"),
        ("share", "Share"),
    )
    return Section("links", "Viewed and joined: the same object", " ".join(told), columns, tuple(table))


def entry(rows: Rows) -> Section:
    """The screens on which most sessions begin."""
    return _screens("entry", "Where sessions begin", "begin", rows)


def exits(rows: Rows) -> Section:
    """The screens on which most sessions end."""
    return _screens("exit", "Where sessions end", "end", rows)


def _screens(name: str, title: str, verb: str, rows: Rows) -> Section:
    told = f"Most sessions {verb} on {rows[0]['screen']}: {rows[0]['sessions']:,}."
    columns = (("screen", "Screen"), ("sessions", "Sessions"), ("persons", "Persons"))
    return Section(name, title, told, columns, _table(rows, columns))


def versions(rows: Rows) -> Section:
    """How long sessions of an app version are, all in all and in the foreground."""
    top = rows[0]
    told = (
        f"Half of the sessions of {top['app_version']}, the most used version, last longer than "
        f"{top['median_duration']:,.0f} s, of which {top['median_foreground']:,.0f} s are in the foreground."
    )
    columns = (
        ("app_version", "App version"),
        ("sessions", "Sessions"),
        ("persons", "Persons"),
        ("median_duration", "Median duration, s"),
        ("median_foreground", "Median in the foreground, s"),
    )
    return Section("versions", "How long sessions are, by app version", told, columns, _table(rows, columns))


def hours(rows: Rows) -> Section:
    """Sessions by weekday and hour of who is on the phone."""
    table = tuple((WEEKDAYS[row["weekday"] - 1], row["hour"], row["sessions"], row["persons"]) for row in rows)
    weekday, hour, *_ = max(table, key=lambda row: row[2])
    told = f"Most sessions start on {weekday} between {hour} and {hour + 1} o'clock, in the time zone of the phone."
    columns = (("weekday", "Weekday"), ("hour", "Hour"), ("sessions", "Sessions"), ("persons", "Persons"))
    return Section("hours", "When sessions start, in local time", told, columns, table)


def quality(rows: Rows) -> Section:
    """What the last runs could not use, from the oldest to the newest."""
    table = tuple(_run_row(row) for row in reversed(rows))
    last = rows[0]
    share = last["rows_rejected"] / last["rows_read"] if last["rows_read"] else 0.0
    told = f"The last run rejected {last['rows_rejected']:,} of {last['rows_read']:,} rows ({share:.2%})."
    columns = (
        ("published_at", "Published (UTC)"),
        ("mode", "Mode"),
        ("seconds", "Seconds"),
        ("rows_read", "Rows read"),
        ("rejected", "Rejected"),
        ("duplicates", "Duplicates"),
        ("late", "Late"),
        ("nulled", "Values nulled"),
        ("too_old", "Sessions that wait"),
        ("differ", "PostHog's sessions that differ"),
        ("matched", "of"),
    )
    return Section("quality", "Data quality of the last runs", told, columns, table)


def _run_row(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    notes, filtered = json.loads(row["notes"]), json.loads(row["filtered"])
    differs = [n for name, n in notes.items() if name.startswith("posthog_sessions.") and name.endswith("_differs")]
    return (
        f"{row['published_at']:%Y-%m-%d %H:%M:%S}",
        row["mode"],
        round(row["seconds"], 1),
        row["rows_read"],
        row["rows_rejected"],
        row["rows_duplicate"],
        filtered.get("late", 0),
        sum(number for name, number in notes.items() if name.startswith("nulled.")),
        row["sessions_too_old"],
        max(differs, default=0),
        notes.get("posthog_sessions.matched", 0),
    )


def reasons(rows: Rows) -> Section:
    """Why rows were rejected, in the last runs together."""
    found = Counter[str]()
    for row in rows:
        found.update(json.loads(row["rejected"]))
    table = tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
    told = f"Most often in the last {len(rows)} runs: {table[0][0]}." if table else "No row was rejected."
    return Section("reasons", "Why rows were rejected", told, (("reason", "Reason"), ("rows", "Rows")), table)


def checks(rows: Rows) -> Section:
    """What the checks of the last run say."""
    bad = [row["check"] for row in rows if row["status"] != "ok"]
    told = f"Not as expected: {', '.join(bad)}." if bad else f"All {len(rows)} checks are as expected."
    columns = tuple((name, name.capitalize()) for name in ("check", "value", "expected", "lower", "upper", "status"))
    return Section("checks", "Checks of the last run", told, columns, _table(rows, columns))


def _table(rows: Rows, columns: Sequence[tuple[str, str]]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(tuple(row[name] for name, _ in columns) for row in rows)


def _persons(number: int | None) -> Cell:
    return HIDDEN if number is not None and 0 < number < FEWEST else number


def _sessions(day: Mapping[str, Any]) -> Cell:
    """Sessions of a day: those of so few persons tell of them."""
    return HIDDEN if _persons(day.get("dau")) == HIDDEN else day.get("sessions")


def _share(row: Mapping[str, Any]) -> Cell:
    hidden = HIDDEN in (_persons(row["active"]), _persons(row["cohort_size"]))
    return HIDDEN if hidden else row["active"] / row["cohort_size"]


def _number(cell: Cell) -> str:
    return f"fewer than {FEWEST}" if cell == HIDDEN else f"{cell:,}"


def _against(row: Mapping[str, Any], before: Mapping[str, Any], name: str) -> str:
    """How much more than a week before; nothing where one of the two is hidden."""
    if not before or not before[name] or HIDDEN in (_persons(row["dau"]), _persons(before["dau"])):
        return ""
    return f" ({row[name] / before[name] - 1:+.0%} against a week before)"
