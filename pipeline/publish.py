"""The last step of the graph: the ledger row, the checks, one atomic switch."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from pipeline.ledger import check_rejected, ledger_row
from pipeline.warehouse.base import Run, Staged, Warehouse
from transforms.counts import Count


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
