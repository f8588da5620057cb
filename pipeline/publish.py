"""The last step of the graph: the ledger row, the checks, one atomic switch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.metrics import Metrics as BeamMetrics
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from pipeline import tables
from pipeline.checks import OFF, as_json, text
from pipeline.ledger import TOO_OLD, check_filtered, check_rejected, ledger_row, never_read
from pipeline.tables import OutputTable
from pipeline.warehouse.base import Run, Sink, Source, Staged
from transforms.incremental.seen import NOTHING, merge_found, news_only
from transforms.incremental.unsettled import ListUnsettled, Unsettled
from transforms.incremental.watermark import Latest, merge_latest
from transforms.machinery.counts import NAMESPACE, Count, SumCounts, some_of
from transforms.machinery.join import Outcome
from transforms.machinery.steps import flat_map
from transforms.metrics.checks import Finding

_LOG = logging.getLogger("pipeline")


def add_publishing(
    p: beam.Pipeline,
    run: Run,
    source: Source,
    sink: Sink,
    written: Mapping[OutputTable, Outcome],
    counts: Sequence[PCollection[Count]],
    arrivals: PCollection[Latest],
    unsettled: PCollection[pa.RecordBatch],
    late: PCollection[pa.RecordBatch],
    by_day: PCollection[pa.RecordBatch],
) -> None:
    """Add the end of the graph: staging, and one step that waits for all others and runs even for no row.

    Args:
      source: what it has made for the run goes when it is published.
      written: rows of every table with their change, and their counts.
      counts: numbers of the other steps.
      arrivals: the greatest arrivals of parts of the rows, µs.
      unsettled: sessions that only a backfill can settle, as `transforms.incremental.unsettled.UNSETTLED`.
      late: `transforms.incremental.seen.FOUND` of parts of the rows.
      by_day: numbers of the days on which sessions start, as one batch.
    """
    staged = [written[table].rows | f"Stage {table.name}" >> sink.stage(run, table) for table in run.tables]
    latest = arrivals | "Latest arrivals" >> beam.CombineGlobally(merge_latest).without_defaults()
    seen = AsSingleton(late | "Late rows" >> beam.CombineGlobally(merge_found).without_defaults(), NOTHING)
    waiting = unsettled | "Leave out what was seen" >> flat_map(news_only, run.plan.window, run.plan.seen, now=seen)
    inputs = p | "Problems of the inputs" >> beam.Create(run.input_counts).with_output_types(Count)
    every = [*counts, *(table.counts for table in written.values()), inputs] | "All counts" >> beam.Flatten()
    _ = (
        p
        | "Start publishing" >> beam.Create([run])
        | "Publish"
        >> beam.Map(
            publish_run,
            source=source,
            sink=sink,
            staged=AsList(staged | "All staged" >> beam.Flatten()),
            counts=AsList(every | "Sum counts" >> SumCounts()),
            latest=AsSingleton(latest, default_value=()),
            unsettled=AsSingleton(waiting | "List unsettled" >> beam.CombineGlobally(ListUnsettled())),
            late=seen,
            by_day=AsSingleton(by_day),
        )
    )


def publish_run(
    run: Run,
    source: Source,
    sink: Sink,
    staged: Sequence[Staged],
    counts: Sequence[Count],
    latest: Latest,
    unsettled: Unsettled,
    late: pa.RecordBatch,
    by_day: pa.RecordBatch,
) -> None:
    """Publish a run whose tables are staged.

    Args:
      run: the run as planned.
      source: what it has made for the run goes when it is published.
      sink: where to.
      staged: the pieces of all tables, all of them written.
      counts: of the whole graph, one a name.
      latest: the greatest arrivals read, µs.
      unsettled: sessions that only a backfill can settle.
      late: what the next run need not take for news.
      by_day: numbers of the days on which sessions start, for the checks.

    Raises:
      RunError: too many rows were rejected, a check fails, or something does not add up; nothing is published.
    """
    told = never_read(run, dict(counts)) | some_of({TOO_OLD: unsettled.total})
    counts = [*counts, *told.items()]
    row = ledger_row(run, counts, latest, unsettled, datetime.now(UTC), late)
    check_rejected(row, run.max_rejected_ratio)
    check_filtered(row, run.plan.previous, run.max_filtered_ratio)
    findings = run.checks.findings(by_day, row)
    run.checks.stop_on_failure(findings)
    row["checks"] = as_json(findings)
    sink.publish(run, staged, counts, row)
    source.release(run)
    _tell(row, findings, told)


def _tell(row: Mapping[str, Any], findings: Sequence[Finding], told: Mapping[str, int]) -> None:
    for name, number in told.items():
        BeamMetrics.counter(NAMESPACE, name).inc(number)
    for finding in findings:
        if finding.status in ("warn", "fail"):
            BeamMetrics.counter(NAMESPACE, f"{OFF}{finding.check}").inc()
            _LOG.warning(text(finding))
    if row["watermark"] is not None:
        age = row["published_at"] - row["watermark"]
        BeamMetrics.counter(NAMESPACE, "watermark_age_seconds").inc(max(0, int(age.total_seconds())))
    # the launcher of a Dataflow job never sees this: the worker's log is where it is told
    _LOG.info(published_text(row))


def published_text(row: Mapping[str, Any]) -> str:
    """One line of numbers about a ledger row."""
    rows = ("read", "kept", "duplicate", "filtered", "rejected")
    parts = [", ".join(f"{name} {row[f'rows_{name}']:,}" for name in rows)]
    for output in tables.OUTPUTS:
        if output.in_ledger:
            told = ", ".join(f"{change} {row[column]:,}" for change, column in output.ledger_columns.items())
            parts.append(f"{output.name} {told}")
    return f"published run {row['run_id']} ({row['mode']}): rows {'; '.join(parts)}"
