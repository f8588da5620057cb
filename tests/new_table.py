"""A table more, made of what CONTRIBUTING.md says that one takes: a transform, a record, two lines in the graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import tables
from pipeline.warehouse.base import Run
from tests.builders import METRICS
from transforms.machinery.join import JoinByKey, Outcome, Results, Side
from transforms.metrics.definitions import Metrics
from transforms.published.changes import CompareWithPublished
from transforms.schemas.fields import DATE, INTEGER, TEXT

# the transform

NEEDED = pa.schema(
    [("person_id", pa.string()), ("start_timestamp", pa.timestamp("us", "UTC")), ("_change", pa.string())]
)


def visits_by_day(given: dict[str, pa.Table]) -> Results:
    """`sessions` of some persons → (person_id, day, sessions of that day)."""
    there = given["sessions"].filter(pc.not_equal(given["sessions"].column("_change"), "deleted"))
    days = there.append_column("day", there.column("start_timestamp").cast(pa.date32()))
    found = days.group_by(["person_id", "day"]).aggregate([([], "count_all")])
    return Results([found.rename_columns(["person_id", "day", "sessions"])])


def needed(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns of session rows that visits are counted from."""
    return batch.select(NEEDED.names)


class CountVisits(beam.PTransform):
    """Session rows with their change → rows of the new table."""

    def expand(self, sessions: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        """One shuffle by person."""
        some = sessions | "Needed" >> beam.Map(needed).with_output_types(pa.RecordBatch)
        counted: Outcome = {"sessions": some} | "Count" >> JoinByKey(
            visits_by_day, {"sessions": Side("person_id", NEEDED)}, 2
        )
        return counted.rows


# the record


def _columns(_: Metrics) -> Sequence[pa.Field]:
    return [
        pa.field("person_id", TEXT, nullable=False),
        pa.field("day", DATE, nullable=False),
        pa.field("sessions", INTEGER, nullable=False),
    ]


VISITS = tables.Output(
    "visits",
    "One row a person and day: how many sessions begin on it.",
    _columns,
    key=("person_id", "day"),
    partition_by="day",
    cluster_by=("person_id",),
)
TABLE = VISITS.under(METRICS)

# the two lines


def add_to_graph(pipeline: beam.Pipeline, run: Run, sink: Any, written: dict[tables.OutputTable, Outcome]) -> None:
    """What `pipeline.graph.build` would say (it has read what is published of every output)."""
    visits = next(table for table in run.tables if table.name == VISITS.name)
    published = pipeline | "Read visits" >> sink.read_published(run, visits)
    rows = written[next(table for table in written if table.name == "sessions")].rows | "Visits" >> CountVisits()
    written[visits] = (rows, published) | "Compare visits" >> CompareWithPublished(visits.target, run.loaded_by, 2)
