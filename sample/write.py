"""Rows → a warehouse folder, complete or not at all.

Everything is written into a hidden folder beside the warehouse and renamed at the end. A generation
that is killed leaves that hidden folder (`.NAME.partial-…`, safe to delete) and no warehouse.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sample.dice import Dice
from sample.payloads import Appearance
from sample.people import EXCLUDED_IDS, USERS_SCHEMA, distinct_id, user_batches
from sample.rows import (
    EVENTS_SCHEMA,
    TIMESTAMP,
    anonymous_ids,
    event_batches,
    session_ids,
    stamps,
)
from sample.social import INVITES_SCHEMA, SOCIAL_EVENTS_SCHEMA, invite_rows, social_event_rows
from sample.timeline import Cast, Plan, Sessions, Slot, slots

#: Rows of the sample that a run without data makes for itself.
SAMPLE_EVENTS = 50_000

_ROW_GROUP = 32_768
_FILE = 16 * _ROW_GROUP
_UNIQUE = ("uuid", "properties")  # columns where a dictionary would be a waste
#: Last the one whose presence means "there is data".
_ENTRIES = ("excluded_users.txt", "firebase_etl_prod", "posthog_etl")
_DIRECT = ("Direct", "Direct", "Direct", "Organic Search", "Paid Social", "Referral", "Email", None)

_SESSIONS: dict[str, pa.DataType] = {
    "session_id": pa.string(),
    "distinct_id": pa.string(),
    "start_timestamp": TIMESTAMP,
    "end_timestamp": TIMESTAMP,
    "session_duration": pa.int64(),  # whole seconds, as PostHog exports it
    "autocapture_count": pa.uint64(),  # ClickHouse counts without a sign
    "screen_count": pa.uint64(),
    "channel_type": pa.string(),
    "is_bounce": pa.uint8(),  # and has no booleans: 0 or 1
    "entry_current_url": pa.string(),
}
_SESSIONS_SCHEMA = pa.schema(_SESSIONS)


def write_sample(
    warehouse: Path,
    events: int = SAMPLE_EVENTS,
    seed: int = 7,
    start: date = Plan.start,
    days: int | None = None,
) -> None:
    """Write the five input tables and `excluded_users.txt` below `warehouse` (made if absent).

    Args:
        warehouse: the folder; other things in it stay as they are.
        events: rows of `posthog_etl.events`, repetitions included.
        seed: the same arguments give byte-identical files.
        start: first day (UTC) of the sessions.
        days: how many days they spread over; chosen by `events` when None.

    Raises:
        FileExistsError: there is data already; the message is one line and names it.
        ValueError: an argument makes no sense.
    """
    plan = Plan(events, seed, start, days)
    for entry in _ENTRIES:
        if (warehouse / entry).exists():
            raise FileExistsError(f"{warehouse / entry} exists already: nothing was written")
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        prefix=f".{warehouse.name}.partial-", dir=warehouse.parent, ignore_cleanup_errors=True
    ) as partial:
        made = Path(partial, "warehouse")
        _write(made, plan)
        if not warehouse.exists():
            made.rename(warehouse)
            return
        for entry in _ENTRIES:
            shutil.move(made / entry, warehouse / entry)


def _write(folder: Path, plan: Plan) -> None:
    posthog, firebase = folder / "posthog_etl", folder / "firebase_etl_prod"
    with (
        _Parts(posthog / "events", EVENTS_SCHEMA) as events,
        _Parts(posthog / "sessions", _SESSIONS_SCHEMA) as sessions,
        _Parts(firebase / "users", USERS_SCHEMA) as users,
        _Parts(firebase / "events", SOCIAL_EVENTS_SCHEMA) as social_events,
        _Parts(firebase / "userinvites", INVITES_SCHEMA) as invites,
    ):
        for batch in user_batches(plan.persons, plan.seed, plan.start):
            users.write("users", batch)

        def watched() -> Iterator[Slot]:
            for slot in slots(plan):
                sessions.write("sessions", _session_rows(plan, slot.sessions))
                social_events.write("events", social_event_rows(plan, slot.sessions))
                invites.write("userinvites", invite_rows(plan, slot.sessions))
                yield slot

        for batch in event_batches(plan, watched()):
            day = batch.column("bq_ingested_timestamp")[0].as_py().date()
            events.write(day.isoformat(), batch)
    (folder / "excluded_users.txt").write_text("".join(f"{line}\n" for line in EXCLUDED_IDS))


class _Parts:
    """A table's folder: NAME-000.parquet, NAME-001.parquet, … with row groups of about 32k rows."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        folder.mkdir(parents=True)
        self._folder, self._schema = folder, schema
        self._name = ""
        self._part = 0
        self._written = 0
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Parts:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._close()

    def write(self, name: str, batch: pa.RecordBatch) -> None:
        """Append a batch to the files of this name; a new name ends the files of the one before."""
        if name != self._name:
            self._flush()
            self._close()
            self._name, self._part = name, 0
        self._waiting.append(batch)
        self._rows += len(batch)
        if self._rows >= _ROW_GROUP:
            self._flush()
            if self._written >= _FILE:
                self._close()

    def _flush(self) -> None:
        """Write what waits as one row group; a batch without rows makes a file too."""
        if not self._waiting:
            return
        if self._writer is None:
            repetitive = [name for name in self._schema.names if name not in _UNIQUE]
            self._writer = pq.ParquetWriter(
                self._folder / f"{self._name}-{self._part:03d}.parquet",
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=repetitive,  # the stub has bool only
            )
            self._part += 1
        table = pa.Table.from_batches(self._waiting, self._schema)
        self._writer.write_table(table, row_group_size=max(1, self._rows))
        self._written += self._rows
        self._waiting, self._rows = [], 0
        del table
        pa.default_memory_pool().release_unused()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._written = None, 0


def _session_rows(plan: Plan, sessions: Sessions) -> pa.RecordBatch:
    """PostHog's sessions: 5 % are absent, 5 % stale, 1 % there twice with different contents."""
    dice = Dice(plan.seed)
    there = np.flatnonzero(sessions.session % 20 != 9)
    again = np.flatnonzero(sessions.session % 100 == 14)
    row = np.concatenate([there, again])
    first_copy = np.arange(len(row)) < len(there)
    session, opened = sessions.session[row], sessions.opened[row]
    cast = Cast.of(plan, session)
    look = Appearance.of(dice, session, cast.person)
    start, last = sessions.first[row], sessions.last[row]
    stale = (session % 20 == 6) | ((session % 100 == 14) & first_copy)
    end = np.where(stale, start + (last - start) * 3 // 5, last)
    seen = np.where(stale, 3, 5)
    autocaptures = sessions.autocaptures[row] * seen // 5
    screens = sessions.screens[row] * seen // 5
    channel = dice.below("session/channel", session * 2 + first_copy, len(_DIRECT))
    bounce = (end - start < 10_000) & (autocaptures == 0)
    unknown = dice.below("session/bounce", session, 25) == 0
    persons = [distinct_id(person) for person in cast.person.tolist()]
    urls = np.where(dice.below("session/url", session, 10) == 0, 1, 0)
    known = sessions.known[row]
    columns = [
        session_ids(dice, session, opened, look.is_4),
        pc.if_else(pa.array(known), pa.array(persons, pa.string()), anonymous_ids(plan, cast, opened)),
        stamps(start * 1_000),
        stamps(end * 1_000),
        pa.array((end - start) // 1_000),
        pa.array(autocaptures, pa.uint64()),
        pa.array(screens, pa.uint64()),
        pa.array(_DIRECT, pa.string()).take(channel),
        pa.array(bounce.astype(np.uint8), mask=unknown),
        pa.array([None, "https://app.example.com/invite"], pa.string()).take(urls),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_SESSIONS_SCHEMA)
