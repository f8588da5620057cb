"""Who there is: persons by number, how they log in, and the rows of `firebase.users`.

A person is a number. How they log in and their identifiers follow from it alone, so nothing about
persons has to be kept in memory, and the excluded ids are constants.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa

from sample.dice import Dice, Flags, Ints

_USERS: dict[str, pa.DataType] = {
    "user_id": pa.string(),
    "phoneNumber": pa.string(),
    "fullName": pa.string(),
    "username": pa.string(),
    "email": pa.string(),
    "contactAccessGranted": pa.bool_(),
    "businessUser": pa.bool_(),
    "createdAt": pa.timestamp("us", "UTC"),
}
USERS_SCHEMA = pa.schema(_USERS)

#: Area codes whose last two digits differ: no toll-free numbers, services or unassignable codes.
_AREAS = [code for code in range(201, 1000) if code // 10 % 10 != code % 10]
#: Persons from this number on have no phone number: the reserved range is used up.
PHONES = len(_AREAS) * 100
_BATCH = 8_192

_FIRST = ("Ada", "Ben", "Cleo", "Dana", "Eli", "Faye", "Gus", "Hana", "Iris", "Jude", "Kai", "Lena")
_LAST = ("Able", "Birch", "Castle", "Dale", "Ember", "Field", "Grove", "Hill", "Juniper", "Lake")


def phone(person: int) -> str:
    """The phone number of a person below `PHONES`: +1, area code, 555-01 and two digits."""
    slot = person * 30_011 % PHONES
    return f"+1{_AREAS[slot % len(_AREAS)]}55501{slot // len(_AREAS):02d}"


def user_id(person: int, copy: str = "") -> str:
    """A person's Firebase-like user id, 28 letters and digits; `copy` names a second account."""
    digest = hashlib.blake2b(f"{person}{copy}".encode(), digest_size=21).digest()
    return base64.b64encode(digest, altchars=b"Zq").decode()


def logs_in_by_phone(person: int) -> bool:
    """Whether a logged-in person's distinct id is the phone number; the user id otherwise."""
    return person < PHONES and person % 10 != 4 and person != 2


def distinct_id(person: int) -> str:
    """The distinct id of a person while logged in."""
    return phone(person) if logs_in_by_phone(person) else user_id(person)


def is_anonymous(persons: Ints) -> Flags:
    """Which persons never log in (a quarter)."""
    return np.asarray(persons % 4 == 3)


#: The persons of `EXCLUDED_IDS` are the first ones; they have sessions of their own.
EXCLUDED_PERSONS = 3
#: Distinct ids of staff, to be left out with `--excluded_users`: two phone numbers and a user id.
EXCLUDED_IDS = tuple(distinct_id(person) for person in range(EXCLUDED_PERSONS))


def user_batches(persons: int, seed: int, start: date) -> Iterator[pa.RecordBatch]:
    """The users table: one row for most persons who log in, second accounts, and users never seen.

    Of the persons with a phone number, about 3 % have it on a second, poorer account, 3 % on a
    richer one, 1 % on one as complete. A few user ids come twice, a few are null, and so are a good
    many of the other values (some of them empty strings).
    """
    dice = Dice(seed)
    unseen = max(2, persons // 20)
    for first in range(0, persons + unseen, _BATCH):
        numbers = np.arange(first, min(first + _BATCH, persons + unseen))
        gaps = dice.words("users/gaps", numbers).tolist()
        ages = dice.below("users/age", numbers, 700 * 86_400).tolist()
        rows = [
            row
            for person, gap, age in zip(numbers.tolist(), gaps, ages, strict=True)
            if person % 4 != 3 and person % 50 != 21  # the latter log in, but have no row
            for row in _accounts(person, gap, _midnight(start) - timedelta(seconds=age + 0.25))
        ]
        yield pa.RecordBatch.from_pylist(rows, schema=USERS_SCHEMA)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _accounts(person: int, gaps: int, created: datetime) -> Iterator[dict[str, object]]:
    """A person's rows; the bits of `gaps` choose the fields that are missing."""
    first, last = _FIRST[person % len(_FIRST)], _LAST[person // len(_FIRST) % len(_LAST)]
    username = f"{first}_{last}_{person}".lower()
    has_phone = logs_in_by_phone(person) or (person < PHONES and person % 20 == 4)
    whole: dict[str, object] = {
        "user_id": user_id(person),
        "phoneNumber": phone(person) if has_phone else None,
        "fullName": f"{first} {last}",
        "username": username,
        "email": f"{username}@example.{'com' if gaps & 1 else 'org'}",
        "contactAccessGranted": bool(gaps & 2),
        "businessUser": gaps >> 2 & 15 == 0,
        "createdAt": created,
    }
    row = dict(whole)
    for bit, field in enumerate(("fullName", "username", "email", "contactAccessGranted"), start=2):
        if gaps >> 4 * bit & 15 < 2:
            row[field] = None
    if gaps >> 40 & 31 == 0:
        row["createdAt"] = None
    if gaps >> 45 & 15 == 0:
        row["email"] = ""
    if gaps >> 49 & 31 == 0:
        row["fullName"] = "  "
    yield row
    other = user_id(person, "second account")
    if person % 400 == 60:
        yield whole | {"user_id": None}
    elif person % 200 == 45:
        yield row | {"email": None, "businessUser": None}
    elif person % 100 == 40:
        yield row | {"user_id": other, "username": row["username"] and f"{username}_2"}
    elif person % 50 == 5:
        yield row | {"user_id": other, "fullName": None, "username": "", "createdAt": None}
    elif person % 50 == 10:
        yield whole | {"user_id": other, "createdAt": created + timedelta(days=3)}
