"""What a step that reads a table gives: its rows, and how many single values of them could not be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from pipeline.tables import Table
from pipeline.warehouse.binding import LOST, noun
from transforms.machinery.counts import Count
from transforms.machinery.join import Outcome
from transforms.machinery.steps import split

_COUNTS = "counts"


class Losses:
    """Counts the values of a table that are null because they could not be read, until they are told."""

    def __init__(self, table: Table) -> None:
        self._prefix = f"{LOST}{noun(table)}."
        self._lost = Counter[str]()

    def __call__(self, column: str, values: int) -> None:
        """So many values of a column."""
        self._lost[f"{self._prefix}{column}"] += values

    def told(self) -> Iterator[Count]:
        """What was counted since the last time."""
        lost, self._lost = self._lost, Counter()
        yield from lost.items()

    def tagged(self) -> Iterator[TaggedOutput]:
        """`told`, for the output of counts of `rows_and_counts`."""
        return (TaggedOutput(_COUNTS, count) for count in self.told())


def rows_and_counts(source: PCollection[object], read: beam.DoFn) -> Outcome:
    """The outputs of a DoFn that gives record batches, and its `Losses` as it says."""
    outputs = split(source, read, rows=pa.RecordBatch, **{_COUNTS: Count})
    return Outcome(outputs["rows"], outputs[_COUNTS], {})


class OnlyRows(beam.PTransform):
    """PBegin → the rows of a transform that gives an `Outcome`: of a table of which no value can be lost."""

    def __init__(self, read: beam.PTransform) -> None:
        super().__init__()
        self._read = read

    def expand(self, begin: PBegin) -> PCollection[pa.RecordBatch]:
        """The counts lead nowhere; no level of its own, so that steps have the names that the docs know."""
        outcome: Outcome = self._read.expand(begin)
        return outcome.rows


class Nothing(beam.PTransform):
    """PBegin → `Outcome` of no row, for a table that does not exist."""

    def expand(self, begin: PBegin) -> Outcome:
        """Two empty collections."""
        rows, counts = (
            begin | name >> beam.Create([]).with_output_types(kind)
            for name, kind in (("No row", pa.RecordBatch), ("No count", Count))
        )
        return Outcome(rows, counts, {})
