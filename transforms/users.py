"""Firebase users → one row a user, and the keys by which a distinct id finds its user.

The export holds duplicates: of a `user_id`, and of a `phoneNumber` under several `user_id`s. The most
complete row stays, then the smallest `user_id`; a row that is dropped is as if it did not exist.
Blank texts are null.
"""

from __future__ import annotations

from collections.abc import Iterator

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.join import EachBatch, JoinByKey, Outcome, Side, all_counts

#: The columns that sessions and persons take from a user, in table order; completeness counts them.
PROFILE = (
    "fullName",
    "phoneNumber",
    "username",
    "email",
    "contactAccessGranted",
    "businessUser",
    "createdAt",
)
#: Join key of the second deduplication: the phone number, or the user id where there is none.
PHONE_KEY = "_phone_key"

IDENTITIES = pa.schema([("key", pa.string()), ("match", pa.string())])
"""`key` is a phone number or user id; `match` is "0" (phone) or "1" (user id), then the user id: the
smallest match of a session wins."""


def clean_users(users: pa.Table) -> Iterator[pa.Table | tuple[str, int]]:
    """Blank texts → null; rows without a user id are counted and left out."""
    columns = {
        name: _blank_to_null(users.column(name))
        if pa.types.is_string(users.schema.field(name).type)
        else users.column(name)
        for name in users.schema.names
    }
    cleaned = pa.table(columns, schema=users.schema)
    known = cleaned.filter(pc.is_valid(cleaned.column("user_id")))
    if known.num_rows < users.num_rows:
        yield "users.without_user_id", users.num_rows - known.num_rows
    yield known


def unique_by_user_id(tables: dict[str, pa.Table]) -> Iterator[pa.Table | tuple[str, int]]:
    """`users` rows of a partition of user ids → one a user id, with `PHONE_KEY`."""
    users = tables["users"]
    kept = _best(users, "user_id")
    yield "users.duplicates", users.num_rows - kept.num_rows
    phone = kept.column("phoneNumber")
    by_phone = pc.binary_join_element_wise("phone", phone, ":")
    by_user = pc.binary_join_element_wise("user", kept.column("user_id"), ":")
    yield kept.append_column(PHONE_KEY, pc.coalesce(by_phone, by_user))


def unique_by_phone(tables: dict[str, pa.Table]) -> Iterator[pa.Table | tuple[str, int]]:
    """`users` rows of a partition of phone keys → one a phone number; without a number all stay."""
    users = tables["users"]
    kept = _best(users, PHONE_KEY)
    yield "users.duplicates", users.num_rows - kept.num_rows
    yield kept.drop_columns([PHONE_KEY])


def identities(users: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Unique users → `IDENTITIES`: their phone numbers and user ids."""
    ids = users.column("user_id")
    for level, keys in (("0", users.column("phoneNumber")), ("1", ids)):
        matches = pc.binary_join_element_wise(level, ids, "")
        yield pa.RecordBatch.from_arrays([keys, matches], schema=IDENTITIES)


class UniqueUsers(beam.PTransform):
    """Record batches of `firebase.users` (with `schema`) → `Outcome` of unique users with the same schema."""

    def __init__(self, schema: pa.Schema, partitions: int) -> None:
        super().__init__()
        self._schema, self._partitions = schema, partitions

    def expand(self, users: PCollection[pa.RecordBatch]) -> Outcome:
        """Two shuffles: by user id, then by phone number."""
        keyed = self._schema.append(pa.field(PHONE_KEY, pa.string()))
        clean = users | "Clean" >> EachBatch(clean_users)
        by_id = {"users": clean.rows} | "Unique by user id" >> JoinByKey(
            unique_by_user_id, {"users": Side("user_id", self._schema)}, self._partitions
        )
        unique = {"users": by_id.rows} | "Unique by phone" >> JoinByKey(
            unique_by_phone, {"users": Side(PHONE_KEY, keyed)}, self._partitions
        )
        counts = all_counts(clean, by_id, unique) | "Counts" >> beam.Flatten()
        return unique._replace(counts=counts)


def _best(users: pa.Table, key: str) -> pa.Table:
    """Per key the row with most of its profile, then the smallest user id, then the smallest row."""
    filled = [pc.is_valid(users.column(name)).cast(pa.int8()) for name in PROFILE]
    missing = pc.subtract(len(PROFILE), sum_of(filled))
    order = pc.sort_indices(
        users.append_column("_missing", missing),
        sort_keys=[(name, "ascending", "at_end") for name in (key, "_missing", "user_id", *users.schema.names)],
    )
    return first_of_each(users.take(order), key)


def sum_of(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    """Element-wise sum of one or more numeric columns."""
    total = columns[0]
    for column in columns[1:]:
        total = pc.add(total, column)
    return total


def first_of_each(table: pa.Table, key: str) -> pa.Table:
    """The first row of each value of a string column without nulls."""
    codes = table.column(key).combine_chunks().dictionary_encode().indices
    _, first = np.unique(codes.to_numpy(zero_copy_only=False), return_index=True)
    return table.take(pa.array(first))


def _blank_to_null(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    blank = pc.equal(pc.utf8_trim_whitespace(texts), "")
    return pc.if_else(blank, pa.scalar(None, texts.type), texts)
