"""The sections about runs: what they could not use, and what does not look as it should. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.notable import differing, nulled
from pipeline.report.questions import FEWEST
from pipeline.report.readers import Rows
from pipeline.report.section import HIDDEN, WITHHELD, Cell, Section, counted, guarded
from transforms.sessions.owners import IN_BOTH

#: What needs a look comes first.
_STATUSES = ("fail", "warn", "unjudged", "ok")


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
    return Section("quality", told, columns, table)


def _run_row(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    notes, filtered = json.loads(row["notes"]), json.loads(row["filtered"])
    return (
        f"{row['published_at']:%Y-%m-%d %H:%M:%S}",
        row["mode"],
        round(row["seconds"], 1),
        row["rows_read"],
        row["rows_rejected"],
        row["rows_duplicate"],
        filtered.get("late", 0),
        nulled(notes),
        row["sessions_too_old"],
        max(differing(notes).values(), default=0),
        notes.get(IN_BOTH, 0),
    )


def reasons(rows: Rows) -> Section:
    """Why rows were rejected, in the last runs together."""
    found = Counter[str]()
    for row in rows:
        found.update(json.loads(row["rejected"]))
    table = tuple(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
    of = "the last run" if len(rows) == 1 else f"the last {len(rows)} runs"
    told = f"Most often in {of}: {table[0][0]}." if table else f"No row was rejected in {of}."
    return Section("reasons", told, (("reason", "Reason"), ("rows", "Rows")), table)


def posthog(rows: Rows) -> Section:
    """In what the last run's sessions differ from PostHog's own, which miss late events."""
    notes = json.loads(rows[0]["notes"])
    matched, found = notes.get(IN_BOTH, 0), differing(notes)
    table = tuple(
        (name, n, n / max(1, matched)) for name, n in sorted(found.items(), key=lambda one: (-one[1], one[0]))
    )
    told = f"{counted(matched, 'session')} of the last run {'is' if matched == 1 else 'are'} in PostHog's own table too"
    most = f"; most often {table[0][0]} differs, in {table[0][2]:.1%} of them." if table else ", and nothing differs."
    columns = (("column", "Column"), ("sessions", "Sessions that differ"), ("share", "Share"))
    return Section(
        "posthog", told + most if matched else "PostHog's own table has none of the sessions.", columns, table
    )


def checks(rows: Rows) -> Section:
    """What the checks of the last run say; what needs a look comes first."""
    bad = [row["check"] for row in rows if row["status"] in ("fail", "warn")]
    unjudged = sum(row["status"] == "unjudged" for row in rows)
    judged = len(rows) - unjudged
    good = f"{judged:,} of {len(rows):,} checks are as expected." if judged else "No check can be judged yet."
    told = f"Not as expected: {', '.join(bad)}." if bad else good
    told += f" Of {unjudged:,} the weeks before say too little." if unjudged else ""
    columns = tuple((name, name.capitalize()) for name in ("check", "value", "expected", "lower", "upper", "status"))
    return Section("checks", told, columns, tuple(map(_check_row, sorted(rows, key=_urgency))))


def _check_row(row: Mapping[str, Any]) -> tuple[Cell, ...]:
    """A check with its numbers, of which some may be of few persons: it is not known which of them count persons."""
    few = _is_few(row["value"]) or guarded(row["persons"]) == HIDDEN
    usual = [WITHHELD if _is_few(row["expected"]) else row[name] for name in ("expected", "lower", "upper")]
    return (row["check"], WITHHELD if few else row["value"], *usual, row["status"])


def _is_few(number: float | None) -> bool:
    """Whether it may be of persons, or of their sessions, and then of few: shares are below 1."""
    return number is not None and 1 <= number < FEWEST


def _urgency(row: Mapping[str, Any]) -> tuple[int, str]:
    return _STATUSES.index(row["status"]), row["check"]
