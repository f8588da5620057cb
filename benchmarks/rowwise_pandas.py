"""Peer: the pandas job as such jobs are usually written, a row at a time.

`python -m benchmarks.rowwise_pandas WAREHOUSE OUT` writes OUT/sessions.parquet and OUT/persons.parquet.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.plain_rows import (
    ACQUISITION,
    ACTIVE_FLAGS,
    EVENT_COLUMNS,
    FIRST,
    FLAG_EVENTS,
    PERSON_COUNTS,
    PERSON_FLAGS,
    PROFILE,
    blank_to_null,
    enables_contacts,
    event_uuid,
    match,
    number_within,
    parse,
    reach,
    session_id,
    text,
    touch,
)


def read_events(folder: str) -> pd.DataFrame:
    """Usable events, each once, in order, with the properties that count."""
    events = pd.read_parquet(folder, columns=EVENT_COLUMNS)
    for column in ("uuid", "event", "distinct_id"):
        events[column] = events[column].apply(blank_to_null)
    events = events.dropna(subset=["uuid", "event", "distinct_id", "timestamp"])
    arrival = events["bq_ingested_timestamp"].fillna(events["timestamp"])
    plausible = events["timestamp"].between("2015-01-01T00:00Z", "2050-01-01T00:00Z", inclusive="left")
    events = events[plausible & (events["timestamp"] - arrival <= pd.Timedelta(days=1))].copy()
    events["properties"] = events["properties"].apply(parse)
    events["session_id"] = events["properties"].apply(session_id)
    events["uuid"] = events["uuid"].apply(event_uuid)
    # of the copies of an event the latest arrival decides, then the earliest time
    events = events[events["session_id"].notna()].sort_values(
        ["bq_ingested_timestamp", "timestamp"], ascending=[False, True]
    )
    events = events.drop_duplicates(["session_id", "uuid", "event", "distinct_id"])
    events["screen"] = events["properties"].apply(lambda p: text(p.get("$screen_name")))
    events["touch"] = events["properties"].apply(touch)
    events["reach"] = events["properties"].apply(reach)
    for column, name in FIRST.items():
        events[column] = events["properties"].apply(lambda p, name=name: text(p.get(name)))
    for flag, names in FLAG_EVENTS.items():
        events[flag] = events["event"].apply(lambda name, names=names: name in names)
    events["enabled_contacts"] = events["event"].apply(enables_contacts)
    events["visited_discover"] = events["screen"].apply(lambda screen: screen == "Discover")
    return events.drop(columns="properties").sort_values(["timestamp", "uuid"])


def session(rows: pd.DataFrame) -> pd.Series:
    """The columns of a session from its events, which are in order."""
    event, moments, touches = rows["event"], rows["timestamp"], rows["touch"].count()
    autocaptures = (event == "$autocapture").sum()
    seconds = (moments.iloc[-1] - moments.iloc[0]).total_seconds()
    return pd.Series(
        {
            "distinct_id": rows["distinct_id"].iloc[0],
            "distinct_ids": sorted(rows["distinct_id"].unique()),
            "start_timestamp": moments.iloc[0],
            "end_timestamp": moments.iloc[-1],
            "session_duration": seconds,
            "event_count": len(rows),
            "autocapture_count": autocaptures,
            "screen_count": (event == "$screen").sum(),
            "unique_screen_count": rows["screen"].nunique(),
            "entry_screen": at(rows["screen"], rows["screen"].first_valid_index()),
            "exit_screen": at(rows["screen"], rows["screen"].last_valid_index()),
            "scroll_event_count": touches,
            "scrolled": touches > 0,
            "scroll_depth": rows["reach"].max(),
            "is_engaged": seconds > 0 or autocaptures > 0,
            **{flag: rows[flag].any() for flag in (*FLAG_EVENTS, "enabled_contacts", "visited_discover")},
            **{column: at(rows[column], rows[column].first_valid_index()) for column in FIRST},
        }
    )


def at(values: pd.Series, label: Any) -> Any:
    """The value with a label, None without one."""
    return None if label is None else values[label]


def read_users(folder: str) -> pd.DataFrame:
    """Users by id, the most complete row of each; `owner` is the kept user of their phone number, or themselves."""
    users = pd.read_parquet(folder, columns=["user_id", *PROFILE])
    for column in ("user_id", "phoneNumber", "fullName", "username", "email"):
        users[column] = users[column].apply(blank_to_null)
    users = users.dropna(subset="user_id")
    users["known"] = users[PROFILE].notna().sum(axis=1)
    users = users.sort_values(["known", "user_id"], ascending=[False, True]).drop_duplicates("user_id")
    users["owner"] = users.groupby("phoneNumber")["user_id"].transform("first").fillna(users["user_id"])
    return users.drop(columns="known").set_index("user_id")


def join(sessions: pd.DataFrame, warehouse: str) -> None:
    """Add a session's user, the user's Firebase events, and what PostHog's own sessions say."""
    users = read_users(f"{warehouse}/firebase_etl_prod/users")
    owners = users["owner"].to_dict()
    by_phone = users.dropna(subset="phoneNumber").set_index("phoneNumber")["owner"].to_dict()
    sessions["user_id"] = sessions["distinct_ids"].apply(lambda ids: match(ids, by_phone, owners))
    sessions["person_id"] = sessions["user_id"].fillna(sessions["distinct_id"])
    for column in PROFILE:
        sessions[column] = sessions["user_id"].map(users[column])

    created = pd.read_parquet(f"{warehouse}/firebase_etl_prod/events", columns=["document_id", "user_id", "createdAt"])
    created = created.dropna(subset=["user_id", "createdAt"]).drop_duplicates()
    created["user_id"] = created["user_id"].map(owners)
    moments = created.sort_values("createdAt").groupby("user_id")["createdAt"].apply(list).to_dict()
    sessions["events_created_count"] = sessions.apply(
        lambda row: number_within(moments.get(row["user_id"], []), row["start_timestamp"], row["end_timestamp"]), axis=1
    )
    sessions["created_event"] = sessions["events_created_count"] > 0

    posthog = pd.read_parquet(
        f"{warehouse}/posthog_etl/sessions", columns=["session_id", "end_timestamp", *ACQUISITION]
    )
    posthog["is_bounce"] = posthog["is_bounce"].map({0: False, 1: True})
    posthog = posthog.sort_values(["end_timestamp", *ACQUISITION], ascending=[False, True, True])
    posthog = posthog.drop_duplicates("session_id").set_index("session_id")
    for column in ACQUISITION:
        sessions[column] = sessions["session_id"].map(posthog[column])


def aggregate_persons(sessions: pd.DataFrame) -> pd.DataFrame:
    """One row a person."""
    sessions = sessions.sort_values(["start_timestamp", "session_id"])
    sessions["active"] = sessions[ACTIVE_FLAGS].any(axis=1)
    groups = sessions.groupby("person_id")
    persons = groups["session_duration"].agg(["mean", "median", "sum", "min", "max", "std"])
    persons.columns = [f"{name}_session_duration" for name in ("avg", "median", "total", "min", "max", "std")]
    persons["total_sessions"] = groups.size()
    persons["engaged_sessions"] = groups["is_engaged"].sum()
    for flag in PERSON_FLAGS:
        persons[f"{flag}_sum"] = groups[flag].sum()
    for column, noun in PERSON_COUNTS.items():
        persons[f"total_{noun}"] = groups[column].sum()
        persons[f"avg_{noun}_per_session"] = groups[column].mean()
        persons[f"max_{noun}_per_session"] = groups[column].max()
    persons["first_session_date"] = groups["start_timestamp"].min()
    persons["last_session_date"] = groups["start_timestamp"].max()
    days = (persons["last_session_date"] - persons["first_session_date"]) / pd.Timedelta(days=1)
    persons["days_since_first_session"] = days
    persons["sessions_per_day"] = persons["total_sessions"] / (days + 1)
    persons["engagement_score"] = groups["active"].mean()
    for column in ("user_id", *PROFILE):
        persons[column] = groups[column].first()
    for column in ("city", "country"):
        persons[column] = groups[column].last()
    return persons.reset_index()


def main(warehouse: str, out: str) -> None:
    """Read, aggregate, join, aggregate, write."""
    Path(out).mkdir(parents=True, exist_ok=True)
    events = read_events(f"{warehouse}/posthog_etl/events")
    sessions = events.groupby("session_id").apply(session, include_groups=False).reset_index()
    join(sessions, warehouse)
    sessions.to_parquet(f"{out}/sessions.parquet", compression="zstd")
    aggregate_persons(sessions).to_parquet(f"{out}/persons.parquet", compression="zstd")


if __name__ == "__main__":
    main(*sys.argv[1:])
