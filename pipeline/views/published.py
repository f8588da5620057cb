"""A published run as the views and the report find it: whole or not used, under the metrics that it was made with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import RunError
from pipeline.ledger import latest_run
from pipeline.warehouse.base import REMEDY
from pipeline.warehouse.folders import files_of
from pipeline.warehouse.ledger_files import all_rows, read_ledger
from pipeline.warehouse.published import damage, damage_in, is_whole, unreadable
from pipeline.warehouse.snapshots import Snapshots
from transforms.metrics.definitions import Metrics, MetricsError
from transforms.metrics.file import load_metrics


def snapshot_of(link: Path) -> Path:
    """The folder of the published run, the link resolved once, so that all tables are of one run.

    Raises:
      RunError: there is none.
    """
    if not link.is_dir():
        lost = damage(Snapshots(link), [], None)
        raise RunError(f"{lost}; {REMEDY}" if lost else f"{link} does not exist: run the pipeline first")
    return link.resolve()


def metrics_of(snapshot: Path, metrics_file: Path | None) -> Metrics:
    """The metrics of a file, which are those of the tables: views of others would tell of other days.

    Args:
      snapshot: the folder of one run, links resolved.
      metrics_file: where they are declared; None for the packaged file.

    Raises:
      MetricsError: the file cannot be read, or the tables were made with another one.
      RunError: nothing is published there, or its tables are not as the run left them.
    """
    metrics = load_metrics(metrics_file)
    ledger = read_ledger(files_of(snapshot / "runs"))
    last = latest_run(all_rows(ledger))
    # as a run does before it takes them for the truth: what is lost would be missing in every number
    if damaged := damage_in(snapshot, ledger, last):
        raise RunError(f"{damaged}; {REMEDY}")
    if last is None:
        raise RunError(f"{snapshot} holds no published run: run the pipeline first")
    if metrics.digest != last["metrics_digest"]:
        raise MetricsError("the tables were made with another metrics file: give it as --metrics_file")
    return metrics


@contextlib.contextmanager
def asking(snapshot: Path) -> Iterator[None]:
    """While entered, DuckDB reads the tables of a run: what it cannot do is a line with what to do about it.

    Raises:
      RunError: a file is damaged, the run is not there any more, or whatever else DuckDB says.
      KeyboardInterrupt: it was interrupted, of which DuckDB makes an error like others.
    """
    import duckdb  # of the extra

    try:
        yield
    except duckdb.Error as error:
        raise RunError(_told(error, snapshot)) from error
    except RuntimeError as error:
        if "interrupted" in str(error):
            raise KeyboardInterrupt from error
        raise


def _told(error: Exception, snapshot: Path) -> str:
    import duckdb

    if not snapshot.is_dir():
        return "two runs were published meanwhile, and these tables removed: try again"
    for folder in sorted(snapshot.iterdir()):
        for path in files_of(folder):
            if not is_whole(path):
                return unreadable(path)
    kind = type(error).__name__
    if isinstance(error, duckdb.OperationalError):  # of files and memory: no row is in what it says
        return f"DuckDB cannot go on, {kind}: {str(error).splitlines()[0]}"
    return f"unexpected {kind} of DuckDB {duckdb.__version__}: requirements-report.txt names the version that is tested"
