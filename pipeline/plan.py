"""Which part of the source a run must read, and what it may conclude from it: pure.

The four modes: a *full* load reads everything; an *incremental* run reads the window that can hold news
since the watermark; a *backfill* reads some days and their neighbours; a *sample* reads a few rows and
publishes to tables of its own.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Literal

from pipeline.errors import RunError
from pipeline.marks import NO_MARKS
from pipeline.terms import NOBODY, Terms
from transforms.incremental.seen import Seen
from transforms.incremental.unsettled import Unsettled
from transforms.incremental.watermark import watermark
from transforms.incremental.window import MAX_SESSION, Window
from transforms.machinery.times import from_micros, micros

#: What the names of a sample's tables end with.
SAMPLE_SUFFIX = "_sample"
#: Count of a run: the rows of the events table.
EVENTS_TOTAL = "events.total"
#: Count of a run: 1 for each optional input that is there.
INPUT_THERE = "inputs."
Mode = Literal["full", "incremental", "backfill", "sample"]
_MAX_SESSION = timedelta(microseconds=MAX_SESSION)
_MICROSECOND = timedelta(microseconds=1)
#: PostHog stamps the arrival when it takes rows out of its own store, and may try for hours to load them after that,
#: while later rows are loaded already. A day also covers a load that was made by hand on the next morning.
OVERLAP = timedelta(hours=24)
LATENESS = timedelta(days=3)


@dataclass(frozen=True)
class LastRun:
    """What a run must know of the one that was published last."""

    run_id: str
    watermark: datetime | None
    metrics_digest: str
    excluded_digest: str
    code_version: str = ""
    excluded_marks: str = NO_MARKS
    """See `pipeline.marks`."""
    deletion_digest: str = NOBODY
    deletion_marks: str = NO_MARKS
    """The same of deletion requests."""
    privacy_key_id: str = ""
    """Of the key of its hashes; empty for none."""
    rows_read: int = 0
    filtered: str = "{}"
    """JSON: rows left out by reason."""
    notes: str = "{}"
    """JSON: counts without a column."""
    sessions_inserted: int = 0
    sessions_updated: int = 0
    sessions_unchanged: int = 0
    persons_inserted: int = 0
    persons_updated: int = 0
    persons_unchanged: int = 0
    too_old_sessions: Sequence[str] = ()
    too_old_session_days: Sequence[str] = ()
    too_old_days: str = "{}"
    late_seen: str | None = None
    """See `transforms.incremental.seen`."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LastRun:
        """From a row of the ledger, in which columns of later versions may be missing or null."""
        known = {field.name: row[field.name] for field in dataclasses.fields(cls) if row.get(field.name) is not None}
        return cls(**{"watermark": None, **known})

    @property
    def rows(self) -> dict[str, int]:
        """The rows of `sessions` and `persons` after it."""
        return {
            "sessions": self.sessions_inserted + self.sessions_updated + self.sessions_unchanged,
            "persons": self.persons_inserted + self.persons_updated + self.persons_unchanged,
        }

    @property
    def events_total(self) -> int | None:
        """The rows of the events table when a run last looked for news; None where an earlier version did."""
        number: int | None = json.loads(self.notes).get(EVENTS_TOTAL)
        return number

    @property
    def inputs(self) -> frozenset[str]:
        """The optional inputs that it had, by their names in counts; none where an earlier version does not tell."""
        return frozenset(
            name.removeprefix(INPUT_THERE) for name in json.loads(self.notes) if name.startswith(INPUT_THERE)
        )

    @property
    def terms(self) -> Terms:
        """What it was made under."""
        return Terms(**{field.name: getattr(self, field.name) for field in dataclasses.fields(Terms)})

    @property
    def unsettled(self) -> Unsettled:
        """The sessions that it has left to a backfill."""
        return Unsettled(self.too_old_sessions, self.too_old_session_days, self.too_old_days)


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    full_load: bool = False
    start_date: date | None = None
    end_date: date | None = None
    limit: int | None = None
    overlap: timedelta = OVERLAP
    lateness: timedelta = LATENESS

    @property
    def days(self) -> tuple[datetime, datetime] | None:
        """The days of a backfill, from their beginning to the beginning of the day after them."""
        if self.start_date is None or self.end_date is None:
            return None
        return _midnight(self.start_date), _midnight(self.end_date)


@dataclass(frozen=True)
class Plan:
    """What a run reads and why."""

    mode: Mode
    window: Window
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
        return SAMPLE_SUFFIX if self.mode == "sample" else ""

    @property
    def unsettled(self) -> Unsettled:
        """Sessions that the last run knew to be incomplete, and this one must not take for whole."""
        return Unsettled() if self.window.is_full or self.previous is None else self.previous.unsettled

    @property
    def seen(self) -> Seen | None:
        """What of the late events that it finds is no news."""
        return Seen.of(self.previous.late_seen) if self.previous else None

    def events_total(self, rows: int) -> int | None:
        """`EVENTS_TOTAL` after a run that finds so many rows: one of some days looks for no news."""
        if self.mode == "backfill" and self.previous is not None:
            return self.previous.events_total
        return rows

    def keeps_persons(self, code_version: str) -> bool:
        """Whether published persons whose sessions are all as they were need not be aggregated again.

        Rows that another version made may have to change although nothing arrived.
        """
        return not self.window.is_full and self.previous is not None and self.previous.code_version == code_version

    def terms_after(self, terms: Terms) -> Terms:
        """What the ledger says of a run's terms."""
        if self.window.is_full or self.previous is None:
            return terms.after(terms, of_some_days=False)
        return terms.after(self.previous.terms, of_some_days=self.mode == "backfill")


def make_plan(
    request: Request,
    previous: LastRun | None,
    *,
    now: datetime,
    terms: Terms,
    absent: Mapping[str, str] = MappingProxyType({}),
    reach_back_to: datetime | None = None,
    latest_end: datetime | None = None,
) -> Plan:
    """The plan of a run.

    Args:
      request: the user's options.
      previous: the run that was published last, None before the first.
      now: the run's clock; later arrivals are no evidence for the watermark.
      terms: what the run is made under.
      absent: optional inputs that are not there, by their names in counts, as the user knows them.
      reach_back_to: start of the earliest published session that must be aggregated again whatever
        arrived (one of its distinct ids was excluded since).
      latest_end: end of the published sessions that start in the days of a backfill.

    Raises:
      RunError: the run must not be built upon what is published, see `Terms.check`, or lacks what the last one had.
    """
    overlap, lateness = request.overlap // _MICROSECOND, request.lateness // _MICROSECOND
    everything = Window(clock=micros(now), overlap=overlap, lateness=lateness)
    if request.limit is not None:
        if previous is not None:
            terms.check_left_out(previous.terms)
        return Plan("sample", everything, f"--limit {request.limit}: a sample", previous, request.limit)
    if previous is not None:
        terms.check(previous.terms, full_load=request.full_load)
    if request.full_load:
        return Plan("full", everything, "--full_load", previous)
    gone = [label for name, label in absent.items() if previous is not None and name in previous.inputs]
    if gone:  # or a misspelt dataset would take all users away, and bring back the sessions of excluded ones
        raise RunError(
            f"there is no {', '.join(gone)}, and the last run had such a table: check --posthog_dataset and "
            "--firebase_dataset, or put it back; --full_load goes on without it"
        )
    if request.days is not None:
        if previous is not None:
            terms.check_backfill(previous.terms)
        reason = f"backfill of the sessions that start in [{request.start_date}, {request.end_date})"
        return Plan("backfill", _backfill(request.days, micros(now), previous, latest_end), reason, previous)
    if previous is None or previous.watermark is None:
        return Plan("full", everything, "first run: nothing is published yet", previous)
    if not terms.leave_out_the_accounts_of(previous.terms):
        return Plan("full", everything, "the accounts of excluded users changed", previous)
    reason = f"what arrived from {previous.watermark - request.overlap:%Y-%m-%d %H:%M} UTC on, in whole sessions"
    window = _incremental(everything, request, previous, previous.watermark, terms, reach_back_to)
    return Plan("incremental", window, reason, previous)


def _incremental(
    everything: Window,
    request: Request,
    previous: LastRun,
    reached: datetime,
    terms: Terms,
    reach_back_to: datetime | None,
) -> Window:
    """Reads what may have arrived since the watermark that was `reached`, in whole sessions."""
    new_from = reached - request.overlap
    left_out = terms.leave_somebody_out or previous.terms.marks != NO_MARKS  # also who was taken off since
    some_have_no_row = left_out or previous.unsettled.has_unlisted
    start = _scan_start(new_from - request.lateness, previous, reach_back_to)
    return dataclasses.replace(
        everything,
        scan_start=start,
        new_from=micros(new_from),
        undated_from=micros(min(new_from, reached - request.lateness)),
        whole_from=start + MAX_SESSION if some_have_no_row else None,
    )


def _scan_start(earliest: datetime, previous: LastRun, reach_back_to: datetime | None) -> int:
    """From where on an incremental run reads, to see sessions whole that have an event from `earliest` on."""
    start = micros(earliest - _MAX_SESSION)
    if reach_back_to is None:
        return start
    # a session that waits for a backfill may be one of those
    known = previous.unsettled.rows().column("timestamp").cast("int64").to_pylist()
    return min(start, micros(reach_back_to), *known)


def _backfill(
    days: tuple[datetime, datetime], clock: int, previous: LastRun | None, latest_end: datetime | None
) -> Window:
    """Reads the sessions of these days whole, as far as is known how long they are.

    Of a session that waits for a backfill it is not known, so then everything is read from these days on.
    """
    first, beyond = days
    end = micros(max(beyond + _MAX_SESSION, latest_end or beyond))
    window = Window(micros(first - _MAX_SESSION), end + 1, days=(micros(first), micros(beyond)), clock=clock)
    if previous is not None and previous.unsettled.reach(window):
        return dataclasses.replace(window, scan_end=None)
    return window


def next_watermark(plan: Plan, arrivals: Sequence[int], started_at: datetime) -> datetime | None:
    """The watermark after a run: what `transforms.incremental.watermark` makes of the arrivals; never back, never ahead
    of the run.

    A backfill reads only some days, so it says nothing about what else arrived: the watermark stays.

    Args:
      plan: of the run.
      arrivals: the greatest arrivals that it has read, µs, descending.
      started_at: the run's clock.
    """
    reached = watermark([arrival for arrival in arrivals if arrival <= micros(started_at)])
    if plan.mode in ("backfill", "sample") or reached is None:
        return plan.watermark
    return max(from_micros(reached), plan.watermark) if plan.watermark else from_micros(reached)


def partitions_for(events: int) -> int:
    """How many blocks of persons and ids the joins use: about 10,000 sessions each, at 20 events a session.

    Where every session has one event it is 200,000, and blocks of twice as many take a fifth more CPU time and half as
    much memory again.
    """
    return min(4_096, max(4, events // 200_000))


def session_blocks_for(events: int, total: int) -> int:
    """How many blocks of sessions a run uses: of a quarter of a million of the events that it reads each.

    Not fewer than its published sessions need (`total` are the events of the whole table). Beyond half a billion
    events, blocks grow instead, to five million at ten billion: thousands more would make slices too small to be worth
    a shuffle, and a block is looked at range by range anyway.
    """
    return min(2_048, max(events // 250_000, partitions_for(total)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
