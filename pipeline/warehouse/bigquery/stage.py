"""Changed rows → a staging table, through Beam's `WriteToBigQuery` with load jobs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.gcp.bigquery import BigQueryDisposition, WriteToBigQuery

from pipeline.tables import Table
from pipeline.warehouse.base import Staged
from pipeline.warehouse.bigquery.schema import staging_fields
from transforms.machinery.steps import flat_map
from transforms.published.changes import CHANGE

#: Where a `Staged` piece says that it is a number of rows, not a load job.
ROWS = "rows"


class StageChanges(beam.PTransform):
    """PCollection[pa.RecordBatch] with `CHANGE` → PCollection[Staged]: rows counted, and the load job's id.

    Only rows that change are loaded; without any there is no job. The table is truncated by the load, so that a
    load that a runner repeats does not double rows.
    """

    def __init__(self, table: Table, project: str, dataset: str, staging: str) -> None:
        super().__init__()
        self._table, self._project = table, project
        self._target = f"{project}:{dataset}.{staging}"

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[Staged]:
        """One load."""
        changed = batches | "Only changes" >> flat_map(only_changes)
        counted = changed | "Count" >> beam.Map(_counted, self._table.name).with_output_types(Staged)
        written = (
            changed
            | "To rows" >> flat_map(json_rows, gives=dict[str, Any])
            | "Load"
            >> WriteToBigQuery(
                self._target,
                schema={"fields": staging_fields(self._table)},
                method=WriteToBigQuery.Method.FILE_LOADS,
                create_disposition=BigQueryDisposition.CREATE_NEVER,
                write_disposition=BigQueryDisposition.WRITE_TRUNCATE,
                load_job_project_id=self._project,
            )
        )
        jobs = written.destination_load_jobid_pairs | "Job ids" >> beam.Map(_job, self._table.name).with_output_types(
            Staged
        )
        return (counted, jobs) | "Both" >> beam.Flatten()


def only_changes(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The rows that publishing inserts, updates or deletes."""
    changed = batch.filter(pc.not_equal(batch.column(CHANGE), "unchanged"))
    if changed.num_rows:
        yield changed


def json_rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows as BigQuery's JSON loads take them: times as text in UTC, dates as text, nothing that JSON cannot hold."""
    dates = [field.name for field in batch.schema if pa.types.is_date(field.type)]
    times = [field.name for field in batch.schema if pa.types.is_timestamp(field.type)]
    for row in batch.to_pylist():
        for name in times:
            moment: datetime | None = row[name]
            if moment is not None:
                # isoformat, not strftime: the latter writes the year 1 of a broken row without its zeros
                row[name] = moment.astimezone(UTC).isoformat(timespec="microseconds")
        for name in dates:
            if row[name] is not None:
                row[name] = row[name].isoformat()
        yield {name: value for name, value in row.items() if value is not None}


def _counted(batch: pa.RecordBatch, name: str) -> Staged:
    return name, ROWS, batch.num_rows


def _job(pair: tuple[Any, Any], name: str) -> Staged:
    return name, str(getattr(pair[1], "jobId", pair[1])), 0
