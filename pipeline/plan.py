"""Which part of the source a run must read, and what it may conclude from it: pure.

The four modes: a *full* load reads everything; an *incremental* run reads the window that can hold news
since the watermark; a *backfill* reads some days and their neighbours; a *sample* reads a few rows and
publishes to tables of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from pipeline.errors import RunError
from transforms.scope import Scope

Mode = Literal["full", "incremental", "backfill", "sample"]
#: PostHog's SDKs end a session after 24 hours.
MAX_SESSION = timedelta(hours=24)


@dataclass(frozen=True)
class LastRun:
    """What a run must know of the latest published one."""

    run_id: str
    watermark: datetime | None
    metrics_digest: str
    excluded_digest: str
    code_version: str = ""


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    full_load: bool = False
    start_date: date | None = None
    end_date: date | None = None
    limit: int | None = None
    overlap: timedelta = timedelta(hours=6)
    lateness: timedelta = timedelta(days=3)


@dataclass(frozen=True)
class Plan:
    """What a run reads and why."""

    mode: Mode
    scope: Scope
    reason: str
    previous: LastRun | None
    limit: int | None = None

    @property
    def watermark(self) -> datetime | None:
        """The watermark that the run starts from."""
        return self.previous.watermark if self.previous else None

    @property
    def suffix(self) -> str:
        """What is appended to the names of the tables it writes."""
        return "_sample" if self.mode == "sample" else ""


def make_plan(
    request: Request,
    previous: LastRun | None,
    *,
    metrics_digest: str,
    reach_back_to: datetime | None = None,
) -> Plan:
    """The plan of a run.

    Args:
      request: the user's options.
      previous: the latest published run, None before the first.
      metrics_digest: of the metric definitions this run uses.
      reach_back_to: start of the earliest published session that must be aggregated again whatever
        arrived (one of its distinct ids was excluded since).

    Raises:
      RunError: the published tables were made with other metric definitions.
    """
    if request.limit is not None:
        return Plan("sample", Scope(), f"--limit {request.limit}: a sample", previous, request.limit)
    if request.full_load:
        return Plan("full", Scope(), "--full_load", previous)
    if previous is not None and previous.metrics_digest != metrics_digest:
        raise RunError(
            "the metric definitions changed since the last run, and one table must not mix them: "
            "run once with --full_load"
        )
    if request.start_date is not None and request.end_date is not None:
        first, beyond = micros(_midnight(request.start_date)), micros(_midnight(request.end_date))
        day = MAX_SESSION // timedelta(microseconds=1)
        scope = Scope(scan_start=first - day, scan_end=beyond + day, days=(first, beyond))
        reason = f"backfill of the sessions that start in [{request.start_date}, {request.end_date})"
        return Plan("backfill", scope, reason, previous)
    if previous is None or previous.watermark is None:
        return Plan("full", Scope(), "first run: nothing is published yet", previous)
    new_from = previous.watermark - request.overlap
    undated_from = min(new_from, previous.watermark - request.lateness)
    start = new_from - request.lateness - MAX_SESSION
    if reach_back_to is not None:
        start = min(start, reach_back_to)
    scope = Scope(scan_start=micros(start), new_from=micros(new_from), undated_from=micros(undated_from))
    reason = f"what arrived from {new_from:%Y-%m-%d %H:%M} UTC on, in whole sessions"
    return Plan("incremental", scope, reason, previous)


def next_watermark(plan: Plan, latest_arrival: int | None, started_at: datetime) -> datetime | None:
    """The watermark after a run: the greatest arrival read, never back, never ahead of the run itself.

    A backfill reads only some days, so it says nothing about what else arrived: the watermark stays.
    """
    if plan.mode in ("backfill", "sample") or latest_arrival is None:
        return plan.watermark
    latest = min(from_micros(latest_arrival), started_at)
    return max(latest, plan.watermark) if plan.watermark else latest


def partitions_for(events: int) -> int:
    """How many blocks of persons and ids the joins use: about 50,000 sessions each, at 20 events a session."""
    return min(4_096, max(4, events // 1_000_000))


def session_blocks_for(events: int, total: int) -> int:
    """How many blocks of sessions a run uses: of half a million of the events that it reads each, up to a billion.

    Not fewer than its published sessions need (`total` are the events of the whole table). Beyond a billion events,
    blocks grow instead, to five million at ten billion: thousands more would make slices too small to be worth a
    shuffle, and a block is looked at range by range anyway.
    """
    return min(2_048, max(events // 500_000, partitions_for(total)))


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The moment that `micros` was given."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=value)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
