"""A warehouse in a local folder: `DIR/<dataset>/<table>/*.parquet`."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.utils.windowed_value import WindowedValue

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import latest_run
from pipeline.meter import PUBLISHING, Meter, TellBlocks, TellConcluded
from pipeline.plan import LastRun, Plan
from pipeline.tables import OutputTable, Table
from pipeline.warehouse.base import SAMPLES, Inputs, Problem, Published, Run, Scan, Staged, check_staged, names_told
from pipeline.warehouse.binding import noun
from pipeline.warehouse.datasets import Datasets
from pipeline.warehouse.folders import files_of, unread_text
from pipeline.warehouse.ledger_files import all_rows, read_ledger, write_ledger
from pipeline.warehouse.parquet import ReadParquet, problems_in, read_shard, shards, table_shards
from pipeline.warehouse.published import ReadPublished, damage, read_columns
from pipeline.warehouse.reading import OnlyRows
from pipeline.warehouse.row_groups import RowGroup, needed, row_groups
from pipeline.warehouse.snapshots import Snapshots
from transforms.ids.excluded import Excluded
from transforms.incremental.window import Window
from transforms.machinery.counts import Count
from transforms.machinery.guard import guarded
from transforms.machinery.steps import at_bundle_end
from transforms.published.changes import CHANGE, STAYS
from transforms.sessions.concluded import IDS_OF, excluded_ids
from transforms.users.users import ACCOUNTS, present_accounts

_PROGRESS = "progress"
#: Beside the tables of a snapshot, and no table: its name says so, see `pipeline.warehouse.folders`.
_COUNTS = "_counts.json"


class LocalWarehouse:
    """Implements `base.Warehouse` on a folder."""

    def __init__(self, root: Path, datasets: Datasets) -> None:
        self.root = root
        self._datasets = datasets
        self.snapshots = Snapshots(root / datasets.aggregated)
        self._files: list[Path] | None = None
        self._groups: list[RowGroup] | None = None
        self._concerned: dict[Window, list[RowGroup]] = {}
        self._meter: Meter | None = None

    def acquire(self) -> None:
        """See `base.Sink`; the lock goes with the process, however it ends."""
        self._event_files()  # a folder of something else is left as it is
        self.snapshots.lock()

    def close(self) -> None:
        """See `base.Sink`."""
        self.snapshots.unlock()

    def inputs(self) -> Inputs:
        """See `base.Source`; from the Parquet footers."""
        there, absent, problems = list[str](), dict[str, str](), list[Problem]()
        for table in tables.INPUTS:
            folder, label = self._folder(table), self._datasets.label(table)
            files = self._event_files() if table is tables.EVENTS else files_of(folder)
            unread = unread_text(folder, label)
            if not files and table in tables.OPTIONAL_INPUTS:
                absent[noun(table)] = label
            elif table in tables.OPTIONAL_INPUTS:
                there.append(noun(table))
            problems += [Problem(unread)] if unread else []
            problems += problems_in(files, table, label)
        return Inputs(tuple(there), absent, tuple(problems))

    def published(self) -> Published:
        """See `base.Sink`; from the Parquet footers."""
        ledger = read_ledger(self._published_files(tables.RUNS.name))
        runs = all_rows(ledger)
        last = latest_run(runs)
        return Published(LastRun.of(last) if last else None, damage(self.snapshots, ledger, last), runs)

    def prepare(self, run: Run) -> None:
        """See `base.Source`; files are read as they are."""

    def release(self, run: Run) -> None:
        """See `base.Source`."""

    def scan(self, plan: Plan) -> Scan:
        """See `base.Source`; from the Parquet footers, and where they do not tell, from the events' times."""
        every, some = self._all_groups(), self._needed(plan.window)
        rows = sum(group.rows for group in some)
        return Scan(
            rows=rows if plan.limit is None else min(rows, plan.limit),
            rows_total=sum(group.rows for group in every),
            bytes=sum(group.bytes for group in some),
            bytes_total=sum(group.bytes for group in every),
            files=len({group.path for group in some}),
            files_total=len({group.path for group in every}),
        )

    def read_events(self, plan: Plan) -> beam.PTransform:
        """See `base.Source`."""
        read = shards(self._needed(plan.window), plan.limit)
        return OnlyRows(ReadParquet(read, tables.EVENTS, self._datasets.label(tables.EVENTS), self._meter))

    def read_input(self, table: Table) -> beam.PTransform:
        """See `base.Source`."""
        label = self._datasets.label(table)
        return ReadParquet(table_shards(files_of(self._folder(table)), label), table, label)

    def read_published(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Sink`."""
        files = self._published_files(run.published_name(table))
        return ReadPublished(files, table, self._datasets.label(table), anew=run.plan.window.is_full)

    def begin(self, run: Run) -> None:
        """See `base.Sink`."""
        self.snapshots.begin(run.run_id)
        self._meter = Meter(self.snapshots.staging(run.run_id) / _PROGRESS)
        for table in run.tables:
            (self.snapshots.staging(run.run_id) / run.published_name(table)).mkdir()

    def scratch(self, run: Run) -> str:
        """See `base.Sink`; it goes with the staging folder."""
        return str(self.snapshots.staging(run.run_id))

    def stage(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Sink`; one Parquet file a bundle."""
        folder = self.snapshots.staging(run.run_id) / run.published_name(table)
        return beam.ParDo(_WriteParquet(table, str(folder), self._meter))

    def publish(self, run: Run, staged: Sequence[Staged], counts: Sequence[Count], ledger: dict[str, Any]) -> None:
        """See `base.Sink`."""
        if self._meter is not None:
            self._meter.tell(PUBLISHING, 1)
        with self.snapshots.alone():
            if not self.is_published(run):  # an engine may have lost the answer of an attempt that was well
                self._publish(run, staged, counts, ledger)

    def _publish(self, run: Run, staged: Sequence[Staged], counts: Sequence[Count], ledger: dict[str, Any]) -> None:
        before = read_ledger(self._published_files(tables.RUNS.name))
        last = latest_run(all_rows(before))
        if (last["run_id"] if last else None) != ledger["previous_run_id"]:
            raise RunError("another run was published meanwhile: nothing is published, run again")
        rows = check_staged(run, staged, counts, STAYS)
        self.snapshots.assemble(run.run_id, (Path(path) for _, path, _ in staged))
        snapshot = self.snapshots.next(run.run_id)
        written = {run.published_name(table): table for table in run.tables}
        for name, table in written.items():
            if not rows[table.name]:  # a table without rows is a file without rows, not a missing table
                (snapshot / name).mkdir()
                pq.write_table(table.schema.empty_table(), snapshot / name / "part-empty.parquet")
        carried = _all_names(samples=not run.empties_samples) - written.keys()
        if run.plan.mode != "sample":
            carried -= {tables.RUNS.name}
            (snapshot / tables.RUNS.name).mkdir()
            write_ledger(before, ledger, snapshot / tables.RUNS.name)
        (snapshot / _COUNTS).write_text(json.dumps(dict(counts)))
        self.snapshots.carry_over(run.run_id, carried)
        self.snapshots.switch(run.run_id)

    def abandon(self, run: Run) -> None:
        """See `base.Sink`."""
        self.snapshots.abandon(run.run_id)

    def is_published(self, run: Run) -> bool:
        """See `base.Sink`."""
        return self.snapshots.is_published(run.run_id)

    def counted(self, run: Run) -> dict[str, int]:
        """See `base.Sink`."""
        current = self.snapshots.current()
        if current is None or current.name != run.run_id:
            return {}
        counts: dict[str, int] = json.loads((current / _COUNTS).read_text())
        return counts

    def user_accounts(self, excluded: frozenset[str]) -> Iterator[tuple[str | None, str | None]]:
        """See `base.Source`; all users, from four columns."""
        if excluded:
            some = pa.schema([tables.USERS.schema.field(name) for name in ACCOUNTS.names])
            users, label = dataclasses.replace(tables.USERS, schema=some), self._datasets.label(tables.USERS)
            shards = table_shards(files_of(self._folder(users)), label)
            rows = [batch for shard in shards for batch in read_shard(shard, users, label)]
            yield from present_accounts(pa.Table.from_batches(rows, users.bare))

    def deletion_requests(self) -> pa.Table | None:
        """See `base.Source`."""
        table = tables.DELETION_REQUESTS
        files, label = files_of(self._folder(table)), self._datasets.label(table)
        shards = table_shards(files, label)
        rows = [batch for shard in shards for batch in read_shard(shard, table, label)]
        return pa.Table.from_batches(rows, table.bare) if files else None

    def earliest_session_with(self, distinct_ids: frozenset[str]) -> datetime | None:
        """See `base.Sink`."""
        found, excluded = None, Excluded(distinct_ids)
        for file in self._published_files(tables.SESSIONS.name):
            published = read_columns(file, ["start_timestamp", *IDS_OF])
            some, every = excluded_ids(published, excluded)
            mixed = published.filter(pa.array(some & ~every))
            if mixed.num_rows:
                earliest = pc.min(mixed["start_timestamp"]).as_py()
                found = earliest if found is None else min(found, earliest)
        return found

    def latest_end(self, first: datetime, beyond: datetime) -> datetime | None:
        """See `base.Sink`."""
        found = []
        for file in self._published_files(tables.SESSIONS.name):
            published = read_columns(file, ["start_timestamp", "end_timestamp"])
            starts = published["start_timestamp"]
            here = pc.and_(pc.greater_equal(starts, pa.scalar(first)), pc.less(starts, pa.scalar(beyond)))
            found.append(pc.max(published["end_timestamp"].filter(here)).as_py())
        return max((end for end in found if end is not None), default=None)

    def tell_blocks(self) -> beam.PTransform:
        """See `base.Sink`."""
        return TellBlocks(self._meter)

    def tell_concluded(self) -> beam.PTransform:
        """See `base.Sink`."""
        return TellConcluded(self._meter)

    def told(self) -> Mapping[str, int]:
        """See `base.Sink`."""
        return self._meter.told() if self._meter else {}

    def ledger(self) -> list[dict[str, Any]]:
        """The rows of `runs`, oldest first."""
        return [dict(row) for row in all_rows(read_ledger(self._published_files(tables.RUNS.name)))]

    def where_to_look(self, plan: Plan) -> str:
        """See `base.Sink`."""
        folder = self.root / self._datasets.aggregated
        return f"{folder}/{names_told(plan)}/*.parquet"

    def _event_files(self) -> list[Path]:
        """The files of the events, for which the folder is walked once; RunError where there are none."""
        if self._files is not None:
            return self._files
        if not self.root.is_dir():
            what = "it is no folder" if self.root.exists() else "the folder does not exist"
            raise RunError(
                f"no warehouse at {self.root}: {what}; --warehouse is a folder DIR/<dataset>/<table>/*.parquet, "
                "or the word bigquery"
            )
        folder = self._folder(tables.EVENTS)
        files = files_of(folder)
        if not files:
            unread = unread_text(folder, self._datasets.label(tables.EVENTS))
            raise RunError(f"no events: {folder} has no *.parquet file" + (f" ({unread})" if unread else ""))
        self._files = files
        return files

    def _folder(self, table: Table) -> Path:
        return self.root / self._datasets.holding(table) / table.name

    def _published_files(self, name: str) -> list[Path]:
        current = self.snapshots.current()
        return files_of(current / name) if current else []

    def _all_groups(self) -> list[RowGroup]:
        if self._groups is None:
            self._groups = row_groups(self._event_files(), self._datasets.label(tables.EVENTS))
        return self._groups

    def _needed(self, window: Window) -> list[RowGroup]:
        if window not in self._concerned:
            self._concerned[window] = needed(self._all_groups(), window, self._datasets.label(tables.EVENTS))
        return self._concerned[window]


def _all_names(*, samples: bool) -> frozenset[str]:
    """Everything that a snapshot can hold; what a run does not write is carried over."""
    names = [*(output.name for output in tables.OUTPUTS), tables.RUNS.name]
    return frozenset([*names, *SAMPLES]) if samples else frozenset(names)


@guarded("staging of rows")
@beam.typehints.with_input_types(pa.RecordBatch)
@beam.typehints.with_output_types(Staged)
class _WriteParquet(beam.DoFn):
    """Record batches of a table plus `CHANGE` → one Parquet file a bundle, without the deleted rows."""

    def __init__(self, table: Table, folder: str, meter: Meter | None) -> None:
        self._name, self._schema, self._folder, self._meter = table.name, table.schema, folder, meter

    def start_bundle(self) -> None:
        """No file before the first row."""
        self._writer: pq.ParquetWriter | None = None
        self._rows = 0

    def process(self, batch: pa.RecordBatch) -> None:
        """Append a batch."""
        batch = batch.filter(pc.not_equal(batch.column(CHANGE), "deleted"))
        if not batch.num_rows:
            return
        if self._writer is None:
            self._path = f"{self._folder}/part-{uuid.uuid4().hex}.parquet"
            self._writer = pq.ParquetWriter(self._path, self._schema, compression="zstd", write_page_checksum=True)
        content = batch.select(self._schema.names)
        self._writer.write_batch(pa.RecordBatch.from_arrays(content.columns, schema=self._schema))
        self._rows += batch.num_rows
        if self._meter is not None:
            self._meter.tell(self._name, batch.num_rows)

    def finish_bundle(self) -> Iterator[WindowedValue]:
        """Close the file and tell of it."""
        if self._writer is not None:
            self._writer.close()
            yield at_bundle_end((self._name, self._path, self._rows))
