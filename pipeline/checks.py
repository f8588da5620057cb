"""The checks of the metrics file in a run: numbers of its days and of earlier runs → findings for the ledger. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from pipeline.errors import RunError
from pipeline.notable import nulled
from pipeline.tables import LedgerRow
from transforms.events.outcomes import OUTSIDE
from transforms.metrics.checks import WEEKS, Check, Finding, Numbers, judge
from transforms.metrics.kinds.every_session import START_DATE

#: Counters of the findings that are not as expected, by check.
OFF = "checks.off."
#: What is compared reaches back so far from a run's last finished day.
REACH = timedelta(weeks=WEEKS)


@dataclass(frozen=True)
class Checks:
    """What a run compares, picklable."""

    checks: tuple[Check, ...] = ()
    zone: str = "UTC"
    """In which a day ends."""
    before: Numbers = field(default_factory=dict)
    """Of the runs before, by the last finished day of each."""
    are_ignored: bool = False
    """Whether one that fails stops nothing."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The flags and counts that they are of, each once: several checks may look at one."""
        return tuple(dict.fromkeys(check.metric for check in self.checks if check.metric is not None))

    def since(self, watermark: datetime | None) -> date | None:
        """The first day whose numbers a run needs that starts from this watermark; None for all days."""
        day = finished_day(watermark, self.zone)
        return None if day is None else day - REACH

    def findings(self, days: pa.RecordBatch, row: LedgerRow) -> tuple[Finding, ...]:
        """What they find of the last finished day.

        Args:
          days: numbers of the days on which sessions start (`transforms.sessions.days`).
          row: of the ledger, of the run.
        """
        day = finished_day(row["watermark"], self.zone)
        if day is None:
            return ()
        numbers: dict[date, dict[str, int]] = {one: {**some} for one, some in self.before.items()}
        for found in days.to_pylist():
            numbers.setdefault(found.pop(START_DATE), {}).update(found)
        numbers.setdefault(day, {}).update(numbers_of(row))
        return judge(self.checks, numbers, day)

    def stop_on_failure(self, findings: Iterable[Finding]) -> None:
        """Raise RunError when one fails, unless they are ignored."""
        failed = [text(finding) for finding in findings if finding.status == "fail"]
        if failed and not self.are_ignored:
            raise RunError(f"{'; '.join(failed)}; nothing is published (--ignore_checks publishes all the same)")


def finished_day(watermark: datetime | None, zone: str) -> date | None:
    """The last day that is over: arrivals have reached a later one. None when nothing has arrived."""
    return None if watermark is None else watermark.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)


def numbers_before(rows: Sequence[LedgerRow], zone: str) -> Numbers:
    """Of the runs that read all that had arrived, by their last finished day; of several the latest run."""
    found: dict[date, Mapping[str, int]] = {}
    for row in sorted(rows, key=lambda row: str(row["run_id"])):
        day = finished_day(row["watermark"], zone)
        if day is not None and row["mode"] != "backfill":
            found[day] = numbers_of(row)
    return found


def numbers_of(row: LedgerRow) -> dict[str, int]:
    """The numbers of a run, from its row of the ledger: rows of its window, and of them the rejected; nulled values."""
    looked_at = row["rows_read"] - json.loads(row["filtered"]).get(OUTSIDE, 0)
    return {"rows": looked_at, "rejected": row["rows_rejected"], "nulled": nulled(json.loads(row["notes"]))}


def as_json(findings: Iterable[Finding]) -> str:
    """The column `checks` of the ledger."""
    rows: list[dict[str, Any]] = [dataclasses.asdict(one) | {"date": one.date.isoformat()} for one in findings]
    return json.dumps(rows)


def text(finding: Finding) -> str:
    """One line about a finding that has an expectation."""
    value, *bounds = (_told(one) for one in (finding.value, finding.lower, finding.upper))
    return f"check {finding.check}: {value} on {finding.date}, expected {' to '.join(bounds)}"


def _told(value: float | None) -> str:
    return "none" if value is None else f"{value:,.4g}" if value < 1 else f"{value:,.0f}"
