"""The ledger row of a run: every input row accounted for, or the run is not published. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from pipeline.errors import RunError
from pipeline.plan import from_micros, next_watermark
from pipeline.warehouse.base import Run
from transforms.changes import CHANGES
from transforms.counts import Count

#: Names of sessions that the ledger lists; their number is always exact.
MAX_LISTED = 1_000
_OWN_COLUMNS = ("read", "kept", "duplicates", "sessions.too_old")


def ledger_row(
    run: Run,
    counts: Iterable[Count],
    latest_arrival: int | None,
    too_old: Iterable[str],
    published_at: datetime,
) -> dict[str, Any]:
    """The row of `tables.RUNS` for a run.

    Args:
      run: the run as planned.
      counts: of the whole graph, one a name.
      latest_arrival: the greatest arrival read, µs.
      too_old: ids of sessions that are touched but cannot be recomputed from the window, at most
        `MAX_LISTED`; their number is among the counts.
      published_at: when the row is written.

    Raises:
      RunError: the input rows do not add up.
    """
    known = dict(counts)
    filtered, rejected = _under(known, "filtered."), _under(known, "rejected.")
    scope = run.plan.scope
    row: dict[str, Any] = {
        "run_id": run.run_id,
        "previous_run_id": run.plan.previous.run_id if run.plan.previous else None,
        "mode": run.plan.mode,
        "scan_start": _moment(scope.scan_start),
        "scan_end": _moment(scope.scan_end),
        "new_after": _moment(scope.new_from),
        "watermark": next_watermark(run.plan, latest_arrival, run.started_at),
        "rows_read": known.get("read", 0),
        "rows_kept": known.get("kept", 0),
        "rows_duplicate": known.get("duplicates", 0),
        "rows_filtered": sum(filtered.values()),
        "rows_rejected": sum(rejected.values()),
        "filtered": json.dumps(filtered, sort_keys=True),
        "rejected": json.dumps(rejected, sort_keys=True),
        "sessions_too_old": known.get("sessions.too_old", 0),
        "too_old_sessions": list(too_old),
        "bytes_read": run.scan.bytes,
        "bytes_total": run.scan.bytes_total,
        "started_at": run.started_at,
        "published_at": published_at,
        "seconds": (published_at - run.started_at).total_seconds(),
        "metrics_digest": run.metrics_digest,
        "excluded_digest": run.excluded_digest,
        "code_version": run.code_version,
        "options": json.dumps(dict(run.options), sort_keys=True),
    }
    changes = {
        f"{table}_{change}": known.get(f"{table}.{change}", 0)
        for table in ("sessions", "persons")
        for change in CHANGES
    }
    told = {name.replace("_", ".", 1) for name in changes} | set(_OWN_COLUMNS)
    others = {
        name: number
        for name, number in known.items()
        if name not in told and not name.startswith(("filtered.", "rejected."))
    }
    row |= changes | {"notes": json.dumps(others, sort_keys=True)}
    _check_sum(row)
    return row


def check_rejected(row: Mapping[str, Any], max_ratio: float) -> None:
    """Raise RunError, naming reasons and counts, when too large a share of the rows was rejected."""
    read, rejected = row["rows_read"], row["rows_rejected"]
    if read and rejected / read > max_ratio:
        reasons = ", ".join(f"{name} {number:,}" for name, number in json.loads(row["rejected"]).items())
        raise RunError(
            f"{rejected:,} of {read:,} rows were rejected ({rejected / read:.1%}, allowed are "
            f"{max_ratio:.1%} by --max_rejected_ratio): {reasons}; nothing is published"
        )


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
