"""What the graph and the launcher ask of where tables come from and where they go, whichever it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import apache_beam as beam
import pyarrow as pa

from pipeline import tables
from pipeline.checks import Checks
from pipeline.errors import RunError
from pipeline.plan import INPUT_THERE, SAMPLE_SUFFIX, LastRun, Plan, partitions_for, session_blocks_for
from pipeline.tables import OutputTable, Table
from pipeline.terms import Terms
from pipeline.views.declarations import View
from transforms.machinery.counts import Count
from transforms.published.changes import LoadedBy

DAMAGED = "the published tables are damaged"
#: What helps when published tables are not as their run left them.
REMEDY = "restore them from a backup, or make them anew with --full_load"


@dataclass(frozen=True)
class Problem:
    """Something of the inputs that a run does without."""

    line: str
    """What, where, and what is expected."""
    counts_as: str | None = None
    """Its name among the counts of the run."""


@dataclass(frozen=True)
class Inputs:
    """What is there to read, from metadata only."""

    there: tuple[str, ...] = ()
    """Optional input tables that exist, by their names in counts."""
    absent: Mapping[str, str] = field(default_factory=dict)
    """Those that do not, by their names in counts, as dataset.table."""
    problems: tuple[Problem, ...] = ()

    @property
    def counts(self) -> tuple[Count, ...]:
        """What is there and what is wrong, for the ledger of a run: each name once, however many files have it."""
        named = {one.counts_as for one in self.problems if one.counts_as} | {INPUT_THERE + name for name in self.there}
        return tuple((name, 1) for name in sorted(named))


@dataclass(frozen=True)
class Published:
    """What runs before have left, from metadata only."""

    last_run: LastRun | None = None
    damage: str | None = None
    """One line about published tables that a run must not be built upon."""
    runs: Sequence[Mapping[str, Any]] = ()
    """Rows of the ledger, at least of the weeks before the last run (`checks.REACH`)."""


@dataclass(frozen=True)
class Scan:
    """What reading the events under a plan takes."""

    rows: int
    """Rows read (an upper bound where filters apply to rows)."""
    rows_total: int
    bytes: int
    bytes_total: int
    files: int = 0
    files_total: int = 0


@dataclass(frozen=True)
class Run:
    """One run: everything that the publish step must know, picklable."""

    run_id: str
    started_at: datetime
    plan: Plan
    scan: Scan
    terms: Terms
    """What it is made under."""
    max_rejected_ratio: float
    code_version: str
    options: Mapping[str, str]
    tables: tuple[OutputTable, ...]
    """The tables it recomputes."""
    input_counts: tuple[Count, ...] = ()
    """What the inputs lack, see `Inputs.counts`."""
    keeps_persons: bool = False
    """Whether published persons whose sessions are all as they were need not be aggregated again."""
    max_filtered_ratio: float = 1.0
    checks: Checks = field(default_factory=Checks)
    """What its last finished day is compared with."""
    views: tuple[View, ...] = ()
    """What is made of its tables, where the warehouse has views."""

    @property
    def loaded_by(self) -> LoadedBy:
        """What it writes into the rows that it changes."""
        stay = {table.name for table in self.tables if table.output.append_only and not self.plan.window.is_full}
        return LoadedBy(self.run_id, self.started_at, frozenset(stay))

    @property
    def empties_samples(self) -> bool:
        """Whether samples of before go with it: who is left out may be in them, and nothing compares them."""
        return self.plan.mode != "sample" and self.terms.leave_somebody_out

    @property
    def partitions(self) -> int:
        """Blocks of persons and of ids."""
        return partitions_for(self.scan.rows_total)

    @property
    def session_blocks(self) -> int:
        """Blocks of sessions."""
        return session_blocks_for(self.scan.rows, self.scan.rows_total)

    def published_name(self, table: Table) -> str:
        """The name of a table as this run publishes it."""
        return table.name + self.plan.suffix


#: The names of the tables that samples are.
SAMPLES = tuple(output.name + SAMPLE_SUFFIX for output in tables.OUTPUTS if output.in_samples)

#: (table name, where it is staged, rows): one piece of a staged table.
Staged = tuple[str, str, int]


def check_staged(run: Run, staged: Iterable[Staged], counts: Iterable[Count], changes: Sequence[str]) -> dict[str, int]:
    """Table name → staged rows, which are those that the graph counted with these changes.

    Raises:
      RunError: they are not; nothing may be published.
    """
    rows = dict.fromkeys((table.name for table in run.tables), 0)
    known = dict(counts)
    for name, _, number in staged:
        rows[name] += number
    for table in run.tables:
        counted = table.output.changes(known)
        wanted = sum(counted[change] for change in changes)
        if rows[table.name] != wanted:
            raise RunError(f"{table.name}: {rows[table.name]} rows were staged, the graph counted {wanted}")
    return rows


#: So many names of tables are told.
_NAMES_TOLD = 3


def published_names(plan: Plan) -> list[str]:
    """The tables that a run under this plan publishes; a sample has no row in the ledger."""
    if plan.mode == "sample":
        return [output.name + plan.suffix for output in tables.OUTPUTS if output.in_samples]
    return [*(output.name for output in tables.OUTPUTS), tables.RUNS.name]


def names_told(plan: Plan) -> str:
    """Those tables in a path or name: a few by name, more as `*`, so that a line fits a screen."""
    names = published_names(plan)
    return f"{{{','.join(names)}}}" if len(names) <= _NAMES_TOLD else "*"


class Source(Protocol):
    """Where the input tables are."""

    def inputs(self) -> Inputs:
        """Check the inputs (RunError naming what is missing or wrong) and say what is there."""

    def scan(self, plan: Plan) -> Scan:
        """What reading the events under this plan takes."""

    def prepare(self, run: Run) -> None:
        """Whatever must be done before a run can read, once per run."""

    def read_events(self, plan: Plan) -> beam.PTransform:
        """PBegin → PCollection[pa.RecordBatch] of `tables.EVENTS`; the plan's window only prunes it."""

    def read_input(self, table: Table) -> beam.PTransform:
        """PBegin → `Outcome` of rows with the table's schema, none when it does not exist; its counts are of single
        values that could not be read, so that they are null."""

    def user_accounts(self, excluded: frozenset[str]) -> Iterable[tuple[str | None, str | None]]:
        """(user_id, phone number) of users, at least of those that an excluded id stands for; see `present_accounts` of
        `transforms.users.users`."""

    def deletion_requests(self) -> pa.Table | None:
        """The rows of `tables.DELETION_REQUESTS`, None when there is no such table; after `inputs`."""

    def release(self, run: Run) -> None:
        """Remove what `prepare` has made, when a run is published or has failed; may be called twice."""


class Sink(Protocol):
    """Where the output tables go, and are read as the memory of later runs."""

    def acquire(self) -> None:
        """Become the run that may publish, where the sink can tell (RunError when another one is)."""

    def close(self) -> None:
        """Let others run and free what is held."""

    def published(self) -> Published:
        """What runs before have left; after the source has looked at the inputs."""

    def read_published(self, run: Run, table: OutputTable) -> beam.PTransform:
        """PBegin → PCollection[pa.RecordBatch] of an output table as last published."""

    def earliest_session_with(self, distinct_ids: frozenset[str]) -> datetime | None:
        """Start of the earliest published session that may have one of these ids among several, None for none."""

    def latest_end(self, first: datetime, beyond: datetime) -> datetime | None:
        """End of the published sessions that start in [first, beyond), None for none."""

    def begin(self, run: Run) -> None:
        """Make the staging area, once per run, before the graph runs."""

    def scratch(self, run: Run) -> str:
        """A folder in which files of a run may lie that all its workers read, after `begin`."""

    def stage(self, run: Run, table: OutputTable) -> beam.PTransform:
        """PCollection[pa.RecordBatch] with `changes.with_change(schema)` → PCollection[Staged]."""

    def publish(self, run: Run, staged: Sequence[Staged], counts: Sequence[Count], ledger: dict[str, Any]) -> None:
        """Check what is staged against the counts and switch all tables and the ledger row at once."""

    def abandon(self, run: Run) -> None:
        """Remove what a run that failed has staged."""

    def is_published(self, run: Run) -> bool:
        """Whether readers see what this run has written, as far as the sink can tell."""

    def counted(self, run: Run) -> Mapping[str, int]:
        """What a published run has counted by name, as far as the sink remembers."""

    def tell_blocks(self) -> beam.PTransform:
        """PCollections of (block, pa.RecordBatch) → the same, told of in `told` where the sink can."""

    def tell_concluded(self) -> beam.PTransform:
        """PCollections of pa.RecordBatch, sessions whose fate is decided → the same, told of as blocks are."""

    def told(self) -> Mapping[str, int]:
        """How far the steps of the graph are by `meter.STEPS`, as far as the sink can tell."""

    def where_to_look(self, plan: Plan) -> str:
        """One line for the summary: where the tables are."""


class Warehouse(Source, Sink, Protocol):
    """A place that is both."""
