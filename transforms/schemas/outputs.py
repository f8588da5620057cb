"""The columns of the tables that a run makes; those that metrics declare are put between the others."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds import links
from transforms.metrics.kinds.every_session import START_DATE
from transforms.metrics.kinds.kind import Column, RollUp
from transforms.schemas.fields import BOOLEAN, DATE, FLOAT, INTEGER, TEXT, TEXTS, TIMESTAMP, column
from transforms.schemas.inputs import ACQUISITION, EVENT_TYPE, PROFILE

#: The columns that say which run has written a row.
LOADED_AT, RUN_ID = "_loaded_at", "_run_id"
RUN_COLUMNS = (
    column(LOADED_AT, TIMESTAMP, "When this row's content last changed.", required=True),
    column(RUN_ID, TEXT, "The run that changed it.", required=True),
)
_SESSION_HEAD = (
    column("session_id", TEXT, "All events with one $session_id.", required=True),
    column("person_id", TEXT, "user_id when matched, else distinct_id.", required=True),
    column("user_id", TEXT, "Firebase user that any of the distinct ids belongs to."),
    column("distinct_id", TEXT, "Distinct id of the first event.", required=True),
    column("distinct_ids", TEXTS, "All distinct ids that occur, sorted."),
    column("start_timestamp", TIMESTAMP, "Time of the first event.", required=True),
    column("end_timestamp", TIMESTAMP, "Time of the last event.", required=True),
    column("session_duration", FLOAT, "Seconds from the first to the last event.", required=True),
    column("event_count", INTEGER, "Distinct events.", required=True),
)
_SESSION_TAIL = (
    column("created_event", BOOLEAN, "The user created a social event meanwhile.", required=True),
    column("events_created_count", INTEGER, "Social events created meanwhile.", required=True),
    column("is_engaged", BOOLEAN, "Not (duration 0 and none of the engaging counts).", required=True),
    column("session_number", INTEGER, "Of the person, from 1 in order of start, then session_id.", required=True),
    column("is_first_session", BOOLEAN, "Whether session_number is 1.", required=True),
    column("previous_session_end", TIMESTAMP, "End of the person's session with the number before."),
    column("seconds_since_previous_session", FLOAT, "From that end to this start; below 0 where the two overlap."),
    column("is_oversized", BOOLEAN, "More events than the limit: counts saturate.", required=True),
    *PROFILE,
    *ACQUISITION,
)
#: The columns of `sessions` that metrics do not decide.
SESSION = (*_SESSION_HEAD, *_SESSION_TAIL)
#: What a person has created, in sessions or not; it travels with the rows of the person's sessions.
CREATED = (
    column("total_events_created", INTEGER, "Social events of the user, those outside sessions too.", required=True),
    column("days_to_first_event", FLOAT, "From createdAt to the first of them, fractional; below 0 if before."),
)
_OWNER = column("user_id", TEXT, "Firebase user, null for anonymous persons.")
_PERSON_HEAD = (
    column("person_id", TEXT, "All sessions with one person_id.", required=True),
    _OWNER,
    column("total_sessions", INTEGER, "Sessions.", required=True),
    column("engaged_sessions", INTEGER, "Sessions with is_engaged.", required=True),
    column("avg_session_duration", FLOAT, "Mean session duration, seconds.", required=True),
    column("median_session_duration", FLOAT, "Median session duration, seconds.", required=True),
    column("total_session_duration", FLOAT, "Sum of session durations, seconds.", required=True),
    column("min_session_duration", FLOAT, "Shortest session, seconds.", required=True),
    column("max_session_duration", FLOAT, "Longest session, seconds.", required=True),
    column("std_session_duration", FLOAT, "Sample deviation, seconds; null for one session."),
)
_PERSON_TAIL = (
    column("first_session_date", TIMESTAMP, "Start of the first session.", required=True),
    column("last_session_date", TIMESTAMP, "Start of the last session.", required=True),
    column(
        "days_since_first_session",
        FLOAT,
        "Days from the first to the last session's start, fractional.",
        required=True,
    ),
    column("sessions_per_day", FLOAT, "Sessions / (days_since_first_session + 1).", required=True),
    column("active_days", INTEGER, "Different start_date of the sessions.", required=True),
    column("first_active_date", DATE, "The first of them.", required=True),
    column("last_active_date", DATE, "The last of them.", required=True),
    column("longest_gap_days", INTEGER, "Most days from one of them to the next, 0 for one day.", required=True),
    column("times_churned", INTEGER, "How often that was more than inactive_days.", required=True),
    column(
        "engagement_score",
        FLOAT,
        "Share of sessions, 0 to 1, with any of the engagement flags.",
        required=True,
    ),
    *CREATED,
    column("first_touch_channel", TEXT, "channel_type of the first session that has one."),
    column("latest_touch_channel", TEXT, "channel_type of the latest session that has one."),
    *PROFILE,
)
_DAY_HEAD = (
    column("person_id", TEXT, "Whose day: as in persons and sessions.", required=True),
    column("date", DATE, "A day in reporting_timezone of the metrics file.", required=True),
    _OWNER,
    column("sessions_started", INTEGER, "Sessions that start on the day.", required=True),
    column("event_count", INTEGER, "Sum of event_count of the sessions that start on the day.", required=True),
    column("session_duration", FLOAT, "Sum of session_duration, seconds.", required=True),
)
#: What a user did on a day beside sessions.
DEEDS = (
    column("events_created_count", INTEGER, "Social events that the user created, in sessions or not.", required=True),
    column("invites_accepted", INTEGER, "Invites that the user received on the day and has accepted.", required=True),
    column("invites_pending", INTEGER, "Invites of the day that the user has not answered.", required=True),
    column("invites_rejected", INTEGER, "Invites of the day that the user has rejected.", required=True),
)
_DAY_TAIL = (
    *DEEDS,
    column("is_app_active", BOOLEAN, "Whether a session starts or ends on the day.", required=True),
    column("is_social_active", BOOLEAN, "Whether a social event was created or an invite received.", required=True),
    column("is_first_day", BOOLEAN, "Whether it is the person's first day with is_app_active.", required=True),
    column("previous_active_date", DATE, "The person's latest day with is_app_active before this one."),
)
#: The columns of `social_events`.
SOCIAL_EVENT_ROW = (
    column("social_event_id", TEXT, "Its document_id, as session_links has it; made up without one.", required=True),
    column("person_id", TEXT, "The host, as in persons; null when it is no user anymore."),
    EVENT_TYPE,
    column("is_planned", BOOLEAN, "Whether it begins after it was created; null without starts_at."),
    column("created_at", TIMESTAMP, "When the host created it.", required=True),
    column("starts_at", TIMESTAMP, "When it is to begin: startTime of the document, else eventDate."),
    column("lead_time_hours", FLOAT, "Hours from created_at to starts_at, fractional; below 0 if that is before."),
    column("invited_count", INTEGER, "Invites to it: the sum of the next three.", required=True),
    column("accepted_count", INTEGER, "Of them those that are accepted now.", required=True),
    column("rejected_count", INTEGER, "Of them those that are rejected now.", required=True),
    column("pending_count", INTEGER, "Of them those that are not answered.", required=True),
    column("acceptance_rate", FLOAT, "accepted_count / invited_count; null without invites."),
    column("viewer_count", INTEGER, "Persons who viewed it in some session, the host too; null without such a link."),
    column("joiner_count", INTEGER, "Persons who joined it in some session; null without such a link."),
    column("host_event_number", INTEGER, "Of the host's, from 1 in order of created_at, then id; null without a host."),
)
_REJECTED_EVENT = (
    column("row_key", TEXT, "SHA-256 of the original row and the reason; HMAC where ids are hashed.", required=True),
    column("reason", TEXT, "Why the row could not be used.", required=True),
    column("uuid", TEXT, "The event id, when there was one."),
    column("timestamp", TIMESTAMP, "When it happened, as given."),
    column("bq_ingested_timestamp", TIMESTAMP, "When it arrived, as given."),
    column(
        "row",
        TEXT,
        "JSON of the original row, long texts cut; of its ids and times where ids are hashed.",
        required=True,
    ),
)


def session_columns(metrics: Metrics) -> list[pa.Field]:
    """`sessions`, without the run columns."""
    always = (one for kind in metrics.of_every_session for one in kind.columns())
    return [*_SESSION_HEAD, *_declared(metrics.columns), *_declared(always), *_SESSION_TAIL]


def person_columns(metrics: Metrics) -> list[pa.Field]:
    """`persons`, without the run columns: numbers that all have, and values that may be null."""
    numbers = _declared(column for column in metrics.rollups if column.required)
    values = _declared(column for column in metrics.rollups if not column.required)
    return [*_PERSON_HEAD, *numbers, *_PERSON_TAIL, *values]


def link_columns(metrics: Metrics) -> list[pa.Field]:
    """`session_links`, without the run columns."""
    of_session = [one for one in session_columns(metrics) if one.name in ("session_id", START_DATE)]
    return [*of_session, *_declared(links.link_columns(metrics.actions))]


def day_columns(metrics: Metrics) -> list[pa.Field]:
    """`person_days`, without the run columns."""
    return [*_DAY_HEAD, *_declared(metrics.day_rollups), *_DAY_TAIL]


def social_event_columns(_: Metrics) -> list[pa.Field]:
    """`social_events`, without the run columns."""
    return list(SOCIAL_EVENT_ROW)


def rejected_columns(_: Metrics) -> list[pa.Field]:
    """`rejected_events`, without the run columns."""
    return list(_REJECTED_EVENT)


def without_run_columns(schema: pa.Schema) -> pa.Schema:
    """A table's schema without `RUN_COLUMNS`."""
    return pa.schema([field for field in schema if field.name not in (LOADED_AT, RUN_ID)])


def _declared(columns: Iterable[Column | RollUp]) -> list[pa.Field]:
    return [column(one.name, one.type, one.description, required=one.required) for one in columns]
