"""Every input and output table, once: columns, types, descriptions.

Arrow schemas are the one form; Parquet files, BigQuery schemas, checks and docs derive from them. The
event-derived columns of `sessions` and `persons` come from the metrics file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from transforms.metrics.definitions import Metrics, MetricsError
from transforms.metrics.kinds.kind import Column, RollUp
from transforms.published.changes import CHANGES, LOADED_AT, RUN_ID, Target, count_name, without_run_columns

TEXT, INTEGER, FLOAT, BOOLEAN = pa.string(), pa.int64(), pa.float64(), pa.bool_()
TIMESTAMP, DATE = pa.timestamp("us", "UTC"), pa.date32()
TEXTS = pa.list_(pa.string())


Source = Literal["posthog", "firebase", "aggregated"]


@dataclass(frozen=True)
class Table:
    """A table by its name inside a dataset. Fields that are not nullable are required."""

    source: Source
    name: str
    schema: pa.Schema

    def __hash__(self) -> int:
        return hash((self.source, self.name))

    @property
    def bare(self) -> pa.Schema:
        """Names and types only, as they travel with the data (which may hold nulls where it must not)."""
        return pa.schema([(field.name, field.type) for field in self.schema])

    @property
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

    def under(self, metrics: Metrics) -> OutputTable:
        """The table that these metrics give.

        Raises:
          MetricsError: a metric has the name of another column.
        """
        fields = [*self.columns(metrics), *_RUN_COLUMNS]
        return OutputTable("aggregated", self.name, _unique(self.name, fields), self)

    @property
    def ledger_columns(self) -> dict[str, str]:
        """Change → the column of the ledger that tells of it."""
        return {change: f"{self.name}_{change}" for change in CHANGES} if self.in_ledger else {}

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


def _column(name: str, kind: pa.DataType, description: str, *, required: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=not required, metadata={"description": description.encode()})


def description(field: pa.Field) -> str:
    """What a column means."""
    return (field.metadata or {}).get(b"description", b"").decode()


EVENTS = Table(
    "posthog",
    "events",
    pa.schema(
        [
            _column("uuid", TEXT, "Event id; the same id is the same event.", required=True),
            _column("event", TEXT, "Event name.", required=True),
            _column("properties", TEXT, "JSON object of the event's properties.", required=True),
            _column("distinct_id", TEXT, "Who, as the SDK knew at the time.", required=True),
            _column("timestamp", TIMESTAMP, "When it happened.", required=True),
            _column("bq_ingested_timestamp", TIMESTAMP, "When it arrived in BigQuery."),
        ]
    ),
)
POSTHOG_SESSIONS = Table(
    "posthog",
    "sessions",
    pa.schema(
        [
            _column("session_id", TEXT, "PostHog's session id.", required=True),
            _column("start_timestamp", TIMESTAMP, "Start as PostHog saw it."),
            _column("end_timestamp", TIMESTAMP, "End as PostHog saw it."),
            _column("autocapture_count", INTEGER, "Autocaptured events as PostHog saw them."),
            _column("screen_count", INTEGER, "Screens as PostHog saw them."),
            _column("channel_type", TEXT, "Acquisition channel."),
            _column("is_bounce", BOOLEAN, "Whether PostHog calls it a bounce."),
        ]
    ),
)
_PROFILE = [
    _column("fullName", TEXT, "The user's full name."),
    _column("phoneNumber", TEXT, "The user's phone number."),
    _column("username", TEXT, "The user's name in the app."),
    _column("email", TEXT, "The user's e-mail address."),
    _column("contactAccessGranted", BOOLEAN, "Whether the user let the app read contacts."),
    _column("businessUser", BOOLEAN, "Whether it is a business account."),
    _column("createdAt", TIMESTAMP, "When the user signed up."),
]
_VERSION = [
    _column("document_id", TEXT, "Firestore document: its rows are versions of each other."),
    _column("etl_loaded_at", TIMESTAMP, "When the row was exported: the latest version of a document counts."),
]
USERS = Table(
    "firebase",
    "users",
    pa.schema([_column("user_id", TEXT, "Firebase user id.", required=True), *_PROFILE, *_VERSION]),
)
FIREBASE_EVENTS = Table(
    "firebase",
    "events",
    pa.schema(
        [
            _column("user_id", TEXT, "Who created the social event.", required=True),
            _column("createdAt", TIMESTAMP, "When it was created.", required=True),
            *_VERSION,
        ]
    ),
)
#: Inputs without which a run goes on: their columns are null, false or 0.
OPTIONAL_INPUTS = (POSTHOG_SESSIONS, USERS, FIREBASE_EVENTS)

_RUN_COLUMNS = [
    _column(LOADED_AT, TIMESTAMP, "When this row's content last changed.", required=True),
    _column(RUN_ID, TEXT, "The run that changed it.", required=True),
]
_SESSION_HEAD = [
    _column("session_id", TEXT, "All events with one $session_id.", required=True),
    _column("person_id", TEXT, "user_id when matched, else distinct_id.", required=True),
    _column("user_id", TEXT, "Firebase user that any of the distinct ids belongs to."),
    _column("distinct_id", TEXT, "Distinct id of the first event.", required=True),
    _column("distinct_ids", TEXTS, "All distinct ids that occur, sorted."),
    _column("start_timestamp", TIMESTAMP, "Time of the first event.", required=True),
    _column("end_timestamp", TIMESTAMP, "Time of the last event.", required=True),
    _column("session_duration", FLOAT, "Seconds from the first to the last event.", required=True),
    _column("event_count", INTEGER, "Distinct events.", required=True),
]
_SESSION_TAIL = [
    _column("created_event", BOOLEAN, "The user created a social event meanwhile.", required=True),
    _column("events_created_count", INTEGER, "Social events created meanwhile.", required=True),
    _column("is_engaged", BOOLEAN, "Not (duration 0 and none of the engaging counts).", required=True),
    _column("session_number", INTEGER, "Of the person, from 1 in order of start, then session_id.", required=True),
    _column("is_first_session", BOOLEAN, "Whether session_number is 1.", required=True),
    _column("previous_session_end", TIMESTAMP, "End of the person's session with the number before."),
    _column("seconds_since_previous_session", FLOAT, "From that end to this start; below 0 where the two overlap."),
    _column("is_oversized", BOOLEAN, "More events than the limit: counts saturate.", required=True),
    *_PROFILE,
    _column("channel_type", TEXT, "Acquisition channel, from PostHog's sessions."),
    _column("is_bounce", BOOLEAN, "Bounce, from PostHog's sessions."),
]
_PERSON_HEAD = [
    _column("person_id", TEXT, "All sessions with one person_id.", required=True),
    _column("user_id", TEXT, "Firebase user, null for anonymous persons."),
    _column("total_sessions", INTEGER, "Sessions.", required=True),
    _column("engaged_sessions", INTEGER, "Sessions with is_engaged.", required=True),
    _column("avg_session_duration", FLOAT, "Mean session duration, seconds.", required=True),
    _column("median_session_duration", FLOAT, "Median session duration, seconds.", required=True),
    _column("total_session_duration", FLOAT, "Sum of session durations, seconds.", required=True),
    _column("min_session_duration", FLOAT, "Shortest session, seconds.", required=True),
    _column("max_session_duration", FLOAT, "Longest session, seconds.", required=True),
    _column("std_session_duration", FLOAT, "Sample deviation, seconds; null for one session."),
]
_PERSON_TAIL = [
    _column("first_session_date", TIMESTAMP, "Start of the first session.", required=True),
    _column("last_session_date", TIMESTAMP, "Start of the last session.", required=True),
    _column(
        "days_since_first_session",
        FLOAT,
        "Days from the first to the last session's start, fractional.",
        required=True,
    ),
    _column("sessions_per_day", FLOAT, "Sessions / (days_since_first_session + 1).", required=True),
    _column("active_days", INTEGER, "UTC days on which a session starts.", required=True),
    _column("longest_gap_days", INTEGER, "Most days from one of them to the next, 0 for one day.", required=True),
    _column("times_churned", INTEGER, "How often that was more than inactive_days.", required=True),
    _column(
        "engagement_score",
        FLOAT,
        "Share of sessions, 0 to 1, with any of the engagement flags.",
        required=True,
    ),
    *_PROFILE,
]


_REJECTED_EVENTS = [
    _column("row_key", TEXT, "SHA-256 of the original row and the reason.", required=True),
    _column("reason", TEXT, "Why the row could not be used.", required=True),
    _column("uuid", TEXT, "The event id, when there was one."),
    _column("timestamp", TIMESTAMP, "When it happened, as given."),
    _column("bq_ingested_timestamp", TIMESTAMP, "When it arrived, as given."),
    _column("row", TEXT, "JSON of the original row, long texts cut.", required=True),
]


def _session_columns(metrics: Metrics) -> list[pa.Field]:
    return [*_SESSION_HEAD, *(_derived(column) for column in metrics.columns), *_SESSION_TAIL]


def _person_columns(metrics: Metrics) -> list[pa.Field]:
    numbers = [_derived(column) for column in metrics.rollups if column.required]
    values = [_derived(column) for column in metrics.rollups if not column.required]
    return [*_PERSON_HEAD, *numbers, *_PERSON_TAIL, *values]


def _rejected_columns(_: Metrics) -> list[pa.Field]:
    return _REJECTED_EVENTS


SESSIONS = Output(
    "sessions",
    "One row a session: what its events say, whose it is, and the owner's profile.",
    _session_columns,
    key=("session_id",),
    partition_by="start_timestamp",
    cluster_by=("person_id",),
    in_samples=True,
    in_ledger=True,
)
PERSONS = Output(
    "persons",
    "One row a person: all sessions of a user or of a distinct id.",
    _person_columns,
    key=("person_id",),
    cluster_by=("person_id",),
    in_samples=True,
    in_ledger=True,
)
REJECTED_EVENTS = Output(
    "rejected_events",
    "Event rows that could not be understood, with the reason.",
    _rejected_columns,
    key=("row_key",),
    append_only=True,
)
#: In the order in which they are told.
OUTPUTS = (SESSIONS, PERSONS, REJECTED_EVENTS)
RUNS = Table(
    "aggregated",
    "runs",
    pa.schema(
        [
            _column("run_id", TEXT, "Time and random part; sorts by time.", required=True),
            _column("previous_run_id", TEXT, "The run that was published last when this one was planned."),
            _column("mode", TEXT, "full, incremental, backfill or sample.", required=True),
            _column("scan_start", TIMESTAMP, "Events before were not read."),
            _column("scan_end", TIMESTAMP, "Events from here on were not read."),
            _column("new_after", TIMESTAMP, "What arrived then or later was new."),
            _column("watermark", TIMESTAMP, "The arrival that the source has reached; one row is no evidence."),
            _column("rows_read", INTEGER, "Event rows read.", required=True),
            _column("rows_kept", INTEGER, "Of them distinct and used.", required=True),
            _column("rows_duplicate", INTEGER, "Of them repetitions.", required=True),
            _column("rows_filtered", INTEGER, "Of them left out by rule.", required=True),
            _column("rows_rejected", INTEGER, "Of them not understood.", required=True),
            _column("filtered", TEXT, "JSON: rows left out by reason.", required=True),
            _column("rejected", TEXT, "JSON: rows rejected by reason.", required=True),
            *[
                _column(name, INTEGER, f"Rows of {output.name} {change}.", required=True)
                for output in OUTPUTS
                for change, name in output.ledger_columns.items()
            ],
            _column("sessions_too_old", INTEGER, "Sessions only a backfill settles.", required=True),
            _column("too_old_sessions", TEXTS, "The first 1,000 of them, by day."),
            _column("too_old_session_days", TEXTS, "Their days (UTC), in the same order."),
            _column("too_old_days", TEXT, "JSON: the days whose backfill settles all of them, with their number."),
            _column("notes", TEXT, "JSON: all other counts of the run.", required=True),
            _column("bytes_read", INTEGER, "Bytes of the event scan.", required=True),
            _column("bytes_total", INTEGER, "Bytes of the whole events table.", required=True),
            _column("started_at", TIMESTAMP, "When the run started.", required=True),
            _column("published_at", TIMESTAMP, "When it was published.", required=True),
            _column("seconds", FLOAT, "Between them.", required=True),
            _column("metrics_digest", TEXT, "Of the metric definitions.", required=True),
            _column("excluded_digest", TEXT, "Of the excluded ids.", required=True),
            _column("excluded_marks", TEXT, "JSON: a few bits of each excluded id, which tell what changed."),
            _column("code_version", TEXT, "Version of this pipeline.", required=True),
            _column("options", TEXT, "JSON: the options given.", required=True),
        ]
    ),
)


def outputs(metrics: Metrics, *, sample: bool = False) -> tuple[OutputTable, ...]:
    """The tables that a run makes; raises `MetricsError` as `Output.under` does."""
    return tuple(output.under(metrics) for output in OUTPUTS if output.in_samples or not sample)


def _derived(column: Column | RollUp) -> pa.Field:
    return _column(column.name, column.type, column.description, required=column.required)


def _unique(name: str, fields: list[pa.Field]) -> pa.Schema:
    seen: set[str] = set()
    for field in fields:
        if field.name.lower() in seen:
            raise MetricsError(f"metric {field.name!r}: {name} has a column of this name already; choose another name")
        seen.add(field.name.lower())
    return pa.schema(fields)
