"""BigQuery as a place of both inputs and outputs: `base.Sink` on staging tables and one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import apache_beam as beam

from pipeline import tables
from pipeline.checks import REACH
from pipeline.errors import RunError
from pipeline.ledger import rows_after
from pipeline.meter import TellBlocks, TellConcluded
from pipeline.plan import LastRun, Plan
from pipeline.tables import LedgerRow, OutputTable, Table
from pipeline.warehouse.base import DAMAGED, SAMPLES, Published, Run, Staged, check_staged, names_told
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.announce import announce
from pipeline.warehouse.bigquery.publish import publish_once, wait_for_loads
from pipeline.warehouse.bigquery.schema import about, binding_of, described, fields_of, missing_fields, staging_fields
from pipeline.warehouse.bigquery.source import IDS_A_QUERY, STAGING_LIVES, BigQuerySource, plain
from pipeline.warehouse.bigquery.stage import ROWS, StageChanges
from pipeline.warehouse.bigquery.views import make_views
from pipeline.warehouse.reading import Nothing, OnlyRows
from transforms.machinery.counts import Count
from transforms.published.changes import TOUCHED


class BigQueryWarehouse(BigQuerySource):
    """Implements `base.Sink` beside the source, with which it shares datasets and a client."""

    def acquire(self) -> None:
        """See `base.Sink`; another run shows only when publishing, at the fence of the transaction."""

    def close(self) -> None:
        """See `base.Sink`; nothing is held."""

    def published(self) -> Published:
        """See `base.Sink`; from the ledger and the numbers of rows."""
        runs = self._last_rows()
        last = runs[0] if runs else None
        return Published(LastRun.of(last) if last else None, self._damage(last), runs)

    def read_published(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Sink`; read even when its metadata says that it is empty, which may be old."""
        name = run.published_name(table)
        if self._info(table, name) is None:
            return OnlyRows(Nothing())
        # begin() adds columns that are missing
        binding = binding_of(table, fields_of(table), f"{self._out}.{name}")
        return OnlyRows(self._read(table, name, binding))

    def begin(self, run: Run) -> None:
        """See `base.Sink`: the dataset, target tables with all their columns, the fence, staging tables."""
        dataset = self._out
        self._make_dataset()
        for table in run.tables:
            self._make_target(table, run.published_name(table), table.output.partition_by, table.output.cluster_by)
        self._make_target(tables.RUNS, tables.RUNS.name)
        fence = self._fence(run)
        if run.plan.mode == "sample":
            self._client.run(sql.make_fence(fence, None))
            self._sample_before = str(self._client.rows(sql.fence_row(fence))[0]["run_id"])
        else:
            self._client.run(sql.make_fence(fence, self._runs))
            if self._client.number(sql.broken_fence(fence, self._runs)):
                self._client.run(sql.mend_fence(fence, self._runs))
        for table in run.tables:
            self._client.create_table(dataset, staging_name(run, table), staging_fields(table), lives=STAGING_LIVES)

    def scratch(self, run: Run) -> str:
        """See `base.Sink`; the bucket's lifecycle rule empties it."""
        return self._temp_location or ""  # of a run that starts it is given: see pipeline.options

    def stage(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Sink`; only rows that change."""
        return StageChanges(table, self._at.project, self._out, staging_name(run, table))

    def publish(self, run: Run, staged: Sequence[Staged], counts: Sequence[Count], ledger: dict[str, Any]) -> None:
        """See `base.Sink`; may be repeated by the runner."""
        rows = check_staged(run, staged, counts, TOUCHED)
        loads = [(name, where) for name, where, _ in staged if where != ROWS]
        wait_for_loads(self._client, loads)
        is_sample = run.plan.mode == "sample"
        changes = {
            self._name(table, run.published_name(table)): (
                table,
                self._name(table, staging_name(run, table)),
                rows[table.name],
            )
            for table in run.tables
        }
        before = self._sample_before if is_sample else ledger["previous_run_id"] or ""
        fence = sql.Fence(self._fence(run), before, run.run_id)
        there = [name for name in SAMPLES if run.empties_samples and self._client.table(self._out, name) is not None]
        committed = sql.committed(fence.table if is_sample else self._runs, run.run_id)
        if not self._client.number(committed):  # once it is, the staging tables that are counted here are gone
            script = sql.publish_script(
                changes,
                fence,
                None if is_sample else ledger,
                self._runs,
                self._partitioned_merges(changes),
                [self._client.name(self._out, name) for name in there],
            )
            publish_once(self._client, script, f"sessions_{plain(run.run_id)}", committed)
        make_views(self._client, self._out, run.views, [*(table.name for table in run.tables), "runs"])
        if self._temp_location and not is_sample:
            announce(self._temp_location, self._out, ledger)
        self._drop_staging(run)

    def abandon(self, run: Run) -> None:
        """See `base.Sink`."""
        self._drop_staging(run)

    def is_published(self, run: Run) -> bool:
        """See `base.Sink`; its row in the ledger tells."""
        with contextlib.suppress(RunError):  # the failure that is told is the first one
            return self._client.number(sql.committed(self._runs, run.run_id)) > 0
        return False

    def counted(self, run: Run) -> dict[str, int]:
        """See `base.Sink`; the counters of a job on Dataflow are of what it has committed, each thing once."""
        return {}

    def earliest_session_with(self, distinct_ids: frozenset[str]) -> datetime | None:
        """See `base.Sink`."""
        if not distinct_ids or self._client.table(self._out, tables.SESSIONS.name) is None:
            return None
        name = self._client.name(self._out, tables.SESSIONS.name)
        ids, found = sorted(distinct_ids), list[datetime]()
        for start in range(0, len(ids), IDS_A_QUERY):
            # a session of which all ids are excluded, but in two parts, only makes the run read more
            [row] = self._client.rows(sql.earliest_with(name, ids[start : start + IDS_A_QUERY]))
            found += [row["earliest"]] if row["earliest"] else []
        return min(found, default=None)

    def latest_end(self, first: datetime, beyond: datetime) -> datetime | None:
        """See `base.Sink`."""
        if self._client.table(self._out, tables.SESSIONS.name) is None:
            return None
        name = self._client.name(self._out, tables.SESSIONS.name)
        [row] = self._client.rows(sql.latest_end(name, first, beyond))
        end: datetime | None = row["latest"]
        return end

    def tell_blocks(self) -> beam.PTransform:
        """See `base.Sink`: workers elsewhere do not tell."""
        return TellBlocks(None)

    def tell_concluded(self) -> beam.PTransform:
        """See `base.Sink`."""
        return TellConcluded(None)

    def told(self) -> Mapping[str, int]:
        """See `base.Sink`."""
        return {}

    def where_to_look(self, plan: Plan) -> str:
        """See `base.Sink`."""
        return f"{self._at.project}.{self._out}.{names_told(plan)} in BigQuery"

    def _make_target(
        self, table: Table, name: str, partition_by: str | None = None, cluster_by: Sequence[str] = ()
    ) -> None:
        """A table with all its columns, which says what it and they are, made now or by an earlier run."""
        dataset, says = self._out, about(table)
        info = self._client.table(dataset, name)
        if info is None:
            fields = fields_of(table)
            self._client.create_table(
                dataset, name, fields, partition_by=partition_by, cluster_by=cluster_by, about=says
            )
            return
        missing = missing_fields(table, info.fields, f"{dataset}.{name}")
        if missing:
            self._client.add_columns(dataset, name, missing)
        if anew := described(table, [*info.fields, *missing], info.about):
            self._client.describe(dataset, name, anew, says)

    def _last_rows(self) -> list[dict[str, Any]]:
        """The row of the run that was published last, and those of the weeks before."""
        there = self._client.table(self._out, tables.RUNS.name) is not None
        return self._client.rows(sql.last_runs(self._runs, REACH.days + 2)) if there else []

    def _damage(self, last: LedgerRow | None) -> str | None:
        """One line about published tables that have not the rows that the ledger says; None when they have."""
        names = {output.name: self._client.name(self._out, output.name) for output in tables.OUTPUTS}
        there = {name: at for name, at in names.items() if self._client.table(self._out, name) is not None}
        [found] = self._client.rows(sql.count_rows(there)) if there else [{}]
        for name, wanted in (rows_after(last) if last else dict.fromkeys(names, 0)).items():
            rows = found.get(name, 0)
            if rows != wanted:
                told = f"has {rows:,} rows" if name in there else "does not exist"
                return f"{DAMAGED}: {self._out}.{name} {told}, {wanted:,} were published"
        return None

    def _drop_staging(self, run: Run) -> None:
        self._drop(staging_name(run, table) for table in run.tables)

    @property
    def _runs(self) -> str:
        return self._client.name(self._out, tables.RUNS.name)

    def _fence(self, run: Run) -> str:
        """Samples have a fence of their own: they change other tables than all other runs."""
        return self._client.name(self._out, sql.FENCE_TABLE + run.plan.suffix)

    def _partitioned_merges(self, changes: Mapping[str, sql.Change]) -> frozenset[str]:
        """Targets whose changes are of more days than one statement may touch."""
        limit = sql.PARTITIONS_A_STATEMENT
        return frozenset(
            target
            for target, (table, staging, rows) in changes.items()
            # no more days than rows: a nightly run asks nothing
            if table.output.partition_by
            and rows > limit
            and self._client.number(sql.count_days(staging, table)) > limit
        )


def staging_name(run: Run, table: Table) -> str:
    """The staging table of a run for a table."""
    return f"_staging_{table.name}_{plain(run.run_id)}"
