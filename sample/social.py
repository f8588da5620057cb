"""What users do with each other: social events, their edits, and who is invited to them and says what.

The exports are append-on-edit: a document that changed has several rows, and its latest `etl_loaded_at` counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sample.dice import Dice, Flags, Ints
from sample.people import user_id
from sample.rows import TIMESTAMP, stamps
from sample.timeline import DAY, HOUR, Cast, Plan, Sessions

_MICROS = 1_000
#: The export is loaded in the morning (UTC).
_LOADED = 3 * HOUR * _MICROS
_DAY, _HOUR = DAY * _MICROS, HOUR * _MICROS
_TYPES = ("base", "base", "base", "base", "checkin", "checkin", "fundraising", "ticketed", "ticketed", None)
_CHECKIN = np.array([name == "checkin" for name in _TYPES])
#: Mostly what the app knows; a newer app may know more.
_STATUSES = (*("invited",) * 20, *("accepted",) * 18, *("rejected",) * 10, "maybe", None)
_ANSWERED = np.array([name in ("accepted", "rejected") for name in _STATUSES])

_SOCIAL_EVENTS: dict[str, pa.DataType] = {
    "document_id": pa.string(),
    "title": pa.string(),
    "user_id": pa.string(),
    "createdAt": TIMESTAMP,
    "type": pa.string(),
    "startTime": TIMESTAMP,
    "endTime": TIMESTAMP,
    "eventDate": TIMESTAMP,
    "etl_loaded_at": TIMESTAMP,
}
SOCIAL_EVENTS_SCHEMA = pa.schema(_SOCIAL_EVENTS)
_INVITES: dict[str, pa.DataType] = {
    "document_id": pa.string(),
    "event_id": pa.string(),
    "user_id": pa.string(),
    "createdAt": TIMESTAMP,
    "status": pa.string(),
    "etl_loaded_at": TIMESTAMP,
}
INVITES_SCHEMA = pa.schema(_INVITES)


@dataclass(frozen=True)
class _Created:
    """Social events, one entry each."""

    key: Ints  # what is drawn for it
    number: Ints  # its document
    person: Ints
    when: Ints  # µs


def _created(plan: Plan, sessions: Sessions) -> _Created:
    """Up to three for one session in eight: inside it, at its edges, a microsecond outside or hours away."""
    dice = Dice(plan.seed)
    creates: Flags = sessions.known & (sessions.session % 8 == 1)
    row = np.flatnonzero(creates)
    row = np.repeat(row, 1 + dice.below("social/count", sessions.session[row], 3))
    key = np.arange(len(row)) + (sessions.session[row] << 10)
    _, first, of = np.unique(row, return_index=True, return_inverse=True)
    start, end = sessions.first[row] * _MICROS, sessions.last[row] * _MICROS
    inside = start + ((end - start) * dice.share("social/time", key)).astype(np.int64)
    away = end + _MICROS * (HOUR + dice.below("social/away", key, 40 * HOUR))
    choices = [inside] * 5 + [start, end, start - 1, end + 1, away]
    return _Created(
        key,
        sessions.session[row] // 8 * 3 + np.arange(len(row)) - first[of],
        Cast.of(plan, sessions.session[row]).person,
        np.choose(dice.below("social/choice", key, len(choices)), choices),
    )


def _document_ids(number: Ints) -> list[str]:
    """The names by which the app's events speak of social events too (`sample.payloads`)."""
    return [f"evt_{one:04d}" for one in number.tolist()]


def social_event_rows(plan: Plan, sessions: Sessions) -> pa.RecordBatch:
    """Rows of `firebase.events`: one in six was edited, one in forty is there twice or has no document's id."""
    dice, made = Dice(plan.seed), _created(plan, sessions)
    copies = 1 + (made.number % 6 == 2) + (made.number % 40 == 7)
    row = np.repeat(np.arange(len(copies)), copies)
    copy = np.arange(len(row)) - np.repeat(np.cumsum(copies) - copies, copies)
    key, number, when = made.key[row], made.number[row], made.when[row]
    edited = (number % 6 == 2) & (copy == 1)

    kind = dice.below("social/type", key, len(_TYPES))
    lead = (_HOUR * (1 + dice.below("social/lead", key, 24 * 20))) // 4
    starts = np.where(_CHECKIN[kind], when, when // _HOUR * _HOUR + lead + edited * _DAY)
    ends = starts + _HOUR * (1 + dice.below("social/hours", key, 5))
    form = dice.below("social/form", key, 10)  # with start and end, without end, with a day only, with nothing
    unknown_start, no_day = form >= 7, form == 9
    nobody = dice.below("social/nobody", key, 200) == 0
    never = dice.below("social/never", key, 200) == 0
    users = pa.array([user_id(person) for person in made.person[row].tolist()], pa.string())
    columns = [
        pa.array(_document_ids(number), mask=number % 40 == 9),
        pa.array([f"Party {one}" for one in number.tolist()], pa.string()),
        pc.if_else(pa.array(nobody), pa.scalar(None, pa.string()), users),
        stamps(when, never),
        pa.array(_TYPES, pa.string()).take(pa.array(kind)),
        stamps(starts, unknown_start),
        stamps(ends, unknown_start | (form >= 4)),
        stamps(starts // _DAY * _DAY, no_day),
        stamps(when // _DAY * _DAY + _DAY * (1 + 2 * edited) + _LOADED),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SOCIAL_EVENTS_SCHEMA)


def invite_rows(plan: Plan, sessions: Sessions) -> pa.RecordBatch:
    """Rows of `firebase.userinvites`: up to seven for a social event; of half the answered ones the question too."""
    dice, made = Dice(plan.seed), _created(plan, sessions)
    invited = dice.below("invites/count", made.key, 8)
    event = np.repeat(np.arange(len(invited)), invited)
    place = np.arange(len(event)) - np.repeat(np.cumsum(invited) - invited, invited)
    key = made.key[event] * 8 + place
    status = dice.below("invites/status", key, len(_STATUSES))
    asked = _ANSWERED[status] & (dice.below("invites/asked", key, 2) == 0)
    row = np.repeat(np.arange(len(key)), 1 + asked)
    is_question = asked[row] & (np.diff(row, prepend=-1) > 0)

    event, key, status = event[row], key[row], status[row]
    number, place = made.number[event], place[row]
    person = dice.below("invites/person", key, plan.persons + max(2, plan.persons // 20))
    person = np.where(dice.below("invites/staff", key, 50) == 0, person % 3, person)
    second = (person % 50 == 5) | (person % 50 == 10)  # who has a second account is invited by it
    when = made.when[event] + dice.below("invites/later", key, 30 * HOUR) * _MICROS
    nobody = dice.below("invites/nobody", key, 150) == 0
    never = dice.below("invites/never", key, 150) == 0
    gone = dice.below("invites/gone", key, 100) == 0
    answer = dice.below("invites/answer", key, 12) * _DAY
    ids = [f"inv_{one:05d}_{at}" for one, at in zip(number.tolist(), place.tolist(), strict=True)]
    users = [
        user_id(who, "second account" if other else "")
        for who, other in zip(person.tolist(), second.tolist(), strict=True)
    ]
    events = [
        f"{one}_gone" if is_gone else one for one, is_gone in zip(_document_ids(number), gone.tolist(), strict=True)
    ]
    columns = [
        pa.array(ids, mask=dice.below("invites/id", key, 60) == 0),
        pa.array(events, pa.string()),
        pa.array(users, pa.string(), mask=nobody),
        stamps(when, never),
        pa.array(_STATUSES, pa.string()).take(pa.array(np.where(is_question, 0, status))),
        stamps(when // _DAY * _DAY + _DAY + np.where(is_question, 0, answer + _DAY) + _LOADED),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=INVITES_SCHEMA)
