"""Versions of documents: the latest counts, however the rows are ordered, and repetitions are told apart."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import at
from transforms.schemas.fields import bare
from transforms.schemas.inputs import FIREBASE_EVENTS
from transforms.users.documents import (
    DOCUMENT_KEY,
    latest_of_each,
    repeat_counts,
    with_document_id,
    with_document_key,
)

SCHEMA = bare(FIREBASE_EVENTS)
#: (document, exported at, user) of rows.
ROWS = st.lists(
    st.tuples(st.sampled_from(["d1", "d2", None]), st.sampled_from([None, 1, 2]), st.sampled_from(["u1", "u2", None])),
    max_size=8,
)


def table(rows: list[tuple[Any, Any, Any]]) -> pa.Table:
    """Rows of social events, all created at one time."""
    return pa.Table.from_pylist(
        [
            {
                "document_id": document,
                "etl_loaded_at": None if exported is None else at(exported),
                "user_id": user,
                "createdAt": at(0),
            }
            for document, exported, user in rows
        ],
        SCHEMA,
    )


def latest(rows: list[tuple[Any, Any, Any]]) -> pa.Table:
    """The latest rows."""
    return latest_of_each(with_document_key(table(rows), ["user_id", "createdAt"]), ["user_id", "createdAt"])


@given(ROWS, st.randoms(use_true_random=False))
def test_one_row_a_document_in_any_order(rows: list[Any], rng: random.Random) -> None:
    found = latest(rows)
    assert DOCUMENT_KEY not in found.schema.names
    documents = {("id", document) if document else ("row", user) for document, _, user in rows}
    assert found.num_rows == len(documents)
    for row in found.to_pylist():
        same = [one for one in rows if one[0] == row["document_id"] and (one[0] or one[2] == row["user_id"])]
        newest = max((exported or 0 for _, exported, _ in same), default=0)
        assert row["etl_loaded_at"] == (at(newest) if newest else None)
    rng.shuffle(rows)
    key = [("document_id", "ascending"), ("user_id", "ascending")]
    assert latest(rows).sort_by(key).to_pylist() == found.sort_by(key).to_pylist()


def test_the_keys_of_ids_and_of_contents_never_meet() -> None:
    keys = with_document_key(table([("row:u1", 1, "u1"), (None, 1, "u1"), (None, 2, "u1")]), ["user_id"])
    first, second, third = keys.column(DOCUMENT_KEY).to_pylist()
    assert second == third != first


def test_only_documents_without_an_id_get_one() -> None:
    rows = table([("d1", 1, "u1"), (None, 1, "u1"), (None, 2, "u1"), ("", 1, "u1"), (None, 1, "u2"), (None, 1, None)])
    known, first, second, empty, third, nobody = with_document_id(rows, ["user_id", "createdAt"])[
        "document_id"
    ].to_pylist()
    assert (known, empty) == ("d1", "")
    assert first == second
    assert len({first, third, nobody}) == 3
    assert with_document_id(rows.slice(0, 0), ["user_id"]).num_rows == 0


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        ([("d1", 1, "u1")], {}),
        ([("d1", 1, "u1"), ("d1", 2, "u2")], {"things.older_versions": 1}),
        ([(None, None, "u1"), (None, None, "u1")], {"things.duplicates": 1}),
        ([("d1", None, "u1"), ("d1", None, "u1"), (None, None, "u2")], {"things.older_versions": 1}),
    ],
)
def test_what_is_left_out_is_counted(rows: list[Any], counts: dict[str, int]) -> None:
    assert repeat_counts("things", table(rows), latest(rows)) == counts
