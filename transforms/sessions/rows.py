"""Settled sessions → rows of the sessions table: profile, created events, derived columns, and what changed.

Sessions are partitioned by person here, so this is also where persons are told apart whose sessions are all as
they were: their published row stays, and only the others are aggregated again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.join import JoinByKey, Outcome, Result, Side
from transforms.machinery.keys import rows_of_keys
from transforms.machinery.times import column_micros
from transforms.metrics.definitions import CREATED_EVENT, Metrics
from transforms.published.changes import CHANGE, LoadedBy, as_they_were, change_counts, equal, run_columns, with_change
from transforms.schemas.columns import FLOAT, INTEGER, TEXT, TIMESTAMP, columns_of
from transforms.schemas.inputs import PROFILE, SOCIAL_EVENT
from transforms.schemas.outputs import CREATED, LOADED_AT, RUN_ID, without_run_columns
from transforms.sessions.fate import GONE, NEW, SAME, STATE, settled_schema, was

_MICROS = 1_000_000
_DAY = 86_400_000_000
_PROFILE = [one.name for one in PROFILE]
_CREATED = [one.name for one in CREATED]


def session_rows(
    metrics: Metrics, schema: pa.Schema, loaded_by: LoadedBy, keep_persons: bool
) -> Callable[[dict[str, pa.Table]], Iterator[Result]]:
    """The join function that makes rows of the sessions table, with their change (`with_change(schema)`).

    Its tables, all of one partition of persons: `sessions` (`settled_schema`), unique `users`,
    `firebase_events` by `user_id`, and published `persons`. Besides rows it gives, by name:

    * `people`: session rows of the persons that must be aggregated, each with what its user has created (`CREATED`);
    * `kept_persons`: published persons of whom all that is as it was, as unchanged rows; only with
      `keep_persons`;
    * `other_persons`: the other published persons.
    """
    target = with_change(schema)
    content = without_run_columns(schema).names

    def rows(tables: dict[str, pa.Table]) -> Iterator[Result]:
        sessions, persons = tables["sessions"], tables["persons"]
        columns = {name: sessions.column(name) for name in sessions.schema.names}
        state = np.asarray(sessions.column(STATE))
        same, gone = state == SAME, state == GONE
        derived = _derived(metrics, tables) | in_order(sessions, ~gone)
        if same.any():
            for name, column in derived.items():
                same &= equal(column, sessions.column(was(name)))
        if gone.any():
            for name, column in derived.items():
                derived[name] = pc.if_else(pa.array(gone), sessions.column(was(name)), column)
        change = np.select([gone, same, state == NEW], ["deleted", "unchanged", "inserted"], "updated")
        columns |= derived
        columns |= run_columns(change, columns[was(LOADED_AT)], columns[was(RUN_ID)], loaded_by)
        made = pa.table([columns[name] for name in target.names], schema=target)
        yield made
        yield from change_counts("sessions", change)

        live = with_created(made.filter(pa.array(~gone)), tables["firebase_events"])
        kept = unaffected(live, persons) if keep_persons else pa.array([], TEXT)
        for result in as_they_were("persons", persons.filter(pc.is_in(persons.column("person_id"), kept)), "unchanged"):
            yield ("kept_persons", result) if isinstance(result, pa.Table) else result
        yield "other_persons", persons.filter(pc.invert(pc.is_in(persons.column("person_id"), kept)))
        yield "people", live.filter(pc.invert(pc.is_in(live.column("person_id"), kept))).select([*content, *_CREATED])

    return rows


def unaffected(sessions: pa.Table, persons: pa.Table) -> pa.Array:
    """Ids of the published persons whose sessions are exactly those that they were published with.

    None of a person's sessions changed, and there are as many as before: so none came and none left. Nor did what the
    user has created change.

    Args:
      sessions: all sessions of these persons, with `CHANGE` and `CREATED`.
      persons: published rows.
    """
    same = np.array(pc.equal(sessions.column(CHANGE), "unchanged"))
    before = rows_of_keys(persons, "person_id", sessions.column("person_id"), _CREATED)
    for name in _CREATED:
        same &= equal(sessions.column(name), before.column(name))
    marked = pa.table({"person_id": sessions.column("person_id"), "same": same})
    found = marked.group_by("person_id").aggregate([("same", "count"), ("same", "all")])
    number = rows_of_keys(found, "person_id", persons.column("person_id"), ["same_count", "same_all"])
    before = pc.equal(number.column("same_count"), persons.column("total_sessions"))
    return persons.column("person_id").filter(pc.and_(before, number.column("same_all")).fill_null(False))


class MakeSessionRows(beam.PTransform):
    """(sessions, users, firebase_events, persons) → `Outcome` of session rows with their change.

    `sessions` are `settled_schema`, `users` unique users, `firebase_events` social events of the kept
    users, `persons` as published; all PCollection[pa.RecordBatch]. See `session_rows` for the other outputs.
    """

    def __init__(
        self,
        metrics: Metrics,
        loaded_by: LoadedBy,
        schemas: tuple[pa.Schema, pa.Schema, pa.Schema, pa.Schema],
        partitions: int,
        *,
        keep_persons: bool,
    ) -> None:
        super().__init__()
        facts, sessions, users, persons = schemas
        self._function = session_rows(metrics, sessions, loaded_by, keep_persons)
        self._sides = {
            "sessions": Side("person_id", settled_schema(facts, sessions)),
            "users": Side("user_id", users),
            "firebase_events": Side("user_id", columns_of(SOCIAL_EVENT, "user_id", "createdAt")),
            "persons": Side("person_id", persons),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by person."""
        joined = dict(zip(self._sides, inputs, strict=True))
        return joined | "Join by person" >> JoinByKey(
            self._function, self._sides, self._partitions, also=("people", "kept_persons", "other_persons")
        )


def _derived(metrics: Metrics, tables: dict[str, pa.Table]) -> dict[str, pa.ChunkedArray]:
    """The columns of the sessions table that do not come from facts: profile, created events, what follows."""
    sessions = tables["sessions"]
    created = _created_events(sessions, tables["firebase_events"])
    profile = rows_of_keys(tables["users"], "user_id", sessions.column("user_id"), _PROFILE)
    micros = column_micros(sessions.column("end_timestamp")) - column_micros(sessions.column("start_timestamp"))
    engaged = micros > 0
    for name in metrics.engaged_by:
        engaged |= sessions.column(name).to_numpy() > 0
    return {name: profile.column(name) for name in _PROFILE} | {
        "session_duration": pa.chunked_array([micros / _MICROS]),
        "events_created_count": pa.chunked_array([created]),
        CREATED_EVENT: pa.chunked_array([created > 0]),
        "is_engaged": pa.chunked_array([engaged]),
    }


def with_created(sessions: pa.Table, events: pa.Table) -> pa.Table:
    """Session rows with `CREATED` of their users, who are in the same partition as their Firebase events."""
    of_users = events.group_by("user_id").aggregate([("createdAt", "count"), ("createdAt", "min")])
    found = rows_of_keys(of_users, "user_id", sessions.column("user_id"), ["createdAt_count", "createdAt_min"])
    signed_up = sessions.column("createdAt").cast(INTEGER)
    days = pc.divide(pc.subtract(found.column("createdAt_min").cast(INTEGER), signed_up).cast(FLOAT), float(_DAY))
    columns = (found.column("createdAt_count").fill_null(0), days)
    for name, column in zip(_CREATED, columns, strict=True):
        sessions = sessions.append_column(name, column)
    return sessions


def in_order(sessions: pa.Table, live: npt.NDArray[np.bool_]) -> dict[str, pa.ChunkedArray]:
    """The columns that all sessions of a person decide together; those of sessions that are not live mean nothing."""
    keys = ("person_id", "start_timestamp", "session_id")
    ordered = pc.sort_indices(sessions.select(keys), sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    rows = ordered[live[ordered]]
    person = sessions.column("person_id").combine_chunks().dictionary_encode().indices.to_numpy()[rows]
    begins = np.diff(person, prepend=-1) != 0
    place = np.arange(len(rows))
    number = np.zeros(len(live), np.int64)
    number[rows] = place - np.maximum.accumulate(np.where(begins, place, 0)) + 1
    previous, pause = np.zeros(len(live), np.int64), np.zeros(len(live))
    later, ends = rows[~begins], column_micros(sessions.column("end_timestamp"))
    previous[later] = ends[rows[np.flatnonzero(~begins) - 1]]
    pause[later] = (column_micros(sessions.column("start_timestamp"))[later] - previous[later]) / _MICROS
    return {
        "session_number": pa.chunked_array([number]),
        "is_first_session": pa.chunked_array([number == 1]),
        "previous_session_end": pa.chunked_array([pa.array(previous, mask=number < 2).view(TIMESTAMP)]),
        "seconds_since_previous_session": pa.chunked_array([pa.array(pause, mask=number < 2)]),
    }


def _created_events(sessions: pa.Table, events: pa.Table) -> npt.NDArray[np.int64]:
    """Per session its user's Firebase events with start ≤ createdAt ≤ end."""
    users = pc.unique(events.column("user_id"))
    owner = _codes(events.column("user_id"), users)
    times = events.column("createdAt").cast(INTEGER).to_numpy()
    ranks = np.unique(times)
    # (user, rank of time) as one integer, so that one binary search answers for all users at once
    width = len(ranks) + 1
    keys = np.sort(owner * width + np.searchsorted(ranks, times))
    user = _codes(sessions.column("user_id"), users)
    first = user * width + np.searchsorted(ranks, column_micros(sessions.column("start_timestamp")))
    beyond = user * width + np.searchsorted(ranks, column_micros(sessions.column("end_timestamp")), side="right")
    counts = np.searchsorted(keys, beyond) - np.searchsorted(keys, first)
    return np.where(user >= 0, counts, 0)


def _codes(values: pa.ChunkedArray, among: pa.Array) -> npt.NDArray[np.int64]:
    """The position of each value in `among`, −1 for null or none."""
    found = pc.index_in(values, value_set=among, skip_nulls=True)
    return np.asarray(found.fill_null(-1).cast(INTEGER).to_numpy())
