"""Reading from BigQuery: `base.Source` on metadata, dry runs, the Storage Read API, and copies of views."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import apache_beam as beam
import pyarrow as pa
from google.api_core import exceptions

from pipeline import tables
from pipeline.errors import RunError
from pipeline.plan import Plan
from pipeline.tables import Table
from pipeline.warehouse.base import Inputs, Problem, Run, Scan
from pipeline.warehouse.bigquery import sql
from pipeline.warehouse.bigquery.client import BigQueryClient, TableInfo
from pipeline.warehouse.bigquery.inputs import Places, copy_problem, needs_copy
from pipeline.warehouse.bigquery.preflight import check_bucket, check_streams
from pipeline.warehouse.bigquery.read import ReadTable, Selection, batch_of
from pipeline.warehouse.bigquery.schema import binding_of
from pipeline.warehouse.binding import Binding, noun
from pipeline.warehouse.reading import Nothing, OnlyRows
from transforms.schemas.inputs import EXPORTED_AT
from transforms.users.users import ACCOUNTS, present_accounts

#: A killed run leaves copies and staging tables; they are gone after this.
STAGING_LIVES = timedelta(days=1)
#: A query may have a million characters, an id 400.
IDS_A_QUERY = 2_000


class BigQuerySource:
    """Implements `base.Source`. It travels with the publish step, so its client is made where it is needed."""

    def __init__(self, at: Places, read_method: str, temp_location: str | None = None) -> None:
        self._at, self._method, self._temp_location = at, read_method, temp_location
        self._datasets = at.datasets
        self._location: str | None = None
        self._infos: dict[str, TableInfo | None] = {}
        self._bindings: dict[str, Binding] = {}
        self._copies: dict[str, str] = {}
        self._late = False
        self._hidden: tuple[Problem, ...] = ()
        self._sample_before = ""

    def __getstate__(self) -> dict[str, Any]:
        """All but the client, which does not pickle."""
        return {name: value for name, value in vars(self).items() if name != "_client"}

    @property
    def _out(self) -> str:
        """The dataset of what is published, and of what is staged and copied beside it."""
        return self._datasets.aggregated

    @cached_property
    def _client(self) -> BigQueryClient:
        return BigQueryClient(self._at.project, self._location)

    def inputs(self) -> Inputs:
        """See `base.Source`; from the tables' metadata."""
        self._check_locations()
        there, absent, problems = list[str](), dict[str, str](), list[Problem]()
        for table in tables.INPUTS:
            is_hidden = bool(self._hidden) and table is tables.DELETION_REQUESTS
            info = None if is_hidden else self._info(table, table.name)
            if info is None and table is tables.EVENTS:
                project, _ = self._at.place(self._datasets.posthog)
                raise RunError(f"no events: table {self._datasets.label(table)} does not exist in project {project}")
            if info is None and table in tables.OPTIONAL_INPUTS:
                absent[noun(table)] = self._datasets.label(table)
            elif info is None:
                problems += self._hidden
            else:
                there += [noun(table)] if table in tables.OPTIONAL_INPUTS else []
                binding = binding_of(table, info.fields, self._datasets.label(table))
                self._bindings[self._datasets.label(table)] = binding
                is_query = table is tables.DELETION_REQUESTS  # which reads views as well
                problems += [*([] if is_query else copy_problem(info, self._datasets.label(table))), *binding.problems]
        return Inputs(tuple(there), absent, tuple(problems))

    def scan(self, plan: Plan) -> Scan:
        """See `base.Source`; bytes are what BigQuery says that a query of the same columns and rows would bill."""
        info = self._info(tables.EVENTS, tables.EVENTS.name)
        assert info is not None, "inputs() has seen it"
        name = self._name(tables.EVENTS, tables.EVENTS.name)
        binding = self._bindings[self._datasets.label(tables.EVENTS)]
        late = sql.count_late(name, plan.window, binding.sources)
        self._late = late is not None and self._client.number(late) > 0
        condition = self._window(plan)
        rows = self._client.number(sql.count_of(name)) if needs_copy(info) else info.rows
        return Scan(
            rows=rows if plan.limit is None else min(plan.limit, rows),
            rows_total=rows,
            bytes=self._client.bytes_of(sql.select(name, binding.names, condition)),
            bytes_total=self._client.bytes_of(sql.select(name, binding.names, None)),
        )

    def read_events(self, plan: Plan) -> beam.PTransform:
        """See `base.Source`; a limit is read by `ARROW`, the only method that can stop."""
        method = self._method if plan.limit is None else "ARROW"
        binding = self._bindings[self._datasets.label(tables.EVENTS)]
        return OnlyRows(ReadTable(self._events(plan), binding, method, self._out))

    def read_input(self, table: Table) -> beam.PTransform:
        """See `base.Source`."""
        binding = self._bindings.get(self._datasets.label(table))
        copy = self._copies.get(self._datasets.label(table))
        if copy and binding:
            return ReadTable(self._copy(copy, binding), binding, self._method, self._out)
        return self._read(table, table.name, binding) if binding else Nothing()

    def prepare(self, run: Run) -> None:
        """See `base.Source`: nothing is made before it is known that load files and streams are allowed."""
        assert self._location is not None, "inputs() has looked"
        if self._temp_location:
            check_bucket(self._temp_location, self._location)
        if (self._method != "EXPORT" or run.plan.limit is not None) and not self._is_copied(tables.EVENTS):
            check_streams(self._events(run.plan))
        self._make_dataset()
        self._make_copies(run)

    def release(self, run: Run) -> None:
        """See `base.Source`: the copies of inputs."""
        self._drop(self._copies.values())

    def user_accounts(self, excluded: frozenset[str]) -> list[tuple[str | None, str | None]]:
        """See `base.Source`."""
        binding = self._bindings.get(self._datasets.label(tables.USERS))
        if not excluded or binding is None:
            return []
        name = self._client.name(self._datasets.firebase, tables.USERS.name)
        sources = {one: f"`{binding.sources[one]}`" if one in binding.sources else "NULL" for one in ACCOUNTS.names}
        ids, rows = sorted(excluded), list[dict[str, Any]]()
        for start in range(0, len(ids), IDS_A_QUERY):
            some = ids[start : start + IDS_A_QUERY]
            # never an empty list, which would have no type: no number has the digits "-"
            digits = sorted({re.sub(r"[^0-9]", "", one).lstrip("0") or "-" for one in some})
            rows += self._client.rows(sql.accounts(name, sources, some, digits))
        exported = binding.sources.get(EXPORTED_AT.name, "")
        times = batch_of([{exported: row[EXPORTED_AT.name]} for row in rows], binding).column(EXPORTED_AT.name)
        columns = {one: times if one == EXPORTED_AT.name else [row[one] for row in rows] for one in ACCOUNTS.names}
        return sorted(set(present_accounts(pa.table(columns, ACCOUNTS))), key=str)

    def deletion_requests(self) -> pa.Table | None:
        """See `base.Source`; by a query, which reads views as well."""
        table = tables.DELETION_REQUESTS
        binding = self._bindings.get(self._datasets.label(table))
        if binding is None:
            return None
        if not binding.names:
            return table.bare.empty_table()
        rows = self._client.rows(sql.select(self._name(table, table.name), binding.names, None))
        return pa.Table.from_batches([batch_of(rows, binding)], table.bare)

    def _events(self, plan: Plan) -> Selection:
        binding = self._bindings[self._datasets.label(tables.EVENTS)]
        copy = self._copies.get(self._datasets.label(tables.EVENTS))
        if copy:
            return self._copy(copy, binding, plan.limit)
        return self._source(tables.EVENTS, tables.EVENTS.name, binding, self._window(plan), plan.limit)

    def _window(self, plan: Plan) -> str | None:
        """The rows of the events table that a plan reads, as a condition; None for all of them."""
        sources = self._bindings[self._datasets.label(tables.EVENTS)].sources
        return sql.in_window(plan.window, sources, late=self._late)

    def _copy(self, name: str, binding: Binding, limit: int | None = None) -> Selection:
        return Selection(self._at.project, self._out, name, binding.names, None, limit)

    def _source(
        self, table: Table, name: str, binding: Binding, condition: str | None = None, limit: int | None = None
    ) -> Selection:
        project, dataset = self._at.place(self._datasets.holding(table))
        payer = self._at.project if project != self._at.project else None
        return Selection(project, dataset, name, binding.names, condition, limit, payer)

    def _read(self, table: Table, name: str, binding: Binding) -> beam.PTransform:
        return ReadTable(self._source(table, name, binding), binding, self._method, self._out)

    def _make_dataset(self) -> None:
        dataset, location = self._out, self._location
        assert location is not None, "inputs() has looked"
        if self._client.dataset_location(dataset) is None:
            self._client.create_dataset(dataset, location)

    def _is_copied(self, table: Table) -> bool:
        info = self._infos.get(self._datasets.label(table))
        return info is not None and needs_copy(info)

    def _make_copies(self, run: Run) -> None:
        """Copy what a run needs of inputs that only a query can read."""
        for table in (tables.EVENTS, *tables.OPTIONAL_INPUTS):
            if not self._is_copied(table):
                continue
            label, is_events = self._datasets.label(table), table is tables.EVENTS
            binding = self._bindings[label]
            condition = self._window(run.plan) if is_events else None
            query = sql.select(self._name(table, table.name), binding.names, condition)
            copy = f"_staging_{table.source}_{table.name}_{plain(run.run_id)}"
            target = self._client.name(self._out, copy)
            expires = datetime.now(UTC) + STAGING_LIVES
            self._copies[label] = copy  # also when the query fails halfway: it is dropped with the staging tables
            limit = run.plan.limit if is_events else None
            self._client.run(sql.copy_of(target, query, expires, limit), f"the copy of {label}")

    def _check_locations(self) -> None:
        """The input datasets must be there, and in one location with the output."""
        found: dict[str, str] = {}
        for dataset in astuple(self._datasets):
            location = self._location_of(dataset)
            if location is not None:
                found[dataset] = location
        if self._datasets.posthog not in found:
            project, name = self._at.place(self._datasets.posthog)
            raise RunError(f"dataset {name} does not exist in project {project}; check --project and --posthog_dataset")
        if len(set(found.values())) > 1:
            places = ", ".join(f"{dataset} in {location}" for dataset, location in found.items())
            raise RunError(f"the datasets are in different locations ({places}); BigQuery needs them in one")
        if self._location is None:
            self._location = found[self._datasets.posthog]
            del self._client  # the next one is made for this location

    def _location_of(self, dataset: str) -> str | None:
        """Where a dataset is, None for none. To an account without a role in the project, Google denies what does not
        exist; most projects have no dataset with deletion requests, so that one is told and done without."""
        try:
            return self._client.dataset_location(dataset)
        except RunError as error:
            if dataset != self._datasets.privacy or not isinstance(error.__cause__, exceptions.Forbidden):
                raise
            label = self._datasets.label(tables.DELETION_REQUESTS)
            self._hidden = (
                Problem(f"{label}: the dataset does not exist, or its roles/bigquery.dataViewer is missing"),
            )
            return None

    def _drop(self, names: Iterable[str]) -> None:
        for name in names:
            with contextlib.suppress(RunError):  # they expire; a failed clean-up is no failed run
                self._client.delete_table(self._out, name)

    def _info(self, table: Table, name: str) -> TableInfo | None:
        label = f"{self._datasets.holding(table)}.{name}"
        if label not in self._infos:
            self._infos[label] = self._client.table(self._datasets.holding(table), name)
        return self._infos[label]

    def _name(self, table: Table, name: str) -> str:
        return self._client.name(self._datasets.holding(table), name)


def plain(run_id: str) -> str:
    """A run's id as a part of names."""
    return re.sub(r"\W", "_", run_id)
