"""The metrics that a published run was made with: views of others over its tables would tell of other days."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import RunError
from pipeline.ledger import latest_run
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.ledger_files import all_rows, read_ledger
from transforms.metrics.definitions import Metrics, MetricsError
from transforms.metrics.file import load_metrics


def metrics_of(snapshot: Path, metrics_file: Path | None) -> Metrics:
    """The metrics of a file, which are those of the tables.

    Args:
      snapshot: the folder of one run, links resolved.
      metrics_file: where they are declared; None for the packaged file.

    Raises:
      MetricsError: the file cannot be read, or the tables were made with another one.
      RunError: nothing is published there.
    """
    metrics = load_metrics(metrics_file)
    last = latest_run(all_rows(read_ledger(files_of(snapshot / "runs"))))
    if last is None:
        raise RunError(f"{snapshot} holds no published run")
    if metrics.digest != last["metrics_digest"]:
        raise MetricsError("the tables were made with another metrics file: give it as --metrics_file")
    return metrics
