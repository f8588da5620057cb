"""Reading tables of BigQuery as record batches.

`DIRECT_READ` and `EXPORT` are Beam's `ReadFromBigQuery`, which gives a dict a row. `ARROW` takes the record batches of
the Storage Read API as they are, for a fraction of the CPU time: see benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.gcp.internal.clients import bigquery as beam_bigquery
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.windowed_value import WindowedValue
from google.cloud import bigquery_storage

from pipeline.warehouse.batches import BATCH_BYTES, BATCH_ROWS, LONG, rebatch
from pipeline.warehouse.bigquery.client import told
from pipeline.warehouse.binding import Binding, Lost
from pipeline.warehouse.reading import Losses, rows_and_counts
from transforms.machinery.guard import guarded
from transforms.machinery.join import Outcome
from transforms.machinery.steps import at_bundle_end

#: Streams of an `ARROW` read; the service gives fewer for a small table.
_STREAMS = 256


@dataclass(frozen=True)
class Selection:
    """What to read of one table."""

    project: str
    dataset: str
    table: str
    columns: tuple[str, ...]
    """Those that the table has."""
    condition: str | None = None
    """Rows to read, where the method can tell; the pipeline filters again."""
    limit: int | None = None
    """At most so many rows; only with `ARROW`."""
    billing: str | None = None
    """The project that pays for reading, where it is not the table's own."""

    @property
    def payer(self) -> str:
        """The project that pays for reading."""
        return self.billing or self.project


class ReadTable(beam.PTransform):
    """PBegin → `Outcome` of rows with a table's bare schema, as its `binding` finds them in the source.

    `temp_dataset` exists; Beam is told to use it, as otherwise it cleans up by deleting datasets that it finds. Beam
    also opens read sessions in the project of the table, where the account need not have a permission and somebody else
    would pay: a table of another project is read by `ARROW` instead of `DIRECT_READ`.
    """

    def __init__(self, source: Selection, binding: Binding, method: str, temp_dataset: str) -> None:
        super().__init__()
        self._source, self._binding, self._method, self._temp_dataset = source, binding, method, temp_dataset

    def expand(self, begin: beam.pvalue.PBegin) -> Outcome:
        """Streams or files are spread over the workers."""
        source = self._source
        if self._method == "ARROW" or (self._method == "DIRECT_READ" and source.payer != source.project):
            streams = (
                begin
                | "Selection" >> beam.Create([source])
                | "Open streams" >> beam.ParDo(_OpenStreams())
                | "Spread streams" >> beam.Reshuffle()
            )
            return rows_and_counts(streams, _ReadStream(self._binding, source.limit))
        pruned: dict[str, Any] = {}
        if self._method == "DIRECT_READ":
            pruned = {"selected_fields": list(source.columns), "row_restriction": source.condition}
        rows = begin | "Read rows" >> beam.io.ReadFromBigQuery(
            method=self._method,
            table=f"{source.project}:{source.dataset}.{source.table}",
            temp_dataset=beam_bigquery.DatasetReference(projectId=source.payer, datasetId=self._temp_dataset),
            **pruned,
        )
        return rows_and_counts(rows, _BatchRows(self._binding))


def batch_of(rows: Sequence[Mapping[str, Any]], binding: Binding, lost: Lost | None = None) -> pa.RecordBatch:
    """Dict rows of a source → a record batch of the table's bare schema."""
    exact = binding.exact
    values = {source: pa.array([row.get(source) for row in rows], exact.get(source)) for source in binding.names}
    batch = pa.record_batch(values) if values else pa.record_batch({"": pa.nulls(len(rows))})
    return binding.conform(batch, lost)


@guarded("reading of rows")
@beam.typehints.with_input_types(Any)
@beam.typehints.with_output_types(pa.RecordBatch)
class _BatchRows(beam.DoFn):
    """Dict rows → record batches of a table's bare schema, and what of them is lost."""

    def __init__(self, binding: Binding) -> None:
        self._binding = binding
        self._long = [source for source in binding.names if source.lower() in LONG]

    def start_bundle(self) -> None:
        """Start with nothing held back."""
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self._lost = Losses(self._binding.table)

    def process(self, row: dict[str, Any]) -> Iterator[pa.RecordBatch]:
        """Hold the row back until a batch is full, by rows or by bytes."""
        self._rows.append(row)
        for name in self._long:
            self._bytes += len(row.get(name) or ())
        if len(self._rows) >= BATCH_ROWS // 2 or self._bytes >= BATCH_BYTES:
            yield self._batch()

    def finish_bundle(self) -> Iterator[WindowedValue | TaggedOutput]:
        """Give what is left."""
        if self._rows:
            yield at_bundle_end(self._batch())
        yield from map(at_bundle_end, self._lost.tagged())

    def _batch(self) -> pa.RecordBatch:
        rows, self._rows, self._bytes = self._rows, [], 0
        return batch_of(rows, self._binding, self._lost)


@guarded("reading of rows")
@beam.typehints.with_input_types(Selection)
@beam.typehints.with_output_types(str)
class _OpenStreams(beam.DoFn):
    """A source → the names of its streams; one read session, so one consistent state of the table."""

    def process(self, source: Selection) -> Iterator[str]:
        """Make the session; it lives for six hours."""
        for stream in open_session(source, 1 if source.limit else _STREAMS).streams:
            yield stream.name


def open_session(source: Selection, streams: int) -> bigquery_storage.ReadSession:
    """A read session of at most so many streams; RunError when it is refused."""
    options = bigquery_storage.ReadSession.TableReadOptions(
        selected_fields=list(source.columns), row_restriction=source.condition or ""
    )
    wanted = bigquery_storage.ReadSession(
        table=f"projects/{source.project}/datasets/{source.dataset}/tables/{source.table}",
        data_format=bigquery_storage.DataFormat.ARROW,
        read_options=options,
    )
    with told(f"streams of table {source.dataset}.{source.table}", "roles/bigquery.readSessionUser"):
        return bigquery_storage.BigQueryReadClient().create_read_session(
            parent=f"projects/{source.payer}", read_session=wanted, max_stream_count=streams
        )


@guarded("reading of rows")
@beam.typehints.with_input_types(str)
@beam.typehints.with_output_types(pa.RecordBatch)
class _ReadStream(beam.DoFn):
    """Stream names → record batches, and what of them is lost; the client resumes a broken stream where it was."""

    def __init__(self, binding: Binding, limit: int | None) -> None:
        self._binding, self._limit = binding, limit

    def process(self, stream: str) -> Iterator[pa.RecordBatch | TaggedOutput]:
        """Read one stream to its end, or to the limit."""
        lost = Losses(self._binding.table)
        yield from rebatch(self._binding.conform(batch, lost) for batch in self._raw(stream))
        yield from lost.tagged()

    def _raw(self, stream: str) -> Iterator[pa.RecordBatch]:
        left = self._limit
        with told("a read stream", "roles/bigquery.readSessionUser"):
            columns: pa.Schema | None = None
            for response in bigquery_storage.BigQueryReadClient().read_rows(stream):
                if columns is None:  # only the first response of a stream is sure to have it
                    columns = pa.ipc.read_schema(pa.py_buffer(response.arrow_schema.serialized_schema))
                content = pa.py_buffer(response.arrow_record_batch.serialized_record_batch)
                batch = pa.ipc.read_record_batch(content, columns)
                if left is not None:
                    batch = batch.slice(0, left)
                    left -= batch.num_rows
                if batch.num_rows:
                    yield batch
                if left == 0:
                    return
