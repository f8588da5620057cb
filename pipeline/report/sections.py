"""Answers → sections of the report: numbers as a table, with what they say in words. Pure.

A number of persons below `questions.FEWEST` is hidden, wherever it stands, and so is what would tell it. Numbers that
add up to a known one tell the one of them that is hidden, so another is withheld with it. Longer chains, through
several sections, are not looked for, nor what a told number leaves of another told one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, TypeVar

from pipeline.report.questions import FEWEST
from pipeline.report.readers import Rows
from pipeline.report.run_sections import checks, posthog, quality, reasons
from pipeline.report.section import HIDDEN, TITLES, WITHHELD, Cell, Section, guarded, is_hidden, picked

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEK = timedelta(days=7)
_Key = TypeVar("_Key")
#: So much is shown: what is older is in the views.
_DAYS, _WEEKS, _COHORTS = 91, 26, 13
#: What is said where an answer has no rows.
_NOTHING = {
    "days": "No day with sessions is over.",
    **dict.fromkeys(
        ("entry", "exit", "versions", "hours"), "None has sessions of enough persons on the days that are over."
    ),
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
    table, new = [], _new_persons(rows)
    for row in rows:
        before = known.get(row["date"] - _WEEK, {})
        shown = [_sessions(one) for one in (row, before)], [guarded(one.get("dau")) for one in (row, before)]
        table.append((row["date"], *shown[0], *shown[1], new[row["date"]]))
    last = next((row for row in reversed(rows) if row["dau"] >= FEWEST), rows[-1])
    before, empty = known.get(last["date"] - _WEEK, {}), (rows[-1]["date"] - last["date"]).days
    started = _sessions(last)
    told = f"{last['date']:%A, %-d %B}: "
    told += "" if is_hidden(started) else f"{started:,} sessions{_against(last, before, 'sessions')}, "
    told += f"{_number(guarded(last['dau']))} active persons{_against(last, before, 'dau')}."
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
    table = _balanced(table)
    last, shown = rows[-1], zip(table[-1][1:], labels, strict=True)
    parts = ", ".join(f"{_number(cell)} {label.lower()}" for cell, label in shown if cell != WITHHELD)
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
    table, shares = [], _shares(rows)
    for week, found in cohorts.items():
        size = next(iter(found.values()))["cohort_size"]
        table.append((week, guarded(size), *(shares.get((week, n)) for n in range(furthest + 1))))
    columns = (("cohort_week", "Week of the first session"), ("cohort_size", "Persons"))
    later = tuple((f"week_{n}", f"Week {n}") for n in range(furthest + 1))
    first = [row for row in rows if row["week_number"] == 1 and not is_hidden(shares[row["cohort_week"], 1])]
    active, size = (sum(row[name] for row in first) for name in ("active", "cohort_size"))
    told = (
        f"Of the persons who came first in a finished week, {active / size:.0%} came back in the next." if size else ""
    )
    return Section("retention", told or "No later week is finished yet.", (*columns, *later), tuple(table))


def funnels(rows: Rows) -> Section:
    """How many persons reached each step of the declared sequences."""
    table, first = [], {row["funnel"]: row["persons"] for row in reversed(rows)}
    finished = {row["funnel"]: guarded(row["persons"]) for row in rows}  # those whose seconds they are, at every step
    for row in rows:
        name, persons = row["funnel"], guarded(row["persons"])
        share = WITHHELD if HIDDEN in (persons, guarded(first[name])) else row["persons"] / first[name]
        seconds = WITHHELD if finished[name] == HIDDEN else row["median_seconds"]
        table.append((name, row["step"], persons, share, seconds))
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
        counts = [WITHHELD] * 3 if hidden else [row["viewed"], row["joined"], row["joined"] / row["viewed"]]
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
    return Section("links", " ".join(told) or "Too few persons viewed or joined one to tell.", columns, tuple(table))


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
        f"{top['median_duration']:,.0f} s; half are in the foreground for longer than "
        f"{top['median_foreground']:,.0f} s."
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
    return WITHHELD if guarded(day.get("dau")) == HIDDEN else day.get("sessions")


def _new_persons(rows: Rows) -> dict[date, Cell]:
    """New persons by day. The days of a week add up to the new persons of the week, whose number is told as well."""
    shown: dict[date, Cell] = {row["date"]: guarded(row["new_persons"]) for row in rows}
    by_week: dict[date, dict[date, int]] = {}
    for row in rows:
        day = row["date"]
        by_week.setdefault(day - timedelta(days=day.weekday()), {})[day] = row["new_persons"]
    for numbers in by_week.values():
        shown |= dict.fromkeys(_with_the_hidden(numbers, {day: shown[day] for day in numbers}), WITHHELD)
    return shown


def _balanced(table: tuple[tuple[Cell, ...], ...]) -> tuple[tuple[Cell, ...], ...]:
    """Weeks of which no hidden number is the difference of others: who is active in a week returns or is dormant in the
    next, so new, returning and resurrecting of one week are as many as returning and dormant of the other."""
    found: list[tuple[Cell, ...]] = []
    for week, new, returning, resurrecting, dormant in table:
        equal = (*found[-1][1:4], returning, dormant) if found else ()
        if sum(map(is_hidden, equal)) == 1:
            returning, dormant = (WITHHELD, dormant) if is_hidden(dormant) else (returning, WITHHELD)
        found.append((week, new, returning, resurrecting, dormant))
    return tuple(found)


def _shares(rows: Rows) -> dict[tuple[date, int], Cell]:
    """(week of the first session, weeks since) → the share that came. The cohorts of a week add up to its active
    persons, who are told as well."""
    shown: dict[tuple[date, int], Cell] = {}
    by_week: dict[date, dict[tuple[date, int], int]] = {}
    for row in rows:
        key = cohort, number = row["cohort_week"], row["week_number"]
        hidden = HIDDEN in (guarded(row["active"]), guarded(row["cohort_size"]))
        shown[key] = WITHHELD if hidden else row["active"] / row["cohort_size"]
        by_week.setdefault(cohort + number * _WEEK, {})[key] = row["active"]
    for numbers in by_week.values():
        # of the week in which all of a cohort came its size tells, so it hides nothing
        later = {key: number for key, number in numbers.items() if key[1]}
        shown |= dict.fromkeys(_with_the_hidden(later, {key: shown[key] for key in numbers}), WITHHELD)
    return shown


def _with_the_hidden(numbers: Mapping[_Key, int], shown: Mapping[_Key, Cell]) -> list[_Key]:
    """Where one alone of cells with a known sum is hidden, the key of the least of some numbers that can hide it."""
    told = [key for key, number in numbers.items() if number and not is_hidden(shown[key])]
    return [min(told, key=lambda key: numbers[key])] if told and sum(map(is_hidden, shown.values())) == 1 else []


def _number(cell: Cell) -> str:
    return f"fewer than {FEWEST}" if cell == HIDDEN else f"{cell:,}"


def _against(row: Mapping[str, Any], before: Mapping[str, Any], name: str) -> str:
    """How much more than a week before; nothing where one of the two is hidden."""
    if not before or not before[name] or HIDDEN in (guarded(row["dau"]), guarded(before["dau"])):
        return ""
    return f" ({row[name] / before[name] - 1:+.0%} against a week before)"
