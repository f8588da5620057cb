"""Every table by its name, and all that staging, publishing, the ledger and docs have to know of those that are made.

Their columns are in `transforms.schemas`, the event-derived ones in the metrics file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from transforms.metrics.definitions import Metrics, MetricsError
from transforms.published.changes import CHANGES, Target, count_name
from transforms.schemas import inputs
from transforms.schemas.fields import FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP, bare, column
from transforms.schemas.outputs import (
    RUN_COLUMNS,
    day_columns,
    link_columns,
    person_columns,
    rejected_columns,
    session_columns,
    social_event_columns,
    without_run_columns,
)

Source = Literal["posthog", "firebase", "privacy", "aggregated"]


@dataclass(frozen=True)
class Table:
    """A table by its name inside a dataset. Fields that are not nullable are required."""

    source: Source
    name: str
    schema: pa.Schema

    def __hash__(self) -> int:
        return hash((self.source, self.name))

    @functools.cached_property
    def bare(self) -> pa.Schema:
        """Names and types only, as they travel with the data (which may hold nulls where it must not)."""
        return bare(self.schema)

    @functools.cached_property
    def content(self) -> pa.Schema:
        """The bare schema without the run columns."""
        return without_run_columns(self.bare)


@dataclass(frozen=True)
class Output:
    """A table that runs make, and all that staging, publishing, the ledger and the docs have to know of it.

    A new table is one of these in `OUTPUTS`, a transform, and two lines in `pipeline.graph`.
    """

    name: str
    description: str
    columns: Callable[[Metrics], Sequence[pa.Field]]
    """Its columns under some metrics, without the run columns."""
    key: tuple[str, ...]
    """Columns that are never null and unique together; the first is text, and says which rows are compared together."""
    partition_by: str | None = None
    """The time or date by whose days BigQuery partitions it."""
    cluster_by: tuple[str, ...] = ()
    append_only: bool = False
    """Published rows stay although a run does not come across them, unless it reads everything."""
    in_samples: bool = False
    """Whether `--limit` makes a sample of it."""
    in_ledger: bool = False
    """Whether its changes are columns of the ledger, and lines of the log and the summary, or are among the notes."""
    made_by: str = ""
    """The module with the rules of its columns, for the docs."""
    rules: tuple[tuple[str, str], ...] = ()
    """Other modules, each with the names of the columns whose rule it has."""

    def under(self, metrics: Metrics) -> OutputTable:
        """The table that these metrics give.

        Raises:
          MetricsError: a metric has the name of another column.
        """
        fields = [*self.columns(metrics), *RUN_COLUMNS]
        return OutputTable("aggregated", self.name, _unique(self.name, fields), self)

    @property
    def ledger_columns(self) -> dict[str, str]:
        """Change → the column of the ledger that tells of it."""
        return {change: f"{self.name}_{change}" for change in CHANGES} if self.in_ledger else {}

    def rule(self, column: str) -> str:
        """The module with the rule of a column that no metric gives."""
        rules = (*self.rules, *_SHARED_RULES)
        return next((module for module, names in rules if column in names.split()), self.made_by)

    def changes(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Change → rows, from the counts of a run."""
        return {change: counts.get(count_name(self.name, change), 0) for change in CHANGES}


@dataclass(frozen=True, eq=False)
class OutputTable(Table):
    """An output under the metrics of a run."""

    output: Output

    @property
    def target(self) -> Target:
        """What comparing new rows with published ones has to know of it."""
        return Target(self.name, self.bare, self.output.key)


EVENTS = Table("posthog", "events", inputs.EVENTS)
POSTHOG_SESSIONS = Table("posthog", "sessions", inputs.POSTHOG_SESSIONS)
USERS = Table("firebase", "users", inputs.USERS)
FIREBASE_EVENTS = Table("firebase", "events", inputs.FIREBASE_EVENTS)
USER_INVITES = Table("firebase", "userinvites", inputs.USER_INVITES)
#: Inputs without which a run goes on: their columns are null, false or 0.
OPTIONAL_INPUTS = (POSTHOG_SESSIONS, USERS, FIREBASE_EVENTS, USER_INVITES)
#: It need not exist either, but where it does every request counts: what cannot be read stops the run.
DELETION_REQUESTS = Table("privacy", "deletion_requests", inputs.DELETION_REQUESTS)
INPUTS = (EVENTS, *OPTIONAL_INPUTS, DELETION_REQUESTS)

#: Module → the columns of any output whose rule it has.
_SHARED_RULES = (
    (
        "transforms/metrics/kinds/every_session.py",
        "start_date timezone local_start_hour local_start_weekday is_emulator is_dev_build has_clock_skew",
    ),
    ("transforms/users/users.py", " ".join(field.name for field in inputs.PROFILE)),
    ("transforms/published/changes.py", " ".join(field.name for field in RUN_COLUMNS)),
)
#: Columns of any table that hold what belongs to one person: names, addresses, ids, and whole rows.
PERSONAL = frozenset(
    {
        *("fullName", "phoneNumber", "username", "email"),
        *("person_id", "user_id", "distinct_id", "distinct_ids", "session_id", "too_old_sessions"),
        *("uuid", "row_key", "row"),
    }
)

SESSIONS = Output(
    "sessions",
    "One row a session: what its events say, whose it is, and the owner's profile.",
    session_columns,
    key=("session_id",),
    partition_by="start_timestamp",
    cluster_by=("person_id",),
    in_samples=True,
    in_ledger=True,
    made_by="transforms/sessions/rows.py",
    rules=(
        (
            "transforms/sessions/facts.py",
            "session_id distinct_id distinct_ids start_timestamp end_timestamp event_count is_oversized",
        ),
        ("transforms/sessions/owners.py", "person_id user_id channel_type is_bounce"),
    ),
)
PERSONS = Output(
    "persons",
    "One row a person: all sessions of a user or of a distinct id.",
    person_columns,
    key=("person_id",),
    cluster_by=("person_id",),
    in_samples=True,
    in_ledger=True,
    made_by="transforms/persons/rows.py",
    rules=(("transforms/sessions/rows.py", "total_events_created days_to_first_event"),),
)
SESSION_LINKS = Output(
    "session_links",
    "One row a session and object that it has to do with, as a social event that was viewed and joined.",
    link_columns,
    key=("session_id", "link", "value"),
    partition_by="start_date",
    cluster_by=("link", "value"),
    made_by="transforms/metrics/kinds/links.py",
    rules=(("transforms/sessions/facts.py", "session_id"),),
)
PERSON_DAYS = Output(
    "person_days",
    "One row a person and day on which a session starts or ends, or the user creates or is invited to a social event.",
    day_columns,
    key=("person_id", "date"),
    partition_by="date",
    cluster_by=("person_id",),
    made_by="transforms/persons/days.py",
)
SOCIAL_EVENTS = Output(
    "social_events",
    "One row a social event: who made it and for when, what became of its invites, how many persons came across it.",
    social_event_columns,
    key=("social_event_id",),
    cluster_by=("social_event_id",),
    made_by="transforms/social/events.py",
)
REJECTED_EVENTS = Output(
    "rejected_events",
    "Event rows that could not be understood, with the reason.",
    rejected_columns,
    key=("row_key",),
    append_only=True,
    made_by="transforms/events/rejected_events.py",
)
#: In the order in which they are told.
OUTPUTS = (SESSIONS, PERSONS, SESSION_LINKS, PERSON_DAYS, SOCIAL_EVENTS, REJECTED_EVENTS)
#: A row of the ledger by column; later versions have columns that the row of an earlier one lacks.
LedgerRow = Mapping[str, Any]
RUNS_KEY = "run_id"
RUNS_DESCRIPTION = "The ledger: one row a published run, every row that it read accounted for."
RUNS = Table(
    "aggregated",
    "runs",
    pa.schema(
        [
            column("run_id", TEXT, "Time and random part; sorts by time.", required=True),
            column("previous_run_id", TEXT, "The run that was published last when this one was planned."),
            column("mode", TEXT, "full, incremental, backfill or sample.", required=True),
            column("scan_start", TIMESTAMP, "Events before were not read."),
            column("scan_end", TIMESTAMP, "Events from here on were not read."),
            column("new_after", TIMESTAMP, "What arrived then or later was new."),
            column("watermark", TIMESTAMP, "The arrival that the source has reached; one row is no evidence."),
            column("rows_read", INTEGER, "Event rows read.", required=True),
            column("rows_kept", INTEGER, "Of them distinct and used.", required=True),
            column("rows_duplicate", INTEGER, "Of them repetitions.", required=True),
            column("rows_filtered", INTEGER, "Of them left out by rule.", required=True),
            column("rows_rejected", INTEGER, "Of them not understood.", required=True),
            column("filtered", TEXT, "JSON: rows left out by reason.", required=True),
            column("rejected", TEXT, "JSON: rows rejected by reason.", required=True),
            *[
                column(name, INTEGER, f"Rows of {output.name} {change}.", required=True)
                for output in OUTPUTS
                for change, name in output.ledger_columns.items()
            ],
            column("sessions_too_old", INTEGER, "Sessions only a backfill settles.", required=True),
            column("too_old_sessions", TEXTS, "The first 1,000 of them, by day."),
            column("too_old_session_days", TEXTS, "Their days (UTC), in the same order."),
            column("too_old_days", TEXT, "JSON: the days whose backfill settles all of them, with their number."),
            column("late_seen", TEXT, "JSON: sums of late events, which tell the next run what is no news."),
            column("notes", TEXT, "JSON: all other counts of the run.", required=True),
            column("bytes_read", INTEGER, "Bytes of the event scan.", required=True),
            column("bytes_total", INTEGER, "Bytes of the whole events table.", required=True),
            column("started_at", TIMESTAMP, "When the run started.", required=True),
            column("published_at", TIMESTAMP, "When it was published.", required=True),
            column("seconds", FLOAT, "Between them.", required=True),
            column("checks", TEXT, "JSON: what the checks of the metrics file found; the view `checks` tells it."),
            column("metrics_digest", TEXT, "Of the metric definitions.", required=True),
            column("excluded_digest", TEXT, "Of the excluded ids.", required=True),
            column("excluded_marks", TEXT, "JSON: a few bits of each excluded id, which tell what changed."),
            column("deletion_digest", TEXT, "Of the ids that deletion requests name."),
            column("deletion_marks", TEXT, "JSON: a few bits of each of them, which tell what changed."),
            column("privacy_key_id", TEXT, "Which key the hashes are made with, not the key; null without hashes."),
            column("code_version", TEXT, "Version, and a digest of the code that makes rows.", required=True),
            column("options", TEXT, "JSON: the options given.", required=True),
        ]
    ),
)


def outputs(metrics: Metrics, *, sample: bool = False) -> tuple[OutputTable, ...]:
    """The tables that a run makes; raises `MetricsError` as `Output.under` does."""
    return tuple(output.under(metrics) for output in OUTPUTS if output.in_samples or not sample)


def _unique(name: str, fields: list[pa.Field]) -> pa.Schema:
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise MetricsError(f"metric {field.name!r}: {name} has a column of this name already; choose another name")
        seen.add(field.name.lower())
    return pa.schema(fields)
