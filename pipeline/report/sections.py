"""Answers → sections of the report: numbers as a table, with what they say in words. Pure.

A number of persons below `questions.FEWEST` is hidden, wherever it stands, and so is what would tell it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from pipeline.report.questions import FEWEST
from pipeline.report.readers import Rows
from pipeline.report.run_sections import checks, posthog, quality, reasons
from pipeline.report.section import HIDDEN, TITLES, Cell, Section, guarded, picked

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK = timedelta(days=7)
#: So much is shown: what is older is in the views.
_DAYS, _WEEKS, _COHORTS = 91, 26, 13
#: What is said where an answer has no rows.
_NOTHING = {
    **dict.fromkeys(("days", "entry", "exit", "versions", "hours"), "No day with sessions of enough persons is over."),
    **dict.fromkeys(("weeks", "retention"), "No week with sessions is over."),
    "funnels": "Nobody has taken the first step of a sequence yet.",
    "links": "Nobody has viewed such an object on a finished day.",
    "checks": "The metrics file declares no check, or the run is older than the checks.",
}
#: Sections that are made of another answer than that of their name.
_MADE_OF = {"quality": "runs", "reasons": "runs", "posthog": "runs"}


def sections(answers: Mapping[str, Rows]) -> list[Section]:
    """The sections of what was asked, in the order of the page; of an answer without rows, what that means."""
    made = {
        "days": days,
        "weeks": weeks,
        "retention": retention,
        "funnels": funnels,
        "links": links,
        "entry": entry,
        "exit": exits,
        "versions": versions,
        "hours": hours,
        "quality": quality,
        "reasons": reasons,
        "posthog": posthog,
        "checks": checks,
    }
    found = []
    for name in TITLES:
        rows = answers.get(_MADE_OF.get(name, name))
        if rows:
            found.append(made[name](rows))
        elif rows is not None:
            found.append(Section(name, _NOTHING[name], (), ()))
    return found


def days(rows: Rows) -> Section:
    """Sessions and active persons by day, beside the same weekday a week before."""
    known: dict[date, Mapping[str, Any]] = {row["date"]: row for row in rows}
    table = []
    for row in rows:
        before = known.get(row["date"] - _WEEK, {})
        shown = [_sessions(one) for one in (row, before)], [guarded(one.get("dau")) for one in (row, before)]
        table.append((row["date"], *shown[0], *shown[1], guarded(row["new_persons"])))
    last = next((row for row in reversed(rows) if row["dau"] >= FEWEST), rows[-1])
    before, empty = known.get(last["date"] - _WEEK, {}), (rows[-1]["date"] - last["date"]).days
    told = (
        f"{last['date']:%A, %-d %B}: {_number(_sessions(last))} sessions{_against(last, before, 'sessions')}, "
        f"{_number(guarded(last['dau']))} active persons{_against(last, before, 'dau')}."
    )
    since = f" Since then, for {empty} finished {'day' if empty == 1 else 'days'}, fewer than {FEWEST} persons a day."
    told += since if empty else ""
    columns = (
        ("date", "Day"),
        ("sessions", "Sessions"),
        ("sessions_before", "A week before"),
        ("dau", "Active persons"),
        ("dau_before", "A week before"),
        ("new_persons", "New persons"),
    )
    return Section("days", told, columns, tuple(table[-_DAYS:]))


def weeks(rows: Rows) -> Section:
    """New, returning, resurrecting and dormant persons by week."""
    kinds = ("new_persons", "returning_persons", "resurrecting_persons", "dormant_persons")
    labels = ("New", "Returning", "Resurrecting", "Dormant")
    table = tuple((row["week"], *(guarded(row[kind]) for kind in kinds)) for row in rows)
    last = rows[-1]
    parts = ", ".join(
        f"{_number(guarded(last[kind]))} {label.lower()}" for kind, label in zip(kinds, labels, strict=True)
    )
    told = (
        f"In the last finished week, from {last['week']:%-d %B} on: {parts}. Dormant are those of the week before who "
        "stayed away."
    )
    return Section("weeks", told, (("week", "Week"), *zip(kinds, labels, strict=True)), table[-_WEEKS:])


def retention(rows: Rows) -> Section:
    """A line a week of first sessions: who came back how many weeks later, in finished weeks."""
    shown = sorted({row["cohort_week"] for row in rows})[-_COHORTS:]
    rows = [row for row in rows if row["cohort_week"] in shown]
    furthest = max(row["week_number"] for row in rows)
    cohorts: dict[date, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        cohorts.setdefault(row["cohort_week"], {})[row["week_number"]] = row
    table = []
    for week, found in cohorts.items():
        size = next(iter(found.values()))["cohort_size"]
        shares = (_share(found[n]) if n in found else None for n in range(furthest + 1))
        table.append((week, guarded(size), *shares))
    columns = (("cohort_week", "Week of the first session"), ("cohort_size", "Persons"))
    later = tuple((f"week_{n}", f"Week {n}") for n in range(furthest + 1))
    first = [row for row in rows if row["week_number"] == 1 and _share(row) not in (HIDDEN, None)]
    active, size = (sum(row[name] for row in first) for name in ("active", "cohort_size"))
    told = (
        f"Of the persons who came first in a finished week, {active / size:.0%} came back in the next." if size else ""
    )
    return Section("retention", told or "No later week is finished yet.", (*columns, *later), tuple(table))


def funnels(rows: Rows) -> Section:
    """How many persons reached each step of the declared sequences."""
    table, first = [], {row["funnel"]: row["persons"] for row in reversed(rows)}
    for row in rows:
        persons = guarded(row["persons"])
        share = HIDDEN if HIDDEN in (persons, guarded(first[row["funnel"]])) else row["persons"] / first[row["funnel"]]
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
    return Section("funnels", told, columns, tuple(table))


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
        persons, joiners = guarded(row["persons"]), guarded(row["joiners"])
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
    return Section("links", " ".join(told), columns, tuple(table))


def entry(rows: Rows) -> Section:
    """The screens on which most sessions begin."""
    return _screens("entry", "begin", rows)


def exits(rows: Rows) -> Section:
    """The screens on which most sessions end."""
    return _screens("exit", "end", rows)


def _screens(name: str, verb: str, rows: Rows) -> Section:
    told = f"Most sessions {verb} on {rows[0]['screen']}: {rows[0]['sessions']:,}."
    columns = (("screen", "Screen"), ("sessions", "Sessions"), ("persons", "Persons"))
    return Section(name, told, columns, picked(rows, columns))


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
    return Section("versions", told, columns, picked(rows, columns))


def hours(rows: Rows) -> Section:
    """Sessions by weekday and hour of who is on the phone."""
    table = tuple((WEEKDAYS[row["weekday"] - 1], row["hour"], row["sessions"], row["persons"]) for row in rows)
    weekday, hour, *_ = max(table, key=lambda row: row[2])
    told = (
        f"Most sessions start on {weekday} between {hour} and {hour + 1} o'clock, in the time zone of the phone. "
        f"Hours of fewer than {FEWEST} persons are left empty."
    )
    columns = (("weekday", "Weekday"), ("hour", "Hour"), ("sessions", "Sessions"), ("persons", "Persons"))
    return Section("hours", told, columns, table)


def _sessions(day: Mapping[str, Any]) -> Cell:
    """Sessions of a day: those of so few persons tell of them."""
    return HIDDEN if guarded(day.get("dau")) == HIDDEN else day.get("sessions")


def _share(row: Mapping[str, Any]) -> Cell:
    hidden = HIDDEN in (guarded(row["active"]), guarded(row["cohort_size"]))
    return HIDDEN if hidden else row["active"] / row["cohort_size"]


def _number(cell: Cell) -> str:
    return f"fewer than {FEWEST}" if cell == HIDDEN else f"{cell:,}"


def _against(row: Mapping[str, Any], before: Mapping[str, Any], name: str) -> str:
    """How much more than a week before; nothing where one of the two is hidden."""
    if not before or not before[name] or HIDDEN in (guarded(row["dau"]), guarded(before["dau"])):
        return ""
    return f" ({row[name] / before[name] - 1:+.0%} against a week before)"
