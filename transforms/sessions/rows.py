"""Sessions → rows of the sessions table: profile, created events, derived columns, and what changed.

Sessions are partitioned by person here, so this is also where persons are told apart whose sessions are all as
they were: their published row stays, and only the others are aggregated again.
"""

from __future__ import annotations

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.counts import some_of
from transforms.machinery.join import JoinByKey, JoinFunction, Outcome, Results, Side
from transforms.machinery.keys import grouped, rows_of_keys
from transforms.machinery.record_batches import where
from transforms.machinery.times import column_micros
from transforms.metrics.definitions import CREATED_EVENT, Metrics
from transforms.published.changes import (
    CHANGE,
    LoadedBy,
    Target,
    are_same,
    as_they_were,
    change_counts,
    change_of,
    count_name,
    equal,
    with_run_columns,
)
from transforms.schemas.fields import FLOAT, INTEGER, TEXT, TIMESTAMP, bare, columns_of
from transforms.schemas.inputs import PROFILE, SOCIAL_EVENT, USERS
from transforms.schemas.outputs import CREATED
from transforms.sessions.fate import Sessions, fact_fields, fresh_schema, staying_schema

_MICROS = 1_000_000
_DAY = 86_400_000_000
_PROFILE = [one.name for one in PROFILE]
_CREATED = [one.name for one in CREATED]


#: The outputs beside session rows: sessions of persons that must be aggregated, each with what its user has created
#: (`CREATED`); published persons of whom all that is as it was, as unchanged rows; the other published persons.
PEOPLE, KEPT_PERSONS, OTHER_PERSONS = "people", "kept_persons", "other_persons"


def session_rows(
    metrics: Metrics, facts: pa.Schema, sessions: Target, persons: Target, loaded_by: LoadedBy, *, keep_persons: bool
) -> JoinFunction:
    """The join function that makes rows of the sessions table, with their change (`with_change(sessions.schema)`).

    Its tables, all of one partition of persons: `fresh` and `staying` sessions (see `fate`), unique `users`,
    `firebase_events` by `user_id`, and published `persons`. Besides rows it gives `PEOPLE`, `OTHER_PERSONS`, and with
    `keep_persons` also `KEPT_PERSONS`.
    """
    content = sessions.content.names

    def rows(tables: dict[str, pa.Table]) -> Results:
        found, published = Sessions.of(tables["fresh"], tables["staying"], facts), tables["persons"]
        columns = {name: found.rows.column(name) for name in found.rows.schema.names}
        columns |= _derived(metrics, found.rows, tables["users"], tables["firebase_events"])
        columns |= in_order(found.rows, ~found.gone)
        made = pa.table(columns, schema=sessions.content)
        change, surprises = _changes(made, found, [field.name for field in fact_fields(facts)])
        written = with_run_columns(made, change, found.before, loaded_by, sessions.schema)

        live = with_created(where(written, ~found.gone), tables["firebase_events"])
        kept = unaffected(live, published) if keep_persons else pa.array([], TEXT)
        stays = pc.is_in(published.column("person_id"), kept)
        also = {
            KEPT_PERSONS: [as_they_were(published.filter(stays), "unchanged")],
            OTHER_PERSONS: [published.filter(pc.invert(stays))],
            PEOPLE: [where(live.select([*content, *_CREATED]), ~np.asarray(pc.is_in(live.column("person_id"), kept)))],
        }
        counts = change_counts(sessions.name, change)
        counts |= some_of(
            {
                "sessions.later_than_overlap": surprises,
                count_name(persons.name, "unchanged"): also[KEPT_PERSONS][0].num_rows,
            }
        )
        return Results([written], also, counts)

    return rows


def _changes(made: pa.Table, found: Sessions, from_events: list[str]) -> tuple[npt.NDArray[np.str_], int]:
    """The change of each row; how many have other facts than published although nothing of the run says why."""
    same = np.ones(made.num_rows, bool)  # facts that stay are as published
    new, before = (table.slice(0, found.fresh).select(from_events) for table in (made, found.before))
    same[: found.fresh] = are_same(new, before, found.known[: found.fresh])
    surprises = int((found.surprising & ~same[: found.fresh]).sum())
    later = [name for name in made.schema.names if name not in from_events]
    same &= are_same(made.select(later), found.before, found.known)
    return change_of(same, found.known, found.gone), surprises


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
    found = grouped(marked, "person_id").aggregate([("same", "count"), ("same", "all")])
    number = rows_of_keys(found, "person_id", persons.column("person_id"), ["same_count", "same_all"])
    before = pc.equal(number.column("same_count"), persons.column("total_sessions"))
    return persons.column("person_id").filter(pc.and_(before, number.column("same_all")).fill_null(False))


class MakeSessionRows(beam.PTransform):
    """(fresh, staying, users, firebase_events, persons) → `Outcome` of session rows with their change.

    `fresh` and `staying` are sessions as `fate` gives them, `users` unique users, `firebase_events` social
    events of the kept users, `persons` as published; all PCollection[pa.RecordBatch]. The other outputs are those of
    `session_rows`.
    """

    def __init__(
        self,
        metrics: Metrics,
        facts: pa.Schema,
        sessions: Target,
        persons: Target,
        loaded_by: LoadedBy,
        partitions: int,
        *,
        keep_persons: bool,
    ) -> None:
        super().__init__()
        self._function = session_rows(metrics, facts, sessions, persons, loaded_by, keep_persons=keep_persons)
        self._sides = {
            "fresh": Side("person_id", fresh_schema(facts, sessions.schema)),
            "staying": Side("person_id", staying_schema(sessions.schema)),
            "users": Side("user_id", bare(USERS)),
            "firebase_events": Side("user_id", columns_of(SOCIAL_EVENT, "user_id", "createdAt")),
            "persons": Side("person_id", persons.schema),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by person."""
        joined = dict(zip(self._sides, inputs, strict=True))
        return joined | "Join by person" >> JoinByKey(
            self._function, self._sides, self._partitions, also=(PEOPLE, KEPT_PERSONS, OTHER_PERSONS)
        )


def _derived(
    metrics: Metrics, sessions: pa.Table, users: pa.Table, firebase_events: pa.Table
) -> dict[str, pa.ChunkedArray]:
    """The columns of the sessions table that do not come from facts: profile, created events, what follows."""
    created = _created_events(sessions, firebase_events)
    profile = rows_of_keys(users, "user_id", sessions.column("user_id"), _PROFILE)
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
    of_users = grouped(events, "user_id").aggregate([("createdAt", "count"), ("createdAt", "min")])
    found = rows_of_keys(of_users, "user_id", sessions.column("user_id"), ["createdAt_count", "createdAt_min"])
    signed_up = sessions.column("createdAt").cast(INTEGER)
    micros = pc.subtract(found.column("createdAt_min").cast(INTEGER), signed_up)
    days = pc.divide(micros.cast(FLOAT, safe=False), float(_DAY))  # between 285 years and more, to the nearest number
    created = {"total_events_created": found.column("createdAt_count").fill_null(0), "days_to_first_event": days}
    for name in _CREATED:
        sessions = sessions.append_column(name, created[name])
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
