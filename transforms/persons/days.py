"""Session rows, social events and invites → rows of person_days: one a person and day on which something happened.

Days are of the reporting timezone. A day is there because a session of the person starts or ends on it, or because the
user creates a social event or receives an invite. Days without any of these are not there, so that the table grows with
what happened, not with persons times days. The numbers of a session belong to the day on which it starts.

All days of a person are made at once. A run makes them where anything that they follow from has changed, and elsewhere
leaves them as they are (`unaffected`).
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.events.decoder import MAX_TIMESTAMP, MIN_TIMESTAMP
from transforms.machinery.join import JoinByKey, JoinFunction, Outcome, Results, Side
from transforms.machinery.keys import grouped, rows_of_keys
from transforms.machinery.times import column_micros, dates
from transforms.machinery.zones import local_micros
from transforms.metrics.definitions import Metrics
from transforms.metrics.kinds.every_session import START_DATE
from transforms.metrics.kinds.kind import SECOND
from transforms.metrics.kinds.numbers import exact_sum
from transforms.persons.rows import Persons
from transforms.published.changes import CHANGE, LoadedBy, Target, as_they_were, change_counts, compare, with_change
from transforms.schemas.fields import DATE, INTEGER, TEXT, columns_of
from transforms.schemas.inputs import INVITE, SOCIAL_EVENT, USERS
from transforms.schemas.outputs import DEEDS
from transforms.users.deeds import ACCEPTED, PENDING, REJECTED

Ints = npt.NDArray[np.int64]
_DAY = 86_400_000_000
#: More than the days from 1970 until events are implausible.
_DAYS = 2**16
#: The columns about what a user did beside sessions, and the status of what each counts; a social event has none.
_COUNTED = dict(zip([one.name for one in DEEDS], (None, ACCEPTED, PENDING, REJECTED), strict=True))


def moved_schema(metrics: Metrics, sessions: pa.Schema) -> pa.Schema:
    """The columns of session rows that days are made from."""
    names = ["person_id", START_DATE, "end_timestamp", "session_duration", "event_count", "user_id"]
    summed = dict.fromkeys(column.source for column in metrics.day_rollups)
    return with_change(columns_of(sessions, *names, *summed))


def deeds_by_day(events: pa.Table, invites: pa.Table, users: pa.Table, zone: str) -> pa.Table:
    """(person_id, date, `DEEDS`), of days with any.

    What is of no user counts on no day, nor do invites of an unknown status and moments that no event can have either.

    Args:
      events: `user_id` and `createdAt` of social events.
      invites: the same and `status`.
      users: `user_id` of those that there are.
      zone: in which days begin.
    """
    invites = invites.filter(pc.is_valid(invites.column("status")))
    created = events.append_column("status", pa.nulls(events.num_rows, TEXT))
    every = pa.concat_tables([rows.select(["user_id", "createdAt", "status"]) for rows in (created, invites)])
    every = every.filter(pc.is_in(every.column("user_id"), users.column("user_id").combine_chunks()))
    moments = column_micros(every.column("createdAt"))
    plausible = (moments >= MIN_TIMESTAMP) & (moments < MAX_TIMESTAMP)
    every, moments = every.filter(pa.array(plausible)), moments[plausible]
    days = {"person_id": every.column("user_id"), "date": dates(local_micros(moments, zone) // _DAY)}
    for name, status in _COUNTED.items():
        known = every.column("status")
        days[name] = (pc.is_null(known) if status is None else pc.equal(known, status)).fill_null(False).cast(INTEGER)
    found = grouped(pa.table(days), "person_id", "date").aggregate([(name, "sum") for name in _COUNTED])
    return found.rename_columns(["person_id", "date", *_COUNTED])


def unaffected(sessions: pa.Table, deeds: pa.Table, published: pa.Table) -> pa.Array:
    """The published persons whose days are what they were, because all that they follow from is.

    None of a person's sessions changed, and as many start as before, so none came and none left; and the user did the
    same on the same days.

    Args:
      sessions: all sessions of these persons, with `CHANGE`, the deleted ones too.
      deeds: of these persons, as `deeds_by_day` gives.
      published: rows.
    """
    before = grouped(published, "person_id").aggregate([("sessions_started", "sum")])
    marked = pa.table([sessions.column("person_id"), pc.equal(sessions.column(CHANGE), "unchanged")], ["id", "same"])
    found = grouped(marked, "id").aggregate([("same", "count"), ("same", "all")])
    now = rows_of_keys(found, "id", before.column("person_id"), ["same_count", "same_all"])
    same = pc.equal(now.column("same_count").fill_null(0), before.column("sessions_started_sum"))
    same = pc.and_(same, now.column("same_all").fill_null(True))
    social = published.filter(published.column("is_social_active")).select(deeds.schema.names)
    every = pa.concat_tables([deeds, social.cast(deeds.schema)])
    both = grouped(every, *deeds.schema.names).aggregate([([], "count_all")])
    changed = both.filter(pc.equal(both.column("count_all"), 1)).column("person_id").combine_chunks()
    return before.column("person_id").filter(pc.and_not(same, pc.is_in(before.column("person_id"), changed)))


def day_rows(sessions: pa.Table, deeds: pa.Table, metrics: Metrics, schema: pa.Schema) -> pa.Table:
    """The rows of some persons, with `schema`.

    Args:
      sessions: all of theirs (`moved_schema`).
      deeds: of theirs, as `deeds_by_day` gives.
      metrics: which sums there are, and in which zone days begin.
      schema: of the table without the run columns.
    """
    persons = pc.unique(
        pa.chunked_array([*sessions.column("person_id").chunks, *deeds.column("person_id").chunks], TEXT)
    )

    starts = _keys(persons, sessions.column("person_id"), _days(sessions.column(START_DATE)))
    ended = local_micros(column_micros(sessions.column("end_timestamp")), metrics.reporting_timezone) // _DAY
    ends = _keys(persons, sessions.column("person_id"), ended)
    done = _keys(persons, deeds.column("person_id"), _days(deeds.column("date")))
    every = np.unique(np.concatenate([starts, ends, done]))
    person, day = every // _DAYS, every % _DAYS

    values: dict[str, Any] = {name: _spread(every, done, deeds.column(name)) for name in _COUNTED}
    is_social_active = np.logical_or.reduce([values[name] > 0 for name in _COUNTED])
    values |= {name: _spread(every, *column) for name, column in _sums(sessions, starts, metrics).items()}
    is_app_active = np.isin(every, np.concatenate([starts, ends]))
    previous = _previous(person, is_app_active)
    is_user = np.zeros(len(persons), bool)
    is_user[starts[np.asarray(pc.is_valid(sessions.column("user_id")))] // _DAYS] = True
    is_user[done // _DAYS] = True
    ids = persons.take(pa.array(person))
    values |= {
        "person_id": ids,
        "date": dates(day),
        "user_id": pc.if_else(pa.array(is_user[person]), ids, pa.scalar(None, TEXT)),
        "is_app_active": is_app_active,
        "is_social_active": is_social_active,
        "is_first_day": is_app_active & (previous < 0),
        "previous_active_date": pc.if_else(pa.array(previous >= 0), dates(day[previous]), pa.scalar(None, DATE)),
    }
    return pa.table([pa.array(values[field.name], field.type) for field in schema], schema=schema)


def _keys(persons: pa.Array, ids: pa.ChunkedArray, days: Ints) -> Ints:
    """Person and day as one integer, by which the rows are in order."""
    return np.asarray(pc.index_in(ids, value_set=persons).cast(INTEGER).to_numpy()) * _DAYS + days


def _spread(every: Ints, at: Ints, values: Any) -> npt.NDArray[Any]:
    """Values of some of the rows (`at` are their keys, `every` those of all), 0 for the others."""
    values = np.asarray(values)
    whole = np.zeros(len(every), values.dtype)
    whole[np.searchsorted(every, at)] = values
    return whole


def _sums(sessions: pa.Table, keys: Ints, metrics: Metrics) -> dict[str, tuple[Ints, Any]]:
    """Column → the keys of days on which sessions start, and its values."""
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    sizes = np.diff(np.append(first, len(keys)))
    if not len(keys):
        names = (
            "sessions_started",
            "event_count",
            "session_duration",
            *(column.name for column in metrics.day_rollups),
        )
        return {name: (keys, np.zeros(0, np.int64)) for name in names}
    [batch] = sessions.take(pa.array(order)).combine_chunks().to_batches()
    by_day = Persons(batch, first, sizes)
    values = {
        "sessions_started": sizes,
        "event_count": np.add.reduceat(by_day.ints("event_count"), first),
        "session_duration": exact_sum(by_day.floats("session_duration"), first, SECOND),
        **{column.name: column.of(by_day) for column in metrics.day_rollups},
    }
    return {name: (keys[first], column) for name, column in values.items()}


def _previous(person: Ints, active: npt.NDArray[np.bool_]) -> Ints:
    """Of each row the nearest active one before it of the same person, −1 for none."""
    place = np.arange(len(person))
    begins = np.maximum.accumulate(np.where(np.diff(person, prepend=-1) != 0, place, 0))
    latest = np.maximum.accumulate(np.where(active, place, -1))
    before = np.concatenate([[-1], latest])[:-1]
    return np.where(before >= begins, before, -1)


def _days(column: pa.ChunkedArray) -> Ints:
    return np.asarray(column.cast(pa.int32()).to_numpy()).astype(np.int64)


def person_days(metrics: Metrics, target: Target, loaded_by: LoadedBy, keep: bool) -> JoinFunction:
    """The join function that makes rows of person_days, with their change.

    Its tables, all of one partition of persons: `sessions` (`moved_schema`), `events`, `invites`, `users` and
    `published` rows. With `keep`, days of persons who are `unaffected` stay as they are.
    """
    changes = compare(target, loaded_by)

    def days(tables: dict[str, pa.Table]) -> Results:
        sessions, published = tables["sessions"], tables["published"]
        deeds = deeds_by_day(tables["events"], tables["invites"], tables["users"], metrics.reporting_timezone)
        kept = unaffected(sessions, deeds, published) if keep else pa.array([], TEXT)

        def stay(rows: pa.Table) -> pa.ChunkedArray:
            return pc.is_in(rows.column("person_id"), kept)

        staying = published.filter(stay(published))
        live = sessions.filter(pc.not_equal(sessions.column(CHANGE), "deleted"))
        live, deeds, published = (rows.filter(pc.invert(stay(rows))) for rows in (live, deeds, published))
        made = changes({"rows": day_rows(live, deeds, metrics, target.content), "published": published})
        counts = Counter(change_counts(target.name, np.repeat("unchanged", staying.num_rows))) + Counter(made.counts)
        return Results([*made.rows, as_they_were(staying, "unchanged")], counts=counts)

    return days


class MakePersonDays(beam.PTransform):
    """(session rows, social events, invites, users, published rows) → `Outcome` of person_days rows with their change.

    Session rows (`sessions`) have their change. All are PCollection[pa.RecordBatch]. See `person_days`.
    """

    def __init__(
        self,
        metrics: Metrics,
        sessions: pa.Schema,
        target: Target,
        loaded_by: LoadedBy,
        partitions: int,
        *,
        keep: bool,
    ) -> None:
        super().__init__()
        self._function = person_days(metrics, target, loaded_by, keep)
        self._sides = {
            "sessions": Side("person_id", moved_schema(metrics, sessions)),
            "events": Side("user_id", columns_of(SOCIAL_EVENT, "user_id", "createdAt")),
            "invites": Side("user_id", columns_of(INVITE, "user_id", "createdAt", "status")),
            "users": Side("user_id", columns_of(USERS, "user_id")),
            "published": Side("person_id", target.schema),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by person."""
        return dict(zip(self._sides, inputs, strict=True)) | "Join by person" >> JoinByKey(
            self._function, self._sides, self._partitions
        )
