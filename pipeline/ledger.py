"""The ledger row of a run: every input row accounted for, or the run is not published. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import LastRun, Plan, next_watermark
from pipeline.tables import LedgerRow
from pipeline.warehouse.base import Run
from transforms.events.outcomes import OUTSIDE
from transforms.incremental.seen import NOTHING, seen_after
from transforms.incremental.unsettled import Unsettled
from transforms.incremental.watermark import Latest
from transforms.machinery.counts import Count, some_of
from transforms.machinery.times import from_micros, micros
from transforms.published.changes import CHANGES, STAYS, count_name

#: Count of a run: sessions that only a backfill settles.
TOO_OLD = "sessions.too_old"
_OWN_COLUMNS = ("read", "kept", "duplicates", TOO_OLD)


def ledger_row(
    run: Run,
    counts: Iterable[Count],
    latest: Latest,
    unsettled: Unsettled,
    published_at: datetime,
    late: pa.RecordBatch = NOTHING,
) -> dict[str, Any]:
    """The row of `tables.RUNS` for a run.

    Args:
      run: the run as planned.
      counts: of the whole graph, one a name.
      latest: the greatest arrivals read, µs.
      unsettled: the sessions that could not be recomputed from the scan. Those of the last run that it could not
        list are added: nobody knows whether they are settled before their days are read.
      published_at: when the row is written.
      late: `transforms.incremental.seen.FOUND` of all rows.

    Raises:
      RunError: the input rows do not add up.
    """
    reached = next_watermark(run.plan, latest, run.started_at)
    row = {
        **_described(run, published_at),
        **dataclasses.asdict(run.plan.terms_after(run.terms)),
        "privacy_key_id": run.terms.privacy_key_id or None,
        "watermark": reached,
        "late_seen": _late_seen(run.plan, late, reached),
        **_waiting(unsettled.with_others(run.plan.unsettled.not_listed(run.plan.window))),
        **_numbers(dict(counts)),
    }
    _check_sum(row)
    return row


def _described(run: Run, published_at: datetime) -> dict[str, Any]:
    """The columns that are known before the run ends, and how long it took."""
    window = run.plan.window
    return {
        "run_id": run.run_id,
        "previous_run_id": run.plan.previous.run_id if run.plan.previous else None,
        "mode": run.plan.mode,
        "scan_start": _moment(window.scan_start),
        "scan_end": _moment(window.scan_end),
        "new_after": _moment(window.new_from),
        "bytes_read": run.scan.bytes,
        "bytes_total": run.scan.bytes_total,
        "started_at": run.started_at,
        "published_at": published_at,
        "checks": None,
        "seconds": (published_at - run.started_at).total_seconds(),
        "code_version": run.code_version,
        "options": json.dumps(dict(run.options), sort_keys=True),
    }


def _late_seen(plan: Plan, late: pa.RecordBatch, reached: datetime | None) -> str | None:
    """What the next run need not take for news; a run of some days leaves it as it is."""
    if plan.mode == "backfill" and plan.previous is not None:
        return plan.previous.late_seen
    found = seen_after(plan.window, late, None if reached is None else micros(reached))
    return found.text() if found else None


def _waiting(unsettled: Unsettled) -> dict[str, Any]:
    """The columns about sessions that only a backfill can settle."""
    return {
        "sessions_too_old": unsettled.total,
        "too_old_sessions": list(unsettled.sessions),
        "too_old_session_days": list(unsettled.session_days),
        "too_old_days": unsettled.days,
    }


def _numbers(known: Mapping[str, int]) -> dict[str, Any]:
    """The columns that are made of the counts of the graph; what has no column is among the notes."""
    filtered, rejected = _under(known, "filtered."), _under(known, "rejected.")
    with_columns = [output for output in tables.OUTPUTS if output.in_ledger]
    told = {*_OWN_COLUMNS, *(count_name(output.name, change) for output in with_columns for change in CHANGES)}
    others = {
        name: number
        for name, number in known.items()
        if name not in told and not name.startswith(("filtered.", "rejected."))
    }
    changes = {
        output.ledger_columns[change]: number
        for output in with_columns
        for change, number in output.changes(known).items()
    }
    return changes | {
        "rows_read": known.get("read", 0),
        "rows_kept": known.get("kept", 0),
        "rows_duplicate": known.get("duplicates", 0),
        "rows_filtered": sum(filtered.values()),
        "rows_rejected": sum(rejected.values()),
        "filtered": json.dumps(filtered, sort_keys=True),
        "rejected": json.dumps(rejected, sort_keys=True),
        "notes": json.dumps(others, sort_keys=True),
    }


#: Count of a run: events that came and that neither this run nor one before has looked at.
NEVER_READ = "events.never_read"


def never_read(run: Run, counts: Mapping[str, int]) -> dict[str, int]:
    """`NEVER_READ`, at least so many; nothing where it cannot be known or there are none.

    Events that arrived before `watermark − overlap` and happened before the window are not read, so they cannot be
    counted one by one. But the table has grown since the last run, and if it has grown by more rows than this run has
    looked at, the rest is such events: history that was loaded with its old arrivals.
    """
    previous = run.plan.previous
    if run.plan.mode != "incremental" or previous is None or previous.events_total is None:
        return {}
    looked_at = counts.get("read", 0) - counts.get(f"filtered.{OUTSIDE}", 0)
    return some_of({NEVER_READ: max(0, run.scan.rows_total - previous.events_total - looked_at)})


def check_rejected(row: Mapping[str, Any], max_ratio: float) -> None:
    """Raise RunError, naming reasons and counts, when too large a share of the rows was rejected."""
    read, rejected = row["rows_read"], row["rows_rejected"]
    if read and rejected / read > max_ratio:
        reasons = ", ".join(f"{name} {number:,}" for name, number in json.loads(row["rejected"]).items())
        raise RunError(
            f"{rejected:,} of {read:,} rows were rejected ({rejected / read:.1%}, allowed are "
            f"{max_ratio:.1%} by --max_rejected_ratio): {reasons}; nothing is published"
        )


def filtered_ratio(rows_read: int, filtered: str) -> float:
    """The share of the rows looked at that are events of other libraries, from two columns of the ledger."""
    reasons = json.loads(filtered)
    looked_at = rows_read - reasons.get(OUTSIDE, 0)
    return float(reasons.get("library", 0) / looked_at) if looked_at else 0.0


def check_filtered(row: Mapping[str, Any], previous: LastRun | None, max_ratio: float) -> None:
    """Raise RunError when nearly all rows are of other libraries, and were not in the run before.

    The name of the app's library may have changed, and the run would empty the tables.
    """
    ratio = filtered_ratio(row["rows_read"], row["filtered"])
    if row["mode"] == "sample" or previous is None or ratio <= max_ratio:
        return
    before = filtered_ratio(previous.rows_read, previous.filtered)
    if before <= max_ratio:
        raise RunError(
            f"{ratio:.1%} of the rows are of libraries that the metrics file does not name, in the last run "
            f"{before:.1%} (allowed are {max_ratio:.1%} by --max_filtered_ratio): look at $lib of new events; "
            "nothing is published"
        )


def latest_run(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The row of the run that was published last: the one that no other follows, whatever the clocks said.

    Should several have no follower, as after someone has edited the ledger, it is the one with the greatest id.
    """
    followed = {row["previous_run_id"] for row in rows}
    ends = [row for row in rows if row["run_id"] not in followed]
    return max(ends, key=lambda row: str(row["run_id"]), default=None)


def rows_after(row: LedgerRow) -> dict[str, int]:
    """The rows of each output after a run, from its row of the ledger: none of a table that it did not know yet."""
    notes = json.loads(row["notes"])
    rows = {}
    for output in tables.OUTPUTS:
        changes = output.changes(notes)
        changes |= {
            change: row[column] for change, column in output.ledger_columns.items() if row.get(column) is not None
        }
        rows[output.name] = sum(changes[change] for change in STAYS)
    return rows


def _check_sum(row: Mapping[str, Any]) -> None:
    parts = [row[f"rows_{name}"] for name in ("kept", "duplicate", "filtered", "rejected")]
    if row["rows_read"] != sum(parts):
        raise RunError(
            f"the ledger does not add up: read {row['rows_read']}, but kept, duplicate, filtered and "
            f"rejected are {parts}"
        )


def _under(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}


def _moment(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)
