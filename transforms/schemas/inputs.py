"""The tables that a run reads: PostHog's events and sessions, Firebase's users, social events and invites, and who asks
to be deleted."""

from __future__ import annotations

import pyarrow as pa

from transforms.schemas.fields import BOOLEAN, INTEGER, TEXT, TIMESTAMP, column

EVENTS = pa.schema(
    [
        column("uuid", TEXT, "Event id; the same id is the same event.", required=True),
        column("event", TEXT, "Event name.", required=True),
        column("properties", TEXT, "JSON object of the event's properties.", required=True),
        column("distinct_id", TEXT, "Who, as the SDK knew at the time.", required=True),
        column("timestamp", TIMESTAMP, "When it happened.", required=True),
        column("bq_ingested_timestamp", TIMESTAMP, "When it arrived in BigQuery."),
    ]
)
#: What our sessions take from PostHog's.
ACQUISITION = (
    column("channel_type", TEXT, "Acquisition channel, from PostHog's sessions."),
    column("is_bounce", BOOLEAN, "Bounce, from PostHog's sessions."),
)
POSTHOG_SESSIONS = pa.schema(
    [
        column("session_id", TEXT, "PostHog's session id.", required=True),
        column("start_timestamp", TIMESTAMP, "Start as PostHog saw it."),
        column("end_timestamp", TIMESTAMP, "End as PostHog saw it."),
        column("autocapture_count", INTEGER, "Autocaptured events as PostHog saw them."),
        column("screen_count", INTEGER, "Screens as PostHog saw them."),
        *ACQUISITION,
    ]
)
#: What sessions and persons take from a user; completeness counts these columns. One more is a line more, anywhere.
PROFILE = (
    column("fullName", TEXT, "The user's full name."),
    column("phoneNumber", TEXT, "The user's phone number."),
    column("username", TEXT, "The user's name in the app."),
    column("email", TEXT, "The user's e-mail address."),
    column("contactAccessGranted", BOOLEAN, "Whether the user let the app read contacts."),
    column("businessUser", BOOLEAN, "Whether it is a business account."),
    column("createdAt", TIMESTAMP, "When the user signed up."),
)
#: What tells the versions of a Firestore document.
DOCUMENT_ID = column("document_id", TEXT, "Firestore document: its rows are versions of each other.")
EXPORTED_AT = column("etl_loaded_at", TIMESTAMP, "When the row was exported: the latest version of a document counts.")
USERS = pa.schema(
    [
        column("user_id", TEXT, "Firebase user id.", required=True),
        *PROFILE,
        DOCUMENT_ID,
        EXPORTED_AT,
    ]
)
EVENT_TYPE = column("type", TEXT, "Its kind, as base, checkin, fundraising or ticketed.")
#: What is left of a social event.
SOCIAL_EVENT = (
    column("user_id", TEXT, "Who created the social event.", required=True),
    column("createdAt", TIMESTAMP, "When it was created.", required=True),
    EVENT_TYPE,
    column("startTime", TIMESTAMP, "When it is to begin."),
    column("endTime", TIMESTAMP, "When it is to end."),
    column("eventDate", TIMESTAMP, "On which day it is to be."),
    DOCUMENT_ID,
)
FIREBASE_EVENTS = pa.schema([*SOCIAL_EVENT, EXPORTED_AT])
#: What is left of an invite.
INVITE = (
    column("user_id", TEXT, "Who was invited.", required=True),
    column("createdAt", TIMESTAMP, "When.", required=True),
    column("status", TEXT, "What came of it: invited, accepted or rejected.", required=True),
    column("event_id", TEXT, "To which social event: its document_id."),
)
USER_INVITES = pa.schema([*INVITE, DOCUMENT_ID, EXPORTED_AT])
#: Of a request that names both, the two are ids of one person.
DELETION_REQUESTS = pa.schema(
    [
        column("user_id", TEXT, "Firebase user id of who asks to be deleted."),
        column("distinct_id", TEXT, "A distinct id or phone number of theirs."),
        column("requested_at", TIMESTAMP, "From when on the request holds; null is always."),
    ]
)
