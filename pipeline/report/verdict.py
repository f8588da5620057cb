"""Whether the last run and its tables are good, in words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import Any

from pipeline.notable import silent
from pipeline.report.readers import Rows
from pipeline.report.section import counted

#: A watermark that is older when a run is published means that the export stands still.
OLD = timedelta(days=2)
#: So much more than usual, and at least so much of the rows, is worth a look.
_TIMES, _LEAST = 2.0, 0.01
_WEEK = 7
#: So many checks have a line each.
_CHECKS_TOLD = 3


@dataclass(frozen=True)
class Verdict:
    """What to think of the last run."""

    good: bool
    headline: str
    reasons: tuple[str, ...]


def verdict(answers: Mapping[str, Rows]) -> Verdict:
    """The verdict on the newest run, beside those before it; `answers` by the names of `questions.ALL`."""
    runs = answers["runs"]
    found = [
        *_export(runs[0]),
        *_no_sessions(answers.get("days", [])),
        *_shares(runs),
        *_waiting(runs[0]),
        *_silent(runs[0]),
        *_checks(answers.get("checks", [])),
    ]
    if found:
        number = "One thing needs" if len(found) == 1 else f"{len(found)} things need"
        return Verdict(False, f"{number} a look.", tuple(found))
    return Verdict(True, "All is well.", ("The export is fresh, and rows are rejected and doubled as usual.",))


def _export(run: Mapping[str, Any]) -> list[str]:
    if run["watermark"] is None:
        return ["No row has an arrival, so nobody knows how far the export has come."]
    age = run["published_at"] - run["watermark"]
    return [f"The export stood still: the newest arrivals were {told_age(age)} old."] if age > OLD else []


def _no_sessions(days: Rows) -> list[str]:
    """Finished days without a session, after a week that had some every day."""
    empty = 0
    while empty < len(days) and not days[-1 - empty]["sessions"]:
        empty += 1
    before = [day["sessions"] for day in days[: len(days) - empty]][-_WEEK:]
    if not empty or len(before) < _WEEK or not all(before):
        return []
    on = "On the last finished day" if empty == 1 else f"On the last {empty} finished days"
    return [f"{on} no session started."]


def _shares(runs: Rows) -> list[str]:
    """Rejected and doubled rows against the median of the runs before."""
    told = []
    for column, word in (("rows_rejected", "rejected"), ("rows_duplicate", "repetitions")):
        now, before = _share(runs[0], column), [_share(run, column) for run in runs[1:] if run["rows_read"]]
        usual = median(before) if before else None
        if now >= _LEAST and (now > _TIMES * usual if usual is not None else now > _LEAST * 5):
            than = f", usually {usual:.1%}" if usual is not None else ""
            told.append(f"{now:.1%} of the rows are {word}{than}.")
    return told


def _waiting(run: Mapping[str, Any]) -> list[str]:
    waiting = run["sessions_too_old"]
    wait = "session waits" if waiting == 1 else "sessions wait"
    return [f"{waiting:,} {wait} for a backfill; the days are in too_old_days of runs."] if waiting else []


def _silent(run: Mapping[str, Any]) -> list[str]:
    found = silent(json.loads(run["notes"]), run["rows_kept"])
    return [f"No event matches {', '.join(found)}: has the app renamed it?"] if found else []


def _checks(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    bad = [one for one in checks if one["status"] in ("fail", "warn")]
    if len(bad) > _CHECKS_TOLD:
        names = ", ".join(one["check"] for one in bad[:_CHECKS_TOLD])
        return [f"{len(bad)} checks are not as expected: {names} and {len(bad) - _CHECKS_TOLD} more."]
    return [f"The check {one['check']} is not as expected ({one['status']})." for one in bad]


def _share(run: Mapping[str, Any], column: str) -> float:
    return run[column] / run["rows_read"] if run["rows_read"] else 0.0


def told_age(age: timedelta) -> str:
    """Minutes, hours or days, whichever says it."""
    hours = age.total_seconds() / 3600
    if hours < 1:
        return counted(hours * 60, "minute")
    return counted(hours, "hour") if hours < 72 else counted(hours / 24, "day")
