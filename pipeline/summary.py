"""What a run tells the user: the plan before, the summary after. Numbers only, nothing of a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult

from pipeline.checks import OFF
from pipeline.excluded import INCOMPLETE, WAITING
from pipeline.ledger import NEVER_READ
from pipeline.marks import coming_back, not_named, taken_off
from pipeline.notable import differing, silent
from pipeline.tables import Output
from pipeline.warehouse.base import Inputs, Published, Run
from pipeline.warehouse.binding import LOST, UNREADABLE
from transforms.events.outcomes import NULLED
from transforms.ids.excluded import LISTED, MATCHED, REQUESTED, REQUESTED_MATCHED
from transforms.machinery.counts import NAMESPACE
from transforms.machinery.times import from_micros
from transforms.published.changes import STAYS
from transforms.sessions.owners import IN_BOTH

#: Days that a line names.
_DAYS_TOLD = 7


def plan_text(run: Run, inputs: Inputs, published: Published, where: str) -> str:
    """What will be read and written, and why."""
    plan, scan = run.plan, run.scan
    lines = [
        f"Run {run.run_id}: {plan.mode} ({plan.reason})",
        f"  events     {_span(plan.window.scan_start, plan.window.scan_end)}",
        f"  reads      {scan.rows:,} of {scan.rows_total:,} rows, {_bytes(scan.bytes)} of "
        f"{_bytes(scan.bytes_total)}" + (f", {scan.files} of {scan.files_total} files" if scan.files_total else ""),
        f"  writes     {where}",
    ]
    if run.terms.privacy_key_id:
        lines.append(f"  hashes     what [privacy] of the metrics file says, with the key {run.terms.privacy_key_id}")
    if plan.watermark:
        lines.append(f"  watermark  {plan.watermark:%Y-%m-%d %H:%M:%S} UTC")
    if published.last_run and published.last_run.unsettled.total:
        numbers = published.last_run.unsettled.numbers
        days = ", ".join(sorted(numbers)[:_DAYS_TOLD]) + (" …" if len(numbers) > _DAYS_TOLD else "")
        lines.append(f"  waiting    {sum(numbers.values()):,} sessions for a backfill of {days}")
    if plan.previous and not plan.window.is_full:
        off = taken_off(plan.previous.excluded_marks, run.terms.marks)
        if off:
            lines.append(
                f"  note       {off:,} ids were taken off --excluded_users: --full_load brings back who they hid"
            )
    lines += [f"  note       {line}" for line in _deletion_lines(run)]
    if published.damage:
        lines.append(f"  note       {published.damage}: not used")
    if inputs.absent:
        lines.append(f"  absent     {', '.join(inputs.absent.values())} (their columns are null, false or 0)")
    lines += [f"  note       {problem.line}" for problem in inputs.problems]
    return "\n".join(lines)


def _deletion_lines(run: Run) -> Iterator[str]:
    """What of deletion requests somebody should look at before a run."""
    if run.plan.previous:
        back = coming_back(run.plan.previous.deletion_marks, run.terms.deletion_marks)
        if back:
            by = "this full load brings" if run.plan.window.is_full else "--full_load brings"
            yield f"{back:,} deletion requests are gone, or what they stood for is: {by} back who they hid"
    unnamed = not_named(run.terms.deletion_marks)
    if unnamed:
        yield (
            f"{unnamed:,} ids of deletion requests stand for accounts whose user id or phone number no request names: "
            "name both before the account goes from users"
        )


def counters(result: PipelineResult) -> dict[str, int]:
    """The pipeline's own counters by name."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    totals: dict[str, int] = {}
    for counter in found:
        name = counter.key.metric.name
        totals[name] = totals.get(name, 0) + (counter.result or 0)  # Prism may know a counter before its value
    return totals


def summary_text(run: Run, result: PipelineResult, where: str, counted: Mapping[str, int]) -> str:
    """How the rows of the run add up, what was written, how fast, where to look.

    Args:
      run: the run, which is published.
      result: for the runner's counters. An engine counts again what it tries again.
      where: the tables are.
      counted: what the published run has counted, each thing once; the runner's counters are for the rest.
    """
    seconds = (datetime.now(UTC) - run.started_at).total_seconds()
    told = [table.output for table in run.tables if table.output.in_ledger]
    return "\n".join(summary_lines({**counters(result), **counted}, told, seconds, where))


def summary_lines(counts: Mapping[str, int], outputs: Sequence[Output], seconds: float, where: str) -> list[str]:
    """The summary of a run from its counters; never more lines than a screen has, whatever there is to tell."""
    read = counts.get("read", 0)
    lines = [
        f"Done in {seconds:.1f} s: {read:,} event rows, {read / max(seconds, 1e-9):,.0f} a second",
        _line("kept", counts.get("kept", 0)),
        _line("duplicates", counts.get("duplicates", 0)),
        _group("filtered", counts),
        _group("rejected", counts),
        _line("= read", read),
    ]
    if any(name.startswith(NULLED) for name in counts):
        lines.append(_group("nulled", counts, " values"))
    for output in outputs:
        changes = output.changes(counts)
        parts = [f"{number:,} {change}" for change, number in changes.items() if number]
        total = sum(changes[change] for change in STAYS)
        lines.append(f"{_line(output.name, total)} ({', '.join(parts) or 'nothing to change'})")
    if counts.get(IN_BOTH):
        lines.append(_posthog_line(counts))
    for name, listed, matched in (("excluded", LISTED, MATCHED), ("deletion", REQUESTED, REQUESTED_MATCHED)):
        if listed in counts:
            none = counts[listed] - counts.get(matched, 0)
            seen = f"{none:,} of them nowhere in what this run saw" if none else "each of them seen by this run"
            lines.append(f"{_line(name, counts[listed])} ids, {seen}")
    return [*lines, *_told_notes(counts), f"  tables     {where}"]


def _posthog_line(counts: Mapping[str, int]) -> str:
    """How stale PostHog's own sessions are, which a run never lets override the events."""
    differ = differing(counts)
    line = f"{_line('PostHog', counts[IN_BOTH])} in both"
    return f"{line}; differ: {_most(differ, _room(line) - 10)}" if differ else f"{line}, all alike"


def _told_notes(counts: Mapping[str, int]) -> list[str]:
    """What deserves a look, so many lines at most: the ledger has all of it."""
    notes = []
    unmatched = silent(counts, counts.get("kept", 0))
    if unmatched:
        notes.append(f"no event matches {_some(unmatched)}: are they renamed?")
    off = [name.removeprefix(OFF) for name in sorted(counts) if name.startswith(OFF)]
    if off:
        notes.append(f"not as expected: {_some(off)} (view checks)")
    for name, number in sorted(counts.items()):
        if name.startswith(UNREADABLE):
            notes.append(f"column {name.removeprefix(UNREADABLE)} cannot be read: it is null")
        if name.startswith(LOST):
            notes.append(f"{number:,} values of {name.removeprefix(LOST)} cannot be read: they are null")
    notes += [f"{counts[name]:,} {text}" for name, text in _NOTES.items() if counts.get(name)]
    if len(notes) > _NOTES_TOLD:
        notes[_NOTES_TOLD - 1 :] = [f"{len(notes) - _NOTES_TOLD + 1} more are in the column notes of the table runs"]
    return [f"  note       {note}" for note in notes]


#: How wide a screen is, how much of that names may take, and how many notes are told: all is in the ledger.
_COLUMNS, _NAMES, _NOTES_TOLD = 80, 24, 5
_NOTES = {
    "views.not_made": "views could not be made; a warning above says which and why",
    WAITING: "deletion requests hold from a later time on",
    INCOMPLETE: "deletion requests have no user_id or distinct_id",
    "sessions.oversized": "sessions are oversized: their counts saturate",
    "sessions.too_old": "sessions wait for a backfill: runs.too_old_days says of which days",
    "sessions.later_than_overlap": "sessions had events that came later than --overlap_hours",
    NEVER_READ: "events came too late and old for any run: --full_load reads them",
    "users.without_user_id": "users without a user_id were ignored",
    "users.duplicates": "duplicate users were dropped",
    "users.older_versions": "older versions of users were dropped",
    "users.phone_ambiguous": "users have a phone number without a country code",
    "firebase_events.incomplete": "Firebase events without user_id or createdAt were ignored",
    "firebase_events.duplicates": "repeated Firebase events were dropped",
    "firebase_events.older_versions": "older versions of Firebase events were dropped",
    "firebase_userinvites.status_unknown": "invites have a status that is not known",
    "firebase_userinvites.incomplete": "invites without user_id or createdAt were ignored",
    "firebase_userinvites.duplicates": "repeated invites were dropped",
    "firebase_userinvites.older_versions": "older versions of invites were dropped",
}


def _line(name: str, number: int) -> str:
    return f"  {name:<10} {number:,}"


def _group(name: str, counts: Mapping[str, int], unit: str = "") -> str:
    prefix = f"{name}."
    parts = {key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix) and n}
    line = _line(name, sum(parts.values())) + unit
    return f"{line} ({_most(parts, _room(line) - 3)})" if parts else line


def _room(line: str) -> int:
    return _COLUMNS - len(line)


def _most(parts: Mapping[str, int], room: int) -> str:
    """The largest numbers by name, as many as there is room for, and how many the others are together."""
    largest = sorted(parts.items(), key=lambda part: (-part[1], part[0]))
    texts = [_parts_told(largest, number) for number in range(1, len(largest) + 1)]
    return next((text for text in reversed(texts) if len(text) <= room), texts[0])


def _parts_told(largest: Sequence[tuple[str, int]], number: int) -> str:
    told, others = [f"{name} {n:,}" for name, n in largest[:number]], largest[number:]
    if others:
        told.append(f"{len(others)} {'other' if len(others) == 1 else 'others'} {sum(n for _, n in others):,}")
    return ", ".join(told)


def _some(names: Sequence[str]) -> str:
    """As many names as a note has room for, and how many more there are."""
    told = 1
    while told < len(names) and len(", ".join(names[: told + 1])) <= _NAMES:
        told += 1
    more = len(names) - told
    return ", ".join(names[:told]) + (f" and {more} more" if more else "")


def _span(start: int | None, end: int | None) -> str:
    if start is None and end is None:
        return "all"
    first = f"from {from_micros(start):%Y-%m-%d %H:%M}" if start is not None else ""
    last = f"to {from_micros(end):%Y-%m-%d %H:%M}" if end is not None else "on"
    return f"{first} {last}".strip() + " UTC"


def _bytes(number: int) -> str:
    size, unit = float(number), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, bigger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
