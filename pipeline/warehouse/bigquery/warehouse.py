"""The seam of `base.Warehouse` on BigQuery: metadata before the run, reads, staging, one transaction."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import apache_beam as beam
import pyarrow as pa

from pipeline import tables
from pipeline.errors import RunError
from pipeline.ledger import Row, rows_after
from pipeline.meter import TellBlocks
from pipeline.plan import LastRun, Plan
from pipeline.tables import OutputTable, Table
from pipeline.warehouse.base import (
    DAMAGED,
    Inventory,
    Problem,
    Run,
    Scan,
    Staged,
    check_staged,
    published_names,
)
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.announce import announce
from pipeline.warehouse.bigquery.client import BigQueryClient, TableInfo
from pipeline.warehouse.bigquery.inputs import Datasets, copy_problem, needs_copy
from pipeline.warehouse.bigquery.preflight import check_bucket, check_streams
from pipeline.warehouse.bigquery.publish import publish_once, wait_for_loads
from pipeline.warehouse.bigquery.read import ReadTable, Source
from pipeline.warehouse.bigquery.schema import about, check_input, described, fields_of, missing_fields, staging_fields
from pipeline.warehouse.bigquery.stage import ROWS, StageChanges
from pipeline.warehouse.columns import Columns
from transforms.machinery.counts import Count
from transforms.published.changes import TOUCHED

_LOG = logging.getLogger(__name__)
#: A killed run leaves staging tables; they are gone after this.
STAGING_LIVES = timedelta(days=1)
#: A query may have a million characters, an id 400.
_IDS_A_QUERY = 2_000


class BigQueryWarehouse:
    """Implements `base.Warehouse`. It travels with the publish step, so its client is made where it is needed."""

    def __init__(self, datasets: Datasets, read_method: str, temp_location: str | None = None) -> None:
        self._at, self._method, self._temp_location = datasets, read_method, temp_location
        self._location: str | None = None
        self._infos: dict[str, TableInfo | None] = {}
        self._columns: dict[str, Columns] = {}
        self._copies: dict[str, str] = {}
        self._late = False
        self._sample_before = ""

    def __getstate__(self) -> dict[str, Any]:
        """All but the client, which does not pickle."""
        return {name: value for name, value in vars(self).items() if name != "_client"}

    @cached_property
    def _client(self) -> BigQueryClient:
        return BigQueryClient(self._at.project, self._location)

    def acquire(self) -> None:
        """See `base.Warehouse`; another run shows only when publishing, at the fence of the transaction."""

    def close(self) -> None:
        """See `base.Warehouse`; nothing is held."""

    def inventory(self) -> Inventory:
        """See `base.Warehouse`; from the tables' metadata."""
        self._check_locations()
        absent, problems = list[str](), list[Problem]()
        for table in (tables.EVENTS, *tables.OPTIONAL_INPUTS):
            info = self._info(table, table.name)
            if info is None and table is tables.EVENTS:
                project, _ = self._at.place(self._at.posthog)
                raise RunError(f"no events: table {self._label(table)} does not exist in project {project}")
            if info is None:
                absent.append(self._label(table))
            else:
                columns = check_input(table, info.fields, self._label(table))
                self._columns[self._label(table)] = columns
                problems += [*copy_problem(info, self._label(table)), *columns.problems]
        last = self._last_row()
        return Inventory(tuple(absent), LastRun.of(last) if last else None, tuple(problems), self._damage(last))

    def scan(self, plan: Plan) -> Scan:
        """See `base.Warehouse`; bytes are what BigQuery says that a query of the same columns and rows would bill."""
        info = self._info(tables.EVENTS, tables.EVENTS.name)
        assert info is not None, "inventory() has seen it"
        name = self._name(tables.EVENTS, tables.EVENTS.name)
        columns = self._columns[self._label(tables.EVENTS)]
        late = sql.count_late(name, plan.window, columns.sources)
        self._late = late is not None and self._client.number(late) > 0
        condition = sql.window(plan.window, columns.sources, late=self._late)
        rows = self._client.number(sql.count_of(name)) if needs_copy(info) else info.rows
        return Scan(
            rows=rows if plan.limit is None else min(plan.limit, rows),
            rows_total=rows,
            bytes=self._client.bytes_of(sql.select(name, columns.names, condition)),
            bytes_total=self._client.bytes_of(sql.select(name, columns.names, None)),
        )

    def read_events(self, plan: Plan) -> beam.PTransform:
        """See `base.Warehouse`; a limit is read by `ARROW`, the only method that can stop."""
        method = self._method if plan.limit is None else "ARROW"
        columns = self._columns[self._label(tables.EVENTS)]
        return ReadTable(self._events(plan), columns, method, self._at.aggregated)

    def read_input(self, table: Table) -> beam.PTransform:
        """See `base.Warehouse`."""
        columns = self._columns.get(self._label(table))
        copy = self._copies.get(self._label(table))
        if copy and columns:
            return ReadTable(self._copy(copy, columns), columns, self._method, self._at.aggregated)
        return self._read(table, table.name, columns) if columns else _Nothing()

    def read_published(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Warehouse`; read even when its metadata says that it is empty, which may be old."""
        name = run.published_name(table)
        if self._info(table, name) is None:
            return _Nothing()
        # begin() adds columns that are missing
        columns = check_input(table, fields_of(table), f"{self._at.aggregated}.{name}")
        return self._read(table, name, columns)

    def begin(self, run: Run) -> None:
        """See `base.Warehouse`: the dataset, target tables with all their columns, the fence, staging tables."""
        assert self._location is not None, "inventory() has looked"
        dataset = self._at.aggregated
        if self._temp_location:
            check_bucket(self._temp_location, self._location)
        if (self._method != "EXPORT" or run.plan.limit is not None) and not self._is_copied(tables.EVENTS):
            check_streams(self._events(run.plan))
        if self._client.dataset_location(dataset) is None:
            self._client.create_dataset(dataset, self._location)
        self._make_copies(run)
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

    def stage(self, run: Run, table: OutputTable) -> beam.PTransform:
        """See `base.Warehouse`; only rows that change."""
        return StageChanges(table, self._at.project, self._at.aggregated, staging_name(run, table))

    def publish(self, run: Run, staged: Sequence[Staged], counts: Sequence[Count], ledger: dict[str, Any]) -> None:
        """See `base.Warehouse`; may be repeated by the runner."""
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
        script = sql.publish_script(
            changes, fence, None if is_sample else ledger, self._runs, self._partitioned_merges(changes)
        )
        committed = sql.committed(fence.table if is_sample else self._runs, run.run_id)
        publish_once(self._client, script, f"sessions_{_plain(run.run_id)}", committed)
        if self._temp_location and not is_sample:
            announce(self._temp_location, self._at.aggregated, ledger)
        self._drop_staging(run)

    def abandon(self, run: Run) -> None:
        """See `base.Warehouse`."""
        self._drop_staging(run)

    def is_published(self, run: Run) -> bool:
        """See `base.Warehouse`; its row in the ledger tells."""
        with contextlib.suppress(RunError):  # the failure that is told is the first one
            return self._client.number(sql.committed(self._runs, run.run_id)) > 0
        return False

    def user_accounts(self, excluded: frozenset[str]) -> list[tuple[str | None, str | None]]:
        """See `base.Warehouse`."""
        columns = self._columns.get(self._label(tables.USERS))
        if not excluded or columns is None:
            return []
        name = self._client.name(self._at.firebase, tables.USERS.name)
        phone = columns.sources.get("phoneNumber")
        ids, found = sorted(excluded), set[tuple[str | None, str | None]]()
        for start in range(0, len(ids), _IDS_A_QUERY):
            some = ids[start : start + _IDS_A_QUERY]
            # never an empty list, which would have no type: no number has the digits "-"
            digits = sorted({re.sub(r"[^0-9]", "", one).lstrip("0") or "-" for one in some})
            sources = f"`{columns.sources['user_id']}`", f"`{phone}`" if phone else "NULL"
            rows = self._client.rows(sql.accounts(name, *sources, some, digits))
            found |= {(row["user_id"], row["phone"]) for row in rows}
        return sorted(found, key=str)

    def earliest_session_with(self, distinct_ids: frozenset[str]) -> datetime | None:
        """See `base.Warehouse`."""
        if not distinct_ids or self._client.table(self._at.aggregated, tables.SESSIONS.name) is None:
            return None
        name = self._client.name(self._at.aggregated, tables.SESSIONS.name)
        ids, found = sorted(distinct_ids), list[datetime]()
        for start in range(0, len(ids), _IDS_A_QUERY):
            # a session of which all ids are excluded, but in two parts, only makes the run read more
            [row] = self._client.rows(sql.earliest_with(name, ids[start : start + _IDS_A_QUERY]))
            found += [row["earliest"]] if row["earliest"] else []
        return min(found, default=None)

    def latest_end(self, first: datetime, beyond: datetime) -> datetime | None:
        """See `base.Warehouse`."""
        if self._client.table(self._at.aggregated, tables.SESSIONS.name) is None:
            return None
        name = self._client.name(self._at.aggregated, tables.SESSIONS.name)
        [row] = self._client.rows(sql.latest_end(name, first, beyond))
        end: datetime | None = row["latest"]
        return end

    def tell_blocks(self) -> beam.PTransform:
        """See `base.Warehouse`: workers elsewhere do not tell."""
        return TellBlocks(None)

    def told(self) -> Mapping[str, int]:
        """See `base.Warehouse`."""
        return {}

    def where_to_look(self, plan: Plan) -> str:
        """See `base.Warehouse`."""
        return f"{self._at.project}.{self._at.aggregated}.{{{','.join(published_names(plan))}}} in BigQuery"

    def _events(self, plan: Plan) -> Source:
        columns = self._columns[self._label(tables.EVENTS)]
        copy = self._copies.get(self._label(tables.EVENTS))
        if copy:
            return self._copy(copy, columns, plan.limit)
        condition = sql.window(plan.window, columns.sources, late=self._late)
        return self._source(tables.EVENTS, tables.EVENTS.name, columns, condition, plan.limit)

    def _copy(self, name: str, columns: Columns, limit: int | None = None) -> Source:
        return Source(self._at.project, self._at.aggregated, name, columns.names, None, limit)

    def _source(
        self, table: Table, name: str, columns: Columns, condition: str | None = None, limit: int | None = None
    ) -> Source:
        project, dataset = self._at.place(self._at.of(table))
        payer = self._at.project if project != self._at.project else None
        return Source(project, dataset, name, columns.names, condition, limit, payer)

    def _read(self, table: Table, name: str, columns: Columns) -> beam.PTransform:
        return ReadTable(self._source(table, name, columns), columns, self._method, self._at.aggregated)

    def _make_target(
        self, table: Table, name: str, partition_by: str | None = None, cluster_by: Sequence[str] = ()
    ) -> None:
        """A table with all its columns, which says what it and they are, made now or by an earlier run."""
        dataset, says = self._at.aggregated, about(table)
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

    def _is_copied(self, table: Table) -> bool:
        info = self._infos.get(self._label(table))
        return info is not None and needs_copy(info)

    def _make_copies(self, run: Run) -> None:
        """Copy what a run needs of inputs that only a query can read."""
        for table in (tables.EVENTS, *tables.OPTIONAL_INPUTS):
            if not self._is_copied(table):
                continue
            label, is_events = self._label(table), table is tables.EVENTS
            columns = self._columns[label]
            condition = sql.window(run.plan.window, columns.sources, late=self._late) if is_events else None
            query = sql.select(self._name(table, table.name), columns.names, condition)
            copy = f"_staging_{table.source}_{table.name}_{_plain(run.run_id)}"
            target = self._client.name(self._at.aggregated, copy)
            expires = datetime.now(UTC) + STAGING_LIVES
            self._copies[label] = copy  # also when the query fails halfway: it is dropped with the staging tables
            limit = run.plan.limit if is_events else None
            self._client.run(sql.copy_of(target, query, expires, limit), f"the copy of {label}")

    def _check_locations(self) -> None:
        """The input datasets must be there, and in one location with the output."""
        found: dict[str, str] = {}
        for dataset in (self._at.posthog, self._at.firebase, self._at.aggregated):
            location = self._client.dataset_location(dataset)
            if location is not None:
                found[dataset] = location
        if self._at.posthog not in found:
            project, name = self._at.place(self._at.posthog)
            raise RunError(f"dataset {name} does not exist in project {project}; check --project and --posthog_dataset")
        if len(set(found.values())) > 1:
            places = ", ".join(f"{dataset} in {location}" for dataset, location in found.items())
            raise RunError(f"the datasets are in different locations ({places}); BigQuery needs them in one")
        if self._location is None:
            self._location = found[self._at.posthog]
            del self._client  # the next one is made for this location

    def _last_row(self) -> Row | None:
        """The row of the run that was published last."""
        if self._client.table(self._at.aggregated, tables.RUNS.name) is None:
            return None
        return next(iter(self._client.rows(sql.last_run(self._runs))), None)

    def _damage(self, last: Row | None) -> str | None:
        """One line about published tables that have not the rows that the ledger says; None when they have."""
        names = {output.name: self._client.name(self._at.aggregated, output.name) for output in tables.OUTPUTS}
        there = {name: at for name, at in names.items() if self._client.table(self._at.aggregated, name) is not None}
        [found] = self._client.rows(sql.count_rows(there)) if there else [{}]
        for name, wanted in (rows_after(last) if last else dict.fromkeys(names, 0)).items():
            rows = found.get(name, 0)
            if rows != wanted:
                told = f"has {rows:,} rows" if name in there else "does not exist"
                return f"{DAMAGED}: {self._at.aggregated}.{name} {told}, {wanted:,} were published"
        return None

    def _drop_staging(self, run: Run) -> None:
        for name in (*(staging_name(run, table) for table in run.tables), *self._copies.values()):
            with contextlib.suppress(RunError):  # they expire; a failed clean-up is no failed run
                self._client.delete_table(self._at.aggregated, name)

    def _info(self, table: Table, name: str) -> TableInfo | None:
        label = f"{self._at.of(table)}.{name}"
        if label not in self._infos:
            self._infos[label] = self._client.table(self._at.of(table), name)
        return self._infos[label]

    def _label(self, table: Table) -> str:
        return f"{self._at.of(table)}.{table.name}"

    def _name(self, table: Table, name: str) -> str:
        return self._client.name(self._at.of(table), name)

    @property
    def _runs(self) -> str:
        return self._client.name(self._at.aggregated, tables.RUNS.name)

    def _fence(self, run: Run) -> str:
        """Samples have a fence of their own: they change other tables than all other runs."""
        return self._client.name(self._at.aggregated, sql.FENCE_TABLE + run.plan.suffix)

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


class _Nothing(beam.PTransform):
    """PBegin → an empty PCollection[pa.RecordBatch]."""

    def expand(self, begin: beam.pvalue.PBegin) -> beam.PCollection[pa.RecordBatch]:
        """No row."""
        return begin | "Nothing" >> beam.Create([]).with_output_types(pa.RecordBatch)


def staging_name(run: Run, table: Table) -> str:
    """The staging table of a run for a table."""
    return f"_staging_{table.name}_{_plain(run.run_id)}"


def _plain(run_id: str) -> str:
    return re.sub(r"\W", "_", run_id)
