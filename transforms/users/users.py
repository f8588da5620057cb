"""Firebase users → one row a user, and the ids by which a session finds its user.

The export holds versions of a document, of which the latest counts (`transforms.users.documents`), and several users
with one phone number: an account made anew, a number that changed hands without the old account giving it up. Of a
`user_id`, and of the users with one phone number (in its normal form, `transforms.ids.phones`), the most complete row
stays, then the smallest `user_id`. The ids of the others are *aliases* of the user that stays: they are one person, so
their sessions and social events are that user's.

Only the tables of this run count: a user who is not there anymore owns nothing, and a number that another user has now
is that user's, for older sessions too. Blank texts and words that identify nobody (`transforms.ids.posthog_rules`) are
null.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.ids.excluded import Excluded
from transforms.ids.phones import are_ambiguous, phone_forms
from transforms.ids.posthog_rules import known_ids
from transforms.ids.pseudonyms import PLAIN, Pseudonyms
from transforms.machinery.counts import some_of
from transforms.machinery.join import EachBatch, JoinByKey, JoinFunction, Outcome, Results, Side, all_counts
from transforms.machinery.keys import first_of_each, grouped, rows_of_keys
from transforms.machinery.steps import flat_map
from transforms.schemas.fields import BOOLEAN, TEXT, bare, columns_of
from transforms.schemas.inputs import DOCUMENT_ID, EXPORTED_AT, PROFILE, USERS
from transforms.users.documents import DOCUMENT_KEY, latest_of_each, repeat_counts, with_document_key

#: Join key of the last deduplication: the phone number's normal form, or the user id where there is none.
PHONE_KEY = "_phone_key"
_PHONE = "phone:"
#: Count of rows, and of latest versions of documents, that belong to nobody.
WITHOUT_ID = "users.without_user_id"

IDENTITIES = pa.schema([("key", TEXT), ("match", TEXT), ("excluded", BOOLEAN)])
"""`key` is a phone number's normal form or a user id; `match` is "0" (phone) or "1" (user id), then the user that is
kept, not hashed: the smallest match of a session wins. `excluded`: the person is on the list of excluded ids."""
ALIASES = pa.schema([*columns_of(USERS, "user_id"), ("kept", TEXT), ("excluded", BOOLEAN)])
"""The user ids that were dropped for a phone number, and the user that was kept for it; and those of excluded persons.
"""


def clean_users(users: pa.Table) -> Results:
    """Rows of `firebase.users` with `DOCUMENT_KEY`; those of no document and no user id are counted and left out."""
    columns = {
        name: blank_to_null(users.column(name))
        if pa.types.is_string(users.schema.field(name).type)
        else users.column(name)
        for name in users.schema.names
    }
    columns["phoneNumber"] = known_ids(pc.utf8_trim_whitespace(columns["phoneNumber"]))
    columns["user_id"] = known_ids(columns["user_id"])
    cleaned = pa.table(columns, schema=users.schema)
    known = cleaned.filter(
        pc.or_(pc.is_valid(cleaned.column("user_id")), pc.is_valid(cleaned.column(DOCUMENT_ID.name)))
    )
    counts = some_of({WITHOUT_ID: users.num_rows - known.num_rows})
    return Results([with_document_key(known, ["user_id"])], counts=counts)


#: The columns of `firebase.users` that `present_accounts` needs.
ACCOUNTS = columns_of(USERS, "user_id", "phoneNumber", DOCUMENT_ID.name, EXPORTED_AT.name)


def present_accounts(users: pa.Table) -> Iterator[tuple[str | None, str | None]]:
    """(user id, phone number) of rows of `ACCOUNTS`, without documents' earlier versions, which say nothing any longer.

    Of versions that were exported at once all are there: which of them counts takes the whole rows.
    """
    [rows] = clean_users(users).rows
    latest = grouped(rows, DOCUMENT_KEY).aggregate([(EXPORTED_AT.name, "max")])
    exported = rows.column(EXPORTED_AT.name)
    newest = rows_of_keys(latest, DOCUMENT_KEY, rows.column(DOCUMENT_KEY), [f"{EXPORTED_AT.name}_max"]).column(0)
    is_earlier = pc.and_(pc.is_valid(newest), pc.less(exported, newest).fill_null(True))
    present = rows.filter(pc.invert(is_earlier))
    yield from zip(present.column("user_id").to_pylist(), present.column("phoneNumber").to_pylist(), strict=True)


def unique_documents(tables: dict[str, pa.Table]) -> Results:
    """`users` rows of a partition of document keys → the latest version of each document, where it has a user id.

    One without is a document that was emptied or deleted: versions of before say nothing any longer.
    """
    users = tables["users"]
    ranked = users.append_column(_MISSING, _missing(users))
    order = [_MISSING, "user_id", *(name for name in users.schema.names if name != DOCUMENT_KEY)]
    latest = latest_of_each(ranked, order).drop_columns([_MISSING])
    known = latest.filter(pc.is_valid(latest.column("user_id")))
    without = some_of({WITHOUT_ID: latest.num_rows - known.num_rows})
    return Results([known], counts=repeat_counts("users", users, latest) | without)


def unique_by_user_id(tables: dict[str, pa.Table]) -> Results:
    """`users` rows of a partition of user ids → one a user id, with `PHONE_KEY`."""
    users = tables["users"]
    kept = first_of_each(_by_rank(users, "user_id"), "user_id")
    phone = kept.column("phoneNumber").combine_chunks()
    ambiguous = pc.sum(are_ambiguous(phone)).as_py() or 0
    counts = {"users.duplicates": users.num_rows - kept.num_rows, "users.phone_ambiguous": ambiguous}
    by_phone = pc.binary_join_element_wise(_PHONE, phone_forms(phone), "")
    by_user = pc.binary_join_element_wise("user:", kept.column("user_id"), "")
    return Results([kept.append_column(PHONE_KEY, pc.coalesce(by_phone, by_user))], counts=some_of(counts))


def unique_by_phone(excluded: frozenset[str] = frozenset(), pseudonyms: Pseudonyms = PLAIN) -> JoinFunction:
    """The join function of `users` rows of a partition of phone keys → one a phone number; without one all stay.

    Gives `aliases` (`ALIASES`) and `identities` (`IDENTITIES`) as well. Who shares a phone number with an excluded
    user is excluded: they are one person. With `pseudonyms` ids that come out are hashed, as those of `excluded` are,
    but for the user of a `match`: which of several is the smallest must not depend on the key.
    """
    listed = Excluded(excluded)

    def unique(tables: dict[str, pa.Table]) -> Results:
        users = _by_rank(tables["users"], PHONE_KEY)
        codes = users.column(PHONE_KEY).combine_chunks().dictionary_encode().indices.to_numpy()
        _, first, group = np.unique(codes, return_index=True, return_inverse=True)
        key = users.column(PHONE_KEY)
        phones = pc.if_else(pc.starts_with(key, _PHONE), pc.utf8_slice_codeunits(key, len(_PHONE)), None)
        plain_owner = users.column("user_id").take(pa.array(first[group]))
        phones, users = pseudonyms.ids(phones), pseudonyms.users(users.drop_columns([PHONE_KEY]))
        kept = users.take(pa.array(first))
        ids, owner = users.column("user_id"), kept.column("user_id").take(pa.array(group))
        out = np.zeros(len(first), bool)
        np.logical_or.at(out, group, listed.mask(ids) | listed.mask(phones))
        marks = pa.array(out[group])
        aliases = pa.table({"user_id": ids, "kept": owner, "excluded": marks}, schema=ALIASES)
        aliases = aliases.filter(pc.or_(pc.not_equal(ids, owner), marks))
        identities = []
        for level, keys in (("0", phones), ("1", ids)):
            match = pc.binary_join_element_wise(level, plain_owner, "")
            known = pa.table({"key": keys, "match": match, "excluded": marks}, schema=IDENTITIES)
            identities.append(known.filter(pc.is_valid(keys)))
        return Results(
            [kept],
            {"aliases": [aliases], "identities": identities},
            some_of({"users.duplicates": users.num_rows - kept.num_rows}),
        )

    return unique


def requested_identities(_: None, requested: frozenset[str]) -> Iterator[pa.RecordBatch]:
    """The ids of deletion requests as `IDENTITIES`: whoever's they are, a session with one of them is excluded."""
    ids = pa.array(sorted(requested), TEXT)
    keys = pc.unique(pa.concat_arrays([ids, phone_forms(ids)]))
    match = pc.binary_join_element_wise("1", keys, "")
    yield pa.RecordBatch.from_pydict(
        {"key": keys, "match": match, "excluded": pa.repeat(True, len(keys))}, schema=IDENTITIES
    )


class RequestedIdentities(beam.PTransform):
    """PBegin → PCollection[pa.RecordBatch] of `IDENTITIES`; see `requested_identities`."""

    def __init__(self, requested: frozenset[str]) -> None:
        super().__init__()
        self._requested = requested

    def expand(self, begin: beam.pvalue.PBegin) -> PCollection[pa.RecordBatch]:
        """The ids go to workers in their own way (`pipeline.staged_ids`), not as elements of the graph."""
        starts = begin | "Once" >> beam.Create([None] if self._requested else [])
        return starts | "Ids" >> flat_map(requested_identities, self._requested, takes=type(None))


class UniqueUsers(beam.PTransform):
    """Record batches of `firebase.users` → `Outcome` of unique users with the same columns.

    Its other outputs are `aliases` and `identities`; see `unique_by_phone`.
    """

    def __init__(self, partitions: int, excluded: frozenset[str] = frozenset(), pseudonyms: Pseudonyms = PLAIN) -> None:
        super().__init__()
        self._partitions, self._excluded, self._pseudonyms = partitions, excluded, pseudonyms

    def expand(self, users: PCollection[pa.RecordBatch]) -> Outcome:
        """Three shuffles: by document, by user id, by phone number."""
        n, users_schema = self._partitions, bare(USERS)
        with_document, with_phone = (users_schema.append(pa.field(k, TEXT)) for k in (DOCUMENT_KEY, PHONE_KEY))
        clean = users | "Clean" >> EachBatch(clean_users)
        documents = {"users": clean.rows} | "Unique by document" >> JoinByKey(
            unique_documents, {"users": Side(DOCUMENT_KEY, with_document)}, n
        )
        by_id = {"users": documents.rows} | "Unique by user id" >> JoinByKey(
            unique_by_user_id, {"users": Side("user_id", users_schema)}, n
        )
        unique = {"users": by_id.rows} | "Unique by phone" >> JoinByKey(
            unique_by_phone(self._excluded, self._pseudonyms),
            {"users": Side(PHONE_KEY, with_phone)},
            n,
            also=("aliases", "identities"),
        )
        counts = all_counts(clean, documents, by_id, unique) | "Counts" >> beam.Flatten()
        return unique._replace(counts=counts)


_MISSING = "_missing"


def _missing(users: pa.Table) -> pa.ChunkedArray:
    """How many columns of the profile are null."""
    return sum_of([pc.is_null(users.column(one.name)).cast(pa.int8()) for one in PROFILE])


def _by_rank(users: pa.Table, key: str) -> pa.Table:
    """By key, the row with most of its profile first, then the smallest user id, then the smallest row."""
    ranked = users.append_column(_MISSING, _missing(users))
    names = (key, _MISSING, "user_id", *users.schema.names)
    return users.take(pc.sort_indices(ranked, sort_keys=[(name, "ascending", "at_end") for name in names]))


def sum_of(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Element-wise sum of one or more numeric columns."""
    total = columns[0]
    for column in columns[1:]:
        total = pc.add(total, column)
    return total


def blank_to_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A text of nothing but blanks is no text."""
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return pc.if_else(blank, pa.scalar(None, texts.type), texts)
