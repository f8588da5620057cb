"""What users did with each other, as Firebase keeps it → one row a document, under the user that is kept.

Two of its tables are alike: social events that users created, and invites to them that users received. The latest
version of a document decides everything about it. Rows without a document id are one where they agree in what nobody
does twice: the export is at least once, and a user creates no two events in one microsecond. Social events go on under
an id also where their rows have none. Of what excluded persons did nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.ids.excluded import Excluded
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.machinery.counts import some_of
from transforms.machinery.join import EachBatch, JoinByKey, JoinFunction, Outcome, Results, Side, all_counts
from transforms.machinery.keys import rows_of_keys
from transforms.schemas.fields import TEXT, bare
from transforms.schemas.inputs import DOCUMENT_ID, FIREBASE_EVENTS, INVITE, SOCIAL_EVENT, USER_INVITES
from transforms.users.documents import DOCUMENT_KEY, latest_of_each, repeat_counts, with_document_id, with_document_key
from transforms.users.users import ALIASES, blank_to_null

ACCEPTED, PENDING, REJECTED = "accepted", "invited", "rejected"
_IDS = ("document_id", "user_id", "event_id")


@dataclass(frozen=True)
class Deeds:
    """One of the tables: a row says who (`user_id`) did something, and when (`createdAt`)."""

    noun: str
    """In the names of counts."""
    given: pa.Schema
    """Of its rows."""
    kept: pa.Schema
    """The columns that go on."""
    otherwise: tuple[str, ...]
    """Columns that stand for a document's id where there is none."""
    statuses: tuple[str, ...] = ()
    """Values that `status` may have, in any letter case; others are null, and counted."""


SOCIAL_EVENTS = Deeds("firebase_events", bare(FIREBASE_EVENTS), bare(SOCIAL_EVENT), ("user_id", "createdAt"))
INVITES = Deeds(
    "firebase_userinvites",
    bare(USER_INVITES),
    bare(INVITE),
    ("event_id", "user_id", "createdAt"),
    (ACCEPTED, PENDING, REJECTED),
)


def keyed(deeds: Deeds) -> Callable[[pa.Table], Results]:
    """The function that gives rows their `DOCUMENT_KEY` and leaves out those that are incomplete and of no document."""

    def rows_with_key(rows: pa.Table) -> Results:
        for place, name in enumerate(rows.schema.names):
            if name in _IDS:  # a blank id is none, or the rows that have it were versions of one document
                rows = rows.set_column(place, rows.schema.field(place), blank_to_null(rows.column(place)))
        known = rows.filter(pc.or_(_is_complete(rows), pc.is_valid(rows.column(DOCUMENT_ID.name))))
        counts = some_of({f"{deeds.noun}.incomplete": rows.num_rows - known.num_rows})
        return Results([with_document_key(known, deeds.otherwise)], counts=counts)

    return rows_with_key


def unique(deeds: Deeds, pseudonyms: Pseudonyms = PLAIN) -> JoinFunction:
    """The join function of `rows` of a partition of document keys → the columns that go on, one row a document, its
    `user_id` as `pseudonyms` say."""

    def latest_rows(tables: dict[str, pa.Table]) -> Results:
        rows = tables["rows"]
        latest = latest_of_each(rows, deeds.kept.names)
        known = pseudonyms.in_column(latest.filter(_is_complete(latest)).select(deeds.kept.names), "user_id")
        counts = {f"{deeds.noun}.incomplete": latest.num_rows - known.num_rows}
        if DOCUMENT_ID.name in known.schema.names:
            known = with_document_id(known, deeds.otherwise)
        if deeds.statuses:
            place = known.schema.get_field_index("status")
            status = pc.utf8_lower(pc.utf8_trim_whitespace(known.column(place)))
            is_known = pc.is_in(status, pa.array(deeds.statuses))
            counts[f"{deeds.noun}.status_unknown"] = pc.sum(pc.invert(is_known)).as_py() or 0
            known = known.set_column(place, "status", pc.if_else(is_known, status, pa.scalar(None, TEXT)))
        return Results([known], counts=repeat_counts(deeds.noun, rows, latest) | some_of(counts))

    return latest_rows


def of_kept_users(deeds: Deeds, excluded: frozenset[str]) -> JoinFunction:
    """The join function of `rows` (`Deeds.kept`) and `aliases` (`ALIASES`) by user id → rows of the kept users."""
    listed = Excluded(excluded)

    def owned(tables: dict[str, pa.Table]) -> Results:
        rows = tables["rows"]
        users = rows.column("user_id")
        known = rows_of_keys(tables["aliases"], "user_id", users, ["kept", "excluded"])
        out = np.asarray(known.column("excluded").fill_null(False)) | listed.mask(users)
        owner = pc.coalesce(known.column("kept"), users)
        theirs = rows.set_column(rows.schema.get_field_index("user_id"), "user_id", owner)
        counts = some_of({f"{deeds.noun}.excluded_user": int(out.sum())})
        return Results([theirs.filter(pa.array(~out))], counts=counts)

    return owned


class UniqueDeeds(beam.PTransform):
    """(rows of a table, `ALIASES`) → `Outcome` of `Deeds.kept`; all record batches."""

    def __init__(self, deeds: Deeds, excluded: frozenset[str], partitions: int, pseudonyms: Pseudonyms = PLAIN) -> None:
        super().__init__()
        self._deeds, self._excluded, self._partitions, self._pseudonyms = deeds, excluded, partitions, pseudonyms

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """Two shuffles: by document, then by user."""
        rows, aliases = inputs
        known = rows | "Key" >> EachBatch(keyed(self._deeds))
        documents = {"rows": Side(DOCUMENT_KEY, self._deeds.given.append(pa.field(DOCUMENT_KEY, TEXT)))}
        latest = {"rows": known.rows} | "Unique" >> JoinByKey(
            unique(self._deeds, self._pseudonyms), documents, self._partitions
        )
        users = {"rows": Side("user_id", self._deeds.kept), "aliases": Side("user_id", ALIASES)}
        owned = {"rows": latest.rows, "aliases": aliases} | "Of kept users" >> JoinByKey(
            of_kept_users(self._deeds, self._excluded), users, self._partitions
        )
        return owned._replace(counts=all_counts(known, latest, owned) | "Counts" >> beam.Flatten())


def _is_complete(rows: pa.Table) -> pa.ChunkedArray:
    return pc.and_(pc.is_valid(rows.column("user_id")), pc.is_valid(rows.column("createdAt")))
