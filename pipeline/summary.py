"""What a run tells the user: the plan before, the summary after. Numbers only, nothing of a row."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from apache_beam.metrics.metric import MetricsFilter
from apache_beam.runners.runner import PipelineResult

from pipeline.marks import taken_off
from pipeline.warehouse.base import Inventory, Run
from pipeline.warehouse.columns import LOST, UNREADABLE
from transforms.ids.excluded import LISTED, MATCHED
from transforms.machinery.counts import NAMESPACE
from transforms.machinery.times import from_micros
from transforms.published.changes import STAYS

#: Days that a line names.
_DAYS_TOLD = 7


def plan_text(run: Run, inventory: Inventory, where: str) -> str:
    """What will be read and written, and why."""
    plan, scan = run.plan, run.scan
    lines = [
        f"Run {run.run_id}: {plan.mode} ({plan.reason})",
        f"  events    {_span(plan.window.scan_start, plan.window.scan_end)}",
        f"  reads     {scan.rows:,} of {scan.rows_total:,} rows, {_bytes(scan.bytes)} of "
        f"{_bytes(scan.bytes_total)}" + (f", {scan.files} of {scan.files_total} files" if scan.files_total else ""),
        f"  writes    {where}",
    ]
    if plan.watermark:
        lines.append(f"  watermark {plan.watermark:%Y-%m-%d %H:%M:%S} UTC")
    if inventory.last_run and inventory.last_run.unsettled.total:
        numbers = inventory.last_run.unsettled.numbers
        days = ", ".join(sorted(numbers)[:_DAYS_TOLD]) + (" …" if len(numbers) > _DAYS_TOLD else "")
        lines.append(f"  waiting   {sum(numbers.values()):,} sessions for a backfill of {days}")
    if plan.previous and not plan.window.is_full:
        off = taken_off(plan.previous.excluded_marks, run.excluded_marks)
        if off:
            lines.append(
                f"  note      {off:,} ids were taken off --excluded_users: --full_load brings back who they hid"
            )
    if inventory.damage:
        lines.append(f"  note      {inventory.damage}: not used")
    if inventory.absent:
        lines.append(f"  absent    {', '.join(inventory.absent)} (their columns are null, false or 0)")
    lines += [f"  note      {problem.line}" for problem in inventory.problems]
    return "\n".join(lines)


def counters(result: PipelineResult) -> dict[str, int]:
    """The pipeline's own counters by name."""
    found = result.metrics().query(MetricsFilter().with_namespace(NAMESPACE))["counters"]
    totals: dict[str, int] = {}
    for counter in found:
        name = counter.key.metric.name
        totals[name] = totals.get(name, 0) + counter.result
    return totals


def summary_text(run: Run, result: PipelineResult, where: str) -> str:
    """How the rows of the run add up, what was written, how fast, where to look."""
    counts = counters(result)
    seconds = (datetime.now(UTC) - run.started_at).total_seconds()
    read = counts.get("read", 0)
    lines = [
        f"Done in {seconds:.1f} s: {read:,} event rows, {read / max(seconds, 1e-9):,.0f} a second",
        _line("kept", counts.get("kept", 0)),
        _line("duplicates", counts.get("duplicates", 0)),
        *_group("filtered", counts),
        *_group("rejected", counts),
        f"  = read    {read:,}",
    ]
    if set(counts) & {name for name in counts if name.startswith("nulled.")}:
        lines += _group("nulled", counts, note="values set to null in kept or filtered rows")
    for output in (table.output for table in run.tables if table.output.in_ledger):
        changes = output.changes(counts)
        parts = [f"{number:,} {change}" for change, number in changes.items() if number]
        total = sum(changes[change] for change in STAYS)
        lines.append(f"  {output.name:<9} {total:,} ({', '.join(parts) or 'nothing to change'})")
    for name, number in sorted(counts.items()):
        if name.startswith(UNREADABLE):
            lines.append(f"  note      column {name.removeprefix(UNREADABLE)} cannot be read: it is null")
        if name.startswith(LOST):
            lines.append(f"  note      {number:,} values of {name.removeprefix(LOST)} cannot be read: they are null")
    silent = [name.removeprefix(MATCHES) for name, number in counts.items() if name.startswith(MATCHES) and not number]
    if silent and counts.get("kept", 0) >= _ENOUGH:
        lines.append(
            f"  note      no event matches {', '.join(sorted(silent))}: are the names in the metrics file right?"
        )
    if LISTED in counts:
        listed, matched = counts[LISTED], counts.get(MATCHED, 0)
        lines.append(f"  excluded  {listed:,} ids read, {listed - matched:,} of them match nothing that this run saw")
    for name, text in _NOTES.items():
        if counts.get(name):
            lines.append(f"  note      {counts[name]:,} {text}")
    return "\n".join([*lines, f"  tables    {where}"])


#: Counts of the rows that match a flag or count metric.
MATCHES = "matches."
#: Of so many kept rows some match every metric that is declared for a living event.
_ENOUGH = 1_000
_NOTES = {
    "sessions.oversized": "sessions are oversized: their counts saturate",
    "sessions.too_old": "sessions have late events that only a backfill settles (runs.too_old_days says of which days)",
    "sessions.later_than_overlap": "sessions had events that arrived earlier than --overlap_hours before the watermark",
    "users.without_user_id": "users without a user_id were ignored",
    "users.duplicates": "duplicate users were dropped",
    "users.older_versions": "older versions of users were dropped",
    "users.phone_ambiguous": "users have a phone number without a country code",
    "firebase_events.incomplete": "Firebase events without user_id or createdAt were ignored",
    "firebase_events.duplicates": "repeated Firebase events were dropped",
    "firebase_events.older_versions": "older versions of Firebase events were dropped",
}


def _line(name: str, number: int) -> str:
    return f"  {name:<9} {number:,}"


def _group(name: str, counts: Mapping[str, int], note: str = "") -> list[str]:
    prefix = f"{name}."
    parts = {key.removeprefix(prefix): n for key, n in counts.items() if key.startswith(prefix)}
    told = ", ".join(f"{key} {number:,}" for key, number in sorted(parts.items()))
    return [f"  {name:<9} {sum(parts.values()):,}" + (f" ({told})" if told else "") + (f": {note}" if note else "")]


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
