"""Numbers → rows: the events export as Arrow batches, in order of arrival."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sample import flaws
from sample.dice import Dice, Flags, Ints, uuids
from sample.flaws import Flaw
from sample.payloads import ANON_MARK, EMAIL_MARK, Appearance, Payloads, join
from sample.people import distinct_id, is_anonymous
from sample.timeline import (
    DAY,
    IDENTIFY,
    NAMES,
    OTHER,
    Cast,
    Events,
    Plan,
    Slot,
    arrivals,
    slots,
)

TIMESTAMP = pa.timestamp("us", "UTC")
_EVENTS: dict[str, pa.DataType] = {
    "uuid": pa.string(),
    "event": pa.string(),
    "properties": pa.string(),
    "distinct_id": pa.string(),
    "timestamp": TIMESTAMP,
    "bq_ingested_timestamp": TIMESTAMP,
    "team_id": pa.int64(),
    "elements": pa.string(),
    "set": pa.string(),
    "set_once": pa.string(),
    "ip": pa.string(),
    "site_url": pa.string(),
}
EVENTS_SCHEMA = pa.schema(_EVENTS)
_BATCH = 4_096
_1970, _2099 = 0, 4_070_908_800_000  # milliseconds
_NAMES = pa.array([*NAMES, *sorted(set(flaws.NAMES.values()))])
_OTHER_NAMES = {flaw: _NAMES.index(name).as_py() for flaw, name in flaws.NAMES.items()}


def event_batches(plan: Plan, of: Iterator[Slot] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of `posthog.events` in order of arrival, in batches of up to 4,096 rows.

    A batch never spans two days of arrival (UTC). Memory does not grow with `plan.events`.

    Args:
        plan: what to make.
        of: `slots(plan)`, for a caller that looks at the sessions on their way.
    """
    rows = Rows(plan)
    for events in arrivals(slots(plan) if of is None else of):
        days = events["arrival"] // DAY
        starts = np.flatnonzero(np.diff(days, prepend=-1)).tolist()
        for start, end in pairwise([*starts, len(events)]):
            for first in range(start, end, _BATCH):
                yield rows.batch(events[first : min(first + _BATCH, end)])


def session_ids(dice: Dice, session: Ints, opened: Ints, is_4: Flags) -> pa.StringArray:
    """`$session_id` by session number: UUIDs of version 7 from the 4.x SDK, version 4 from 3.x."""
    return uuids(dice, "session/id", session, opened, is_4)


def anonymous_ids(plan: Plan, cast: Cast, opened: Ints) -> pa.StringArray:
    """The distinct id before a login: a person's own if they never log in, else the session's."""
    never = is_anonymous(cast.person)
    first_use = plan.moments(np.zeros(1))[0] - cast.person % 500 * (DAY // 7)
    ids = np.where(never, cast.person, (1 << 40) + cast.session)
    return uuids(Dice(plan.seed), "anonymous/id", ids, np.where(never, first_use, opened))


class Rows:
    """Makes Arrow rows of events; holds the pool of texts, nothing about the events."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._dice = Dice(plan.seed)
        self._payloads = Payloads()

    def batch(self, events: Events) -> pa.RecordBatch:
        """One row an event."""
        session, place, row = np.unique(events["session"], return_index=True, return_inverse=True)
        opened = events["opened"][place]
        cast = Cast.of(self._plan, session)
        look = Appearance.of(self._dice, session, cast.person)
        ids = session_ids(self._dice, session, opened, look.is_4)
        member = join('"$session_id":"', ids, '",').take(row)
        anonymous = anonymous_ids(self._plan, cast, opened)
        whole = look.take(row)
        properties = self._payloads.properties(self._dice, events, whole, member)
        properties, set_ = _patch(properties, events, cast.person[row], anonymous.take(row))

        flaw = events["flaw"]
        size = len(events)
        empty = pa.repeat("", size)
        uuid = uuids(self._dice, "event/uuid", events["sequence"], events["timestamp"])
        columns: list[pa.Array[Any]] = [
            _null_where(flaw == Flaw.UUID_NULL, uuid),
            _null_where(flaw == Flaw.EVENT_NULL, _names(events)),
            properties,
            self._distinct_ids(cast, anonymous, row, events),
            _timestamps(events),
            stamps(events["arrival"] * 1_000),
            pa.repeat(pa.scalar(1, pa.int64()), size),
            empty,
            set_,
            pa.nulls(size, pa.string()),
            self._payloads.ip(whole),
            empty,
        ]
        return pa.RecordBatch.from_arrays(columns, schema=EVENTS_SCHEMA)

    @staticmethod
    def _distinct_ids(cast: Cast, anonymous: pa.StringArray, row: Ints, events: Events) -> pa.StringArray:
        """Of whoever acts; null or blank where that is the flaw."""
        persons = np.concatenate([cast.person, cast.other]).tolist()
        known = pa.array([distinct_id(person) for person in persons], pa.string())
        sessions = len(cast.session)
        flaw = events["flaw"]
        actors = pa.concat_arrays([anonymous, known, pa.array(["  "])])
        index = events["who"].astype(np.int64) * sessions + row
        index[flaw == Flaw.DISTINCT_ID_BLANK] = (OTHER + 1) * sessions
        return _null_where(flaw == Flaw.DISTINCT_ID_NULL, actors.take(index))


def _patch(
    properties: pa.StringArray, events: Events, person: Ints, anonymous: pa.StringArray
) -> tuple[pa.StringArray, pa.StringArray]:
    """Fill in what `$identify` says, here and in `set`, and apply the flaws; a few rows each."""
    size = len(events)
    set_: list[str | None] = [None] * size
    patched = (events["flaw"] > 0) | (events["kind"] == IDENTIFY)
    texts: list[str | None] = []
    for row in np.flatnonzero(patched).tolist():
        text = properties[row].as_py()
        if events["kind"][row] == IDENTIFY:
            email = f"user{person[row]}@example.com"
            text = text.replace(ANON_MARK, anonymous[row].as_py()).replace(EMAIL_MARK, email)
            set_[row] = f'{{"email":"{email}","plan":"free"}}'
        patch = flaws.PATCHES.get(Flaw(events["flaw"][row]))
        texts.append(patch(text) if patch else text)
    values = [properties, pa.array(patched), pa.array(texts, pa.string())]
    whole: pa.StringArray = pc.call_function("replace_with_mask", values)
    return whole, pa.array(set_, pa.string())


def _null_where(where: Flags, column: pa.StringArray) -> pa.StringArray:
    values = [pa.array(where), pa.scalar(None, pa.string()), column]
    chosen: pa.StringArray = pc.call_function("if_else", values)
    return chosen


def _names(events: Events) -> pa.StringArray:
    index: npt.NDArray[np.int64] = events["kind"].astype(np.int64)
    for flaw, name in _OTHER_NAMES.items():
        index[events["flaw"] == flaw] = name
    return _NAMES.take(index)


def _timestamps(events: Events) -> pa.Array[Any]:
    """Microseconds; null, absurd, or three days ahead of the arrival where that is the flaw."""
    flaw = events["flaw"]
    when = events["timestamp"].copy()
    when[flaw == Flaw.TIMESTAMP_1970] = _1970
    when[flaw == Flaw.TIMESTAMP_2099] = _2099
    ahead = flaw == Flaw.CLOCK_AHEAD
    when[ahead] = events["arrival"][ahead] + 3 * DAY
    return stamps(when * 1_000, flaw == Flaw.TIMESTAMP_NULL)


def stamps(microseconds: Ints, null: Flags | None = None) -> pa.Array[Any]:
    """A TIMESTAMP column."""
    return pa.array(microseconds, mask=null).cast(TIMESTAMP)
