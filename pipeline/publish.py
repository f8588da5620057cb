"""The last step of the graph: the ledger row, the checks, one atomic switch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.ledger import check_rejected, ledger_row
from pipeline.warehouse.base import Run, Staged, Warehouse
from transforms.changes import CHANGES
from transforms.counts import Count

_LOG = logging.getLogger("pipeline")


def publish_run(
    run: Run,
    warehouse: Warehouse,
    staged: Sequence[Staged],
    counts: Sequence[Count],
    latest_arrival: int | None,
    too_old: Sequence[str],
) -> None:
    """Publish a run whose tables are staged.

    Args:
      run: the run as planned.
      warehouse: where to.
      staged: the pieces of all tables, all of them written.
      counts: of the whole graph, one a name.
      latest_arrival: the greatest arrival read, µs.
      too_old: the first ids of sessions that only a backfill can settle.

    Raises:
      RunError: too many rows were rejected, or something does not add up; nothing is published.
    """
    row = ledger_row(run, counts, latest_arrival, too_old, datetime.now(UTC))
    check_rejected(row, run.max_rejected_ratio)
    warehouse.publish(run, staged, counts, row)
    # the launcher of a Dataflow job never sees this: the worker's log is where it is told
    _LOG.info(published_text(row))


def published_text(row: Mapping[str, Any]) -> str:
    """One line of numbers about a ledger row."""
    rows = ("read", "kept", "duplicate", "filtered", "rejected")
    parts = [", ".join(f"{name} {row[f'rows_{name}']:,}" for name in rows)]
    for table in ("sessions", "persons"):
        parts.append(f"{table} " + ", ".join(f"{change} {row[f'{table}_{change}']:,}" for change in CHANGES))
    return f"published run {row['run_id']} ({row['mode']}): rows {'; '.join(parts)}"
