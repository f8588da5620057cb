"""Firebase's social events → one row an event, under the user that is kept.

The latest version of a document decides who created it and when. Rows without a document id are one event when they
agree in both: the export is at least once, and a user creates no two events in one microsecond.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.join import EachBatch, JoinByKey, Outcome, Result, Side, all_counts
from transforms.machinery.keys import rows_of_keys
from transforms.schemas.columns import TEXT, bare
from transforms.schemas.inputs import DOCUMENT_ID, FIREBASE_EVENTS, SOCIAL_EVENT
from transforms.users.documents import DOCUMENT_KEY, latest_of_each, repeat_counts, with_document_key
from transforms.users.users import ALIASES

#: What is left of a social event.
SOCIAL_EVENTS = bare(SOCIAL_EVENT)


def keyed_events(events: pa.Table) -> Iterator[Result]:
    """Rows of `firebase.events` with `DOCUMENT_KEY`; those that are incomplete, and of no document, are left out."""
    complete = _is_complete(events)
    known = events.filter(pc.or_(complete, pc.is_valid(events.column(DOCUMENT_ID.name))))
    yield from _incomplete(events.num_rows - known.num_rows)
    yield with_document_key(known, SOCIAL_EVENTS.names)


def unique_events(tables: dict[str, pa.Table]) -> Iterator[Result]:
    """`events` of a partition of document keys → `SOCIAL_EVENTS`, one a document."""
    events = tables["events"]
    latest = latest_of_each(events, SOCIAL_EVENTS.names)
    yield from repeat_counts("firebase_events", events, latest)
    known = latest.filter(_is_complete(latest))
    yield from _incomplete(latest.num_rows - known.num_rows)
    yield known.select(SOCIAL_EVENTS.names)


def of_kept_users(tables: dict[str, pa.Table]) -> Iterator[Result]:
    """`events` (`SOCIAL_EVENTS`) and `aliases` (`ALIASES`) of the same user ids → events of the kept users."""
    events = tables["events"]
    kept = rows_of_keys(tables["aliases"], "user_id", events.column("user_id"), ["kept"]).column("kept")
    owner = pc.coalesce(kept, events.column("user_id"))
    yield pa.table({"user_id": owner, "createdAt": events.column("createdAt")}, schema=SOCIAL_EVENTS)


class UniqueSocialEvents(beam.PTransform):
    """(rows of `firebase.events`, `ALIASES`) → `Outcome` of `SOCIAL_EVENTS`; all record batches."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """Two shuffles: by document, then by user."""
        rows, aliases = inputs
        keyed = rows | "Key" >> EachBatch(keyed_events)
        documents = {"events": Side(DOCUMENT_KEY, bare(FIREBASE_EVENTS).append(pa.field(DOCUMENT_KEY, TEXT)))}
        unique = {"events": keyed.rows} | "Unique" >> JoinByKey(unique_events, documents, self._partitions)
        users = {"events": Side("user_id", SOCIAL_EVENTS), "aliases": Side("user_id", ALIASES)}
        owned = {"events": unique.rows, "aliases": aliases} | "Of kept users" >> JoinByKey(
            of_kept_users, users, self._partitions
        )
        return owned._replace(counts=all_counts(keyed, unique) | "Counts" >> beam.Flatten())


def _is_complete(events: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(events.column("user_id")), pc.is_valid(events.column("createdAt")))


def _incomplete(number: int) -> Iterator[Result]:
    if number:
        yield "firebase_events.incomplete", number
