"""Peer: the plain Beam pipeline that one would write first. Dict rows, `json.loads`, a dict accumulator, side inputs.

`python -m benchmarks.plain_beam WAREHOUSE OUT` writes OUT/sessions*.parquet and OUT/persons*.parquet. All times are
integers, microseconds: Arrow makes datetimes slowly, and Beam's coders fall to pickle for them.
"""

from __future__ import annotations

import logging
import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsSingleton

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

Row = dict[str, Any]
#: A set of events: (uuid, name, distinct id) → the copy that counts.
Events = dict[tuple[str, str, str], Row]
DAY = 86_400_000_000
MIN_TIMESTAMP, MAX_TIMESTAMP = 1_420_070_400_000_000, 2_524_608_000_000_000  # 2015 and 2050
#: Columns of the first event that has a value.
FIRSTS = ("distinct_id", "entry_screen", *FIRST)

TIME = pa.timestamp("us", "UTC")
PROFILE_TYPES = {
    **dict.fromkeys(PROFILE, pa.string()),
    **dict.fromkeys(["contactAccessGranted", "businessUser"], pa.bool_()),
    "createdAt": TIME,
}
SESSIONS = pa.schema(
    {
        **dict.fromkeys(["session_id", "person_id", "user_id", "distinct_id"], pa.string()),
        "distinct_ids": pa.list_(pa.string()),
        **dict.fromkeys(["start_timestamp", "end_timestamp"], TIME),
        "session_duration": pa.float64(),
        **dict.fromkeys(["event_count", *PERSON_COUNTS, "unique_screen_count", "events_created_count"], pa.int64()),
        **dict.fromkeys(["entry_screen", "exit_screen", *FIRST], pa.string()),
        "scroll_depth": pa.float64(),
        **dict.fromkeys([*PERSON_FLAGS, "is_engaged"], pa.bool_()),
        **PROFILE_TYPES,
        "channel_type": pa.string(),
        "is_bounce": pa.bool_(),
    }
)
PERSONS = pa.schema(
    {
        **dict.fromkeys(["person_id", "user_id"], pa.string()),
        **dict.fromkeys(["total_sessions", "engaged_sessions"], pa.int64()),
        **{f"{name}_session_duration": pa.float64() for name in ("avg", "median", "total", "min", "max", "std")},
        **{f"{flag}_sum": pa.int64() for flag in PERSON_FLAGS},
        **{f"total_{noun}": pa.int64() for noun in PERSON_COUNTS.values()},
        **{f"avg_{noun}_per_session": pa.float64() for noun in PERSON_COUNTS.values()},
        **{f"max_{noun}_per_session": pa.int64() for noun in PERSON_COUNTS.values()},
        **dict.fromkeys(["first_session_date", "last_session_date"], TIME),
        **dict.fromkeys(["days_since_first_session", "sessions_per_day", "engagement_score"], pa.float64()),
        **PROFILE_TYPES,
        **dict.fromkeys(["city", "country"], pa.string()),
    }
)


def rows_of(path: str, columns: list[str]) -> Iterator[Row]:
    """A file's rows as dicts."""
    for batch in pq.ParquetFile(path).iter_batches(columns=columns):
        types = [(field.name, pa.int64() if field.type == TIME else field.type) for field in batch.schema]
        yield from batch.cast(pa.schema(types)).to_pylist()


def by_session(row: Row) -> Iterator[tuple[str, Row]]:
    """(session id, what counts of the event) of a usable row."""
    uuid, event, distinct_id = row["uuid"], row["event"], row["distinct_id"]
    moment, arrival = row["timestamp"], row["bq_ingested_timestamp"]
    if not (uuid and event and distinct_id and uuid.strip() and event.strip() and distinct_id.strip()):
        return
    if moment is None or not MIN_TIMESTAMP <= moment < MAX_TIMESTAMP or moment - (arrival or moment) > DAY:
        return
    properties = parse(row["properties"])
    session = session_id(properties)
    if not session:
        return
    position = touch(properties)
    found = {
        "uuid": event_uuid(uuid),
        "event": event,
        "timestamp": moment,
        "arrival": MIN_TIMESTAMP if arrival is None else arrival,
        "touch": position,
        "reach": None if position is None else reach(properties),
        "distinct_id": distinct_id,
        "entry_screen": text(properties.get("$screen_name")),
    }
    for column, name in FIRST.items():
        found[column] = text(properties.get(name))
    yield session, found


class Sessions(beam.CombineFn):
    """Events of a session → a dict of its columns; the accumulator is a dict of its events, each once."""

    def create_accumulator(self) -> Events:
        """Nothing yet."""
        return {}

    def add_input(self, found: Events, event: Row) -> Events:
        """One event: of its copies the latest arrival decides, then the earliest time."""
        key = (event["uuid"], event["event"], event["distinct_id"])
        known = found.get(key)
        if known is None or rank(event) > rank(known):
            found[key] = event
        return found

    def merge_accumulators(self, accumulators: Iterable[Events]) -> Events:
        """The union of all."""
        merged, *others = accumulators
        for other in others:
            for event in other.values():
                self.add_input(merged, event)
        return merged

    def extract_output(self, found: Events) -> Row:
        """The session's columns."""
        events = sorted(found.values(), key=lambda event: (event["timestamp"], event["uuid"]))
        start, end = events[0]["timestamp"], events[-1]["timestamp"]
        names = [event["event"] for event in events]
        screens = [event["entry_screen"] for event in events if event["entry_screen"] is not None]
        touches = sum(event["touch"] is not None for event in events)
        autocaptures = names.count("$autocapture")
        return {
            "start_timestamp": start,
            "end_timestamp": end,
            "session_duration": (end - start) / 1e6,
            "distinct_ids": sorted({event["distinct_id"] for event in events}),
            "event_count": len(events),
            "autocapture_count": autocaptures,
            "screen_count": names.count("$screen"),
            "unique_screen_count": len(set(screens)),
            "exit_screen": screens[-1] if screens else None,
            "scroll_event_count": touches,
            "scrolled": touches > 0,
            "scroll_depth": max((event["reach"] for event in events if event["reach"] is not None), default=None),
            "visited_discover": "Discover" in screens,
            "enabled_contacts": any(map(enables_contacts, names)),
            "is_engaged": end > start or autocaptures > 0,
            **{flag: not wanted.isdisjoint(names) for flag, wanted in FLAG_EVENTS.items()},
            **{
                column: next((event[column] for event in events if event[column] is not None), None)
                for column in FIRSTS
            },
        }


def rank(event: Row) -> tuple[int, int]:
    """What decides among the copies of an event: the greatest."""
    return event["arrival"], -event["timestamp"]


def users_by_id(rows: list[Row]) -> dict[str, Row]:
    """Users by id, the most complete row of each; `owner` is the kept user of their phone number, or themselves."""
    cleaned = [{name: blank_to_null(value) for name, value in row.items()} for row in rows]
    known = [row for row in cleaned if row["user_id"]]
    users: dict[str, Row] = {}
    owners: dict[str, str] = {}
    for row in sorted(known, key=lambda row: (sum(row[name] is None for name in PROFILE), row["user_id"])):
        users.setdefault(row["user_id"], row)
    for user, row in users.items():
        row["owner"] = owners.setdefault(row["phoneNumber"], user) if row["phoneNumber"] else user
    return users


def owners_by_phone(users: dict[str, Row]) -> dict[str, str]:
    """Phone number → user id."""
    return {row["phoneNumber"]: row["owner"] for row in users.values() if row["phoneNumber"]}


def owners_by_id(users: dict[str, Row]) -> dict[str, str]:
    """User id → user id of the kept user."""
    return {user: row["owner"] for user, row in users.items()}


def moments_by_user(rows: list[Row], owners: dict[str, str]) -> dict[str, list[int]]:
    """User id → times of the user's Firebase events, each once, ascending."""
    moments = defaultdict(list)
    for _, user, moment in {(row["document_id"], row["user_id"], row["createdAt"]) for row in rows}:
        if user in owners and moment is not None:
            moments[owners[user]].append(moment)
    return {user: sorted(found) for user, found in moments.items()}


def latest_by_session(rows: list[Row]) -> dict[str, Row]:
    """Session id → PostHog's own row of it: the latest of several, then the first channel, then no bounce."""
    latest: dict[str, Row] = {}
    for row in sorted(rows, key=lambda r: (-(r["end_timestamp"] or 0), r["channel_type"] or "~", bool(r["is_bounce"]))):
        bounce = None if row["is_bounce"] is None else bool(row["is_bounce"])
        latest.setdefault(row["session_id"], row | {"is_bounce": bounce})
    return latest


def join(
    item: tuple[str, Row],
    users: dict[str, Row],
    by_phone: dict[str, str],
    owners: dict[str, str],
    created: dict[str, list[int]],
    acquisition: dict[str, Row],
) -> Row:
    """A session with its user, the user's Firebase events, and what PostHog's own sessions say."""
    session, row = item
    user = match(row["distinct_ids"], by_phone, owners)
    profile = users.get(user, {}) if user else {}
    known = acquisition.get(session, {})
    number = number_within(created.get(user, []) if user else [], row["start_timestamp"], row["end_timestamp"])
    return {
        **row,
        "session_id": session,
        "person_id": user or row["distinct_id"],
        "user_id": user,
        "events_created_count": number,
        "created_event": number > 0,
        **{name: profile.get(name) for name in PROFILE},
        **{name: known.get(name) for name in ACQUISITION},
    }


def person(key: str, sessions: Iterable[Row]) -> Row:
    """The columns of a person."""
    rows = sorted(sessions, key=lambda row: (row["start_timestamp"], row["session_id"]))
    total = len(rows)
    seconds = [row["session_duration"] for row in rows]
    first, last = rows[0]["start_timestamp"], rows[-1]["start_timestamp"]
    days = (last - first) / DAY
    found: Row = {
        "person_id": key,
        "user_id": rows[0]["user_id"],
        "total_sessions": total,
        "engaged_sessions": sum(row["is_engaged"] for row in rows),
        "avg_session_duration": sum(seconds) / total,
        "median_session_duration": statistics.median(seconds),
        "total_session_duration": sum(seconds),
        "min_session_duration": min(seconds),
        "max_session_duration": max(seconds),
        "std_session_duration": statistics.stdev(seconds) if total > 1 else None,
        "first_session_date": first,
        "last_session_date": last,
        "days_since_first_session": days,
        "sessions_per_day": total / (days + 1),
        "engagement_score": sum(any(row[flag] for flag in ACTIVE_FLAGS) for row in rows) / total,
        **{f"{flag}_sum": sum(row[flag] for row in rows) for flag in PERSON_FLAGS},
        **{name: rows[0][name] for name in PROFILE},
    }
    for column, noun in PERSON_COUNTS.items():
        counts = [row[column] for row in rows]
        found[f"total_{noun}"] = sum(counts)
        found[f"avg_{noun}_per_session"] = sum(counts) / total
        found[f"max_{noun}_per_session"] = max(counts)
    for column in ("city", "country"):
        found[column] = next((row[column] for row in reversed(rows) if row[column] is not None), None)
    return found


def read(p: beam.Pipeline, table: str, columns: list[str]) -> beam.PCollection[Row]:
    """The rows of a table, a folder of Parquet files."""
    [matched] = FileSystems.match([f"{table}/*.parquet"])
    paths = [found.path for found in matched.metadata_list]
    return p | f"Files of {table}" >> beam.Create(paths) | f"Read {table}" >> beam.FlatMap(rows_of, columns)


def in_memory(rows: beam.PCollection[Row], function: Callable[..., Any], **sides: AsSingleton) -> beam.PCollection[Any]:
    """All rows of a small table, through a function: one element, to be a side input."""
    name = function.__name__
    return rows | f"List: {name}" >> beam.combiners.ToList() | name >> beam.Map(function, **sides)


def main(warehouse: str, out: str) -> None:
    """Read, aggregate, join, aggregate, write."""
    logging.getLogger("apache_beam").setLevel(logging.ERROR)  # it warns of an earlier run's files, which it replaces
    posthog, firebase = f"{warehouse}/posthog_etl", f"{warehouse}/firebase_etl_prod"
    with beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"])) as p:
        users = in_memory(read(p, f"{firebase}/users", ["user_id", *PROFILE]), users_by_id)
        owners = AsSingleton(users | "By id" >> beam.Map(owners_by_id))
        created = in_memory(
            read(p, f"{firebase}/events", ["document_id", "user_id", "createdAt"]), moments_by_user, owners=owners
        )
        acquisition = in_memory(
            read(p, f"{posthog}/sessions", ["session_id", "end_timestamp", *ACQUISITION]), latest_by_session
        )
        sessions = (
            read(p, f"{posthog}/events", EVENT_COLUMNS)
            | "By session" >> beam.FlatMap(by_session)
            | "Sessions" >> beam.CombinePerKey(Sessions())
            | "Join"
            >> beam.Map(
                join,
                users=AsSingleton(users),
                by_phone=AsSingleton(users | "By phone" >> beam.Map(owners_by_phone)),
                owners=owners,
                created=AsSingleton(created),
                acquisition=AsSingleton(acquisition),
            )
        )
        persons = (
            sessions
            | "By person" >> beam.Map(lambda row: (row["person_id"], row))
            | "Of a person" >> beam.GroupByKey()
            | "Persons" >> beam.MapTuple(person)
        )
        for name, rows, schema in (("sessions", sessions, SESSIONS), ("persons", persons, PERSONS)):
            rows | f"Write {name}" >> beam.io.WriteToParquet(
                f"{out}/{name}", schema, codec="zstd", file_name_suffix=".parquet"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
