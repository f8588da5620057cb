"""Session facts with a person → session rows: profile, created events, derived columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.identity import with_person
from transforms.join import EachBatch, JoinByKey, Outcome, Side, all_counts, lookup
from transforms.metrics import CREATED_EVENT, Metrics
from transforms.users import PROFILE

FIREBASE_EVENTS = pa.schema([("user_id", pa.string()), ("createdAt", pa.timestamp("us", "UTC"))])
_MICROS = 1_000_000


def clean_firebase_events(events: pa.Table) -> Iterator[pa.Table | tuple[str, int]]:
    """Rows without a user id or time are counted and left out."""
    known = events.select(FIREBASE_EVENTS.names).drop_null()
    if known.num_rows < events.num_rows:
        yield "firebase_events.incomplete", events.num_rows - known.num_rows
    yield known


def session_rows(metrics: Metrics, schema: pa.Schema) -> Callable[[dict[str, pa.Table]], Iterator[pa.Table]]:
    """The join function that makes rows of `schema` (the sessions table without its run columns).

    Its tables, all of one partition of persons: `sessions` (facts with `person_id`), unique `users`, and
    `firebase_events` by `user_id`.
    """

    def rows(tables: dict[str, pa.Table]) -> Iterator[pa.Table]:
        sessions = tables["sessions"]
        user_ids = sessions.column("user_id")
        created = _created_events(sessions, tables["firebase_events"])
        columns = {name: sessions.column(name) for name in sessions.schema.names}
        profile = lookup(tables["users"], "user_id", user_ids, list(PROFILE))
        columns.update({name: profile.column(name) for name in PROFILE})
        micros = _micros(sessions, "end_timestamp") - _micros(sessions, "start_timestamp")
        engaged = micros > 0
        for name in metrics.engaged_by:
            engaged |= sessions.column(name).to_numpy() > 0
        columns |= {
            "session_duration": pa.array(micros / _MICROS),
            "events_created_count": pa.array(created),
            CREATED_EVENT: pa.array(created > 0),
            "is_engaged": pa.array(engaged),
        }
        yield pa.table([columns[name] for name in schema.names], schema=schema)

    return rows


class MakeSessionRows(beam.PTransform):
    """(sessions, users, firebase_events) → `Outcome` of session rows with `schema`.

    `sessions` are facts with person (`with_person(facts_schema)`), `users` unique users, `firebase_events`
    raw rows; all PCollection[pa.RecordBatch].
    """

    def __init__(
        self,
        metrics: Metrics,
        facts_schema: pa.Schema,
        users_schema: pa.Schema,
        schema: pa.Schema,
        partitions: int,
    ) -> None:
        super().__init__()
        self._function = session_rows(metrics, schema)
        self._sides = {
            "sessions": Side("person_id", with_person(facts_schema)),
            "users": Side("user_id", users_schema),
            "firebase_events": Side("user_id", FIREBASE_EVENTS),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by person."""
        sessions, users, events = inputs
        clean = events | "Clean" >> EachBatch(clean_firebase_events)
        joined = dict(zip(self._sides, (sessions, users, clean.rows), strict=True))
        made = joined | "Join by person" >> JoinByKey(self._function, self._sides, self._partitions)
        return made._replace(counts=all_counts(clean, made) | "Counts" >> beam.Flatten())


def _created_events(sessions: pa.Table, events: pa.Table) -> npt.NDArray[np.int64]:
    """Per session its user's Firebase events with start ≤ createdAt ≤ end."""
    users = pc.unique(events.column("user_id"))
    owner = _codes(events.column("user_id"), users)
    times = events.column("createdAt").cast(pa.int64()).to_numpy()
    ranks = np.unique(times)
    # (user, rank of time) as one integer, so that one binary search answers for all users at once
    width = len(ranks) + 1
    keys = np.sort(owner * width + np.searchsorted(ranks, times))
    user = _codes(sessions.column("user_id"), users)
    first = user * width + np.searchsorted(ranks, _micros(sessions, "start_timestamp"))
    beyond = user * width + np.searchsorted(ranks, _micros(sessions, "end_timestamp"), side="right")
    counts = np.searchsorted(keys, beyond) - np.searchsorted(keys, first)
    return np.where(user >= 0, counts, 0)


def _codes(values: pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    """The position of each value in `among`, −1 for null or none."""
    found = pc.index_in(values, value_set=among, skip_nulls=True)
    return np.asarray(found.fill_null(-1).cast(pa.int64()).to_numpy())


def _micros(table: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.asarray(table.column(name).cast(pa.int64()).to_numpy())
