"""Numbers of days: what checks compare. Session rows → a row a day on which sessions start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.guard import guarded
from transforms.machinery.keys import grouped
from transforms.machinery.record_batches import as_batch
from transforms.machinery.steps import flat_map
from transforms.metrics.kinds.every_session import START_DATE
from transforms.published.changes import CHANGE
from transforms.schemas.fields import DATE, INTEGER


def schema(metrics: Sequence[str]) -> pa.Schema:
    """A day, and its numbers by the names of `transforms.metrics.checks.Numbers`; `metrics` are flags and counts."""
    names = ("sessions", "users", "anonymous", *(f"with.{name}" for name in metrics))
    return pa.schema([(START_DATE, DATE), *((name, INTEGER) for name in names)])


def day_numbers(batch: pa.RecordBatch, metrics: Sequence[str], since: date | None) -> Iterator[pa.RecordBatch]:
    """Session rows (with `CHANGE`) → their numbers (`schema`) by the day on which they start.

    Args:
      batch: all sessions of its persons, as `transforms.sessions.rows` gives them: a user is counted once a day.
      metrics: flags and counts.
      since: the first day of interest; None for all days.
    """
    wanted = pc.not_equal(batch.column(CHANGE), "deleted")
    if since is not None:
        wanted = pc.and_(wanted, pc.greater_equal(batch.column(START_DATE), pa.scalar(since)))
    rows = batch.filter(wanted)
    if not rows.num_rows:
        return
    days, of_row = np.unique(rows.column(START_DATE).cast(pa.int32()).to_numpy(), return_inverse=True)
    user = rows.column("user_id").dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    known = user >= 0
    visits = np.unique(user[known] * len(days) + of_row[known]) % len(days)
    counted = [of_row, visits, of_row[~known]]
    for name in metrics:
        counted.append(of_row[rows.column(name).cast(INTEGER).fill_null(0).to_numpy() > 0])
    columns = [pa.array(np.bincount(one, minlength=len(days)), INTEGER) for one in counted]
    yield pa.RecordBatch.from_arrays([pa.array(days, pa.int32()).cast(DATE), *columns], schema=schema(metrics))


@guarded("summing of days")
@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(pa.RecordBatch)
class SumDays(beam.CombineFn):
    """Numbers of days (`schema`) → their sums, a row a day."""

    def __init__(self, target: pa.Schema) -> None:
        self._schema = target

    def create_accumulator(self) -> pa.RecordBatch:
        """No day."""
        return pa.RecordBatch.from_pylist([], self._schema)

    def add_input(self, accumulator: pa.RecordBatch, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Sum by day."""
        return self.merge_accumulators([accumulator, batch])

    def merge_accumulators(self, accumulators: Iterable[pa.RecordBatch]) -> pa.RecordBatch:
        """Sum by day."""
        rows = pa.Table.from_batches(accumulators, self._schema)
        names = [name for name in self._schema.names if name != START_DATE]
        summed = grouped(rows, START_DATE).aggregate([(name, "sum") for name in names])
        columns = [summed.column(START_DATE), *(summed.column(f"{name}_sum") for name in names)]
        return as_batch(pa.table(columns, schema=self._schema))

    def extract_output(self, accumulator: pa.RecordBatch) -> pa.RecordBatch:
        """As it is."""
        return accumulator


class CountDays(beam.PTransform):
    """PCollection[pa.RecordBatch] of session rows with their change → one batch of `schema`, a row a day."""

    def __init__(self, metrics: Sequence[str], since: date | None) -> None:
        super().__init__()
        self._metrics, self._since = tuple(metrics), since

    def expand(self, sessions: PCollection[pa.RecordBatch]) -> PCollection[pa.RecordBatch]:
        """No shuffle of rows: a few numbers a block of persons."""
        counted = sessions | "Count by day" >> flat_map(day_numbers, self._metrics, self._since)
        return counted | "Sum days" >> beam.CombineGlobally(SumDays(schema(self._metrics)))
