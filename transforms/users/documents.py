"""Rows of Firestore documents → one row a document.

The exports of Firebase are append-on-edit in practice: a document that was edited three times has three rows. Two
optional columns tell which rows are versions of one document, and which is the latest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from transforms.machinery.counts import some_of
from transforms.machinery.keys import first_of_each
from transforms.schemas.fields import INTEGER, TEXT
from transforms.schemas.inputs import DOCUMENT_ID, EXPORTED_AT

#: Join key of a table of documents: the document's id, or what stands for it in a row without one.
DOCUMENT_KEY = "_document_key"


def with_document_key(rows: pa.Table, otherwise: Sequence[str]) -> pa.Table:
    """`rows` with `DOCUMENT_KEY`; the rows without a document id are one document where they agree in `otherwise`."""
    by_id = pc.binary_join_element_wise("id", rows.column(DOCUMENT_ID.name), ":")
    return rows.append_column(DOCUMENT_KEY, pc.coalesce(by_id, _by_content(rows, otherwise)))


def with_document_id(rows: pa.Table, otherwise: Sequence[str]) -> pa.Table:
    """`rows` in which a document without an id has one: a slash, which is in no id of Firestore's, and a SHA-256 of
    `otherwise`."""
    place = rows.schema.get_field_index(DOCUMENT_ID.name)
    ids = rows.column(place)
    without = _by_content(rows.filter(pc.is_null(ids)), otherwise).to_pylist()
    made = pa.array([f"/{hashlib.sha256(content.encode()).hexdigest()}" for content in without], TEXT)
    filled = pc.replace_with_mask(ids.combine_chunks(), pc.is_null(ids).combine_chunks(), made)
    return rows.set_column(place, DOCUMENT_ID.name, filled)


def latest_of_each(rows: pa.Table, then: Sequence[str]) -> pa.Table:
    """The latest version of each document, without `DOCUMENT_KEY`: the greatest `EXPORTED_AT` (null last), then the
    smallest of the columns `then`, so that the order of rows says nothing."""
    keys = [(DOCUMENT_KEY, "ascending", "at_end"), (EXPORTED_AT.name, "descending", "at_end")]
    order = pc.sort_indices(rows, sort_keys=[*keys, *((name, "ascending", "at_end") for name in then)])
    return first_of_each(rows.take(order), DOCUMENT_KEY).drop_columns([DOCUMENT_KEY])


def repeat_counts(table: str, rows: pa.Table, latest: pa.Table) -> dict[str, int]:
    """How many rows were left out: `<table>.older_versions`, and `<table>.duplicates` where nothing tells versions."""
    versions, left_out = _versions(rows) - _versions(latest), rows.num_rows - latest.num_rows
    return some_of({f"{table}.older_versions": versions, f"{table}.duplicates": left_out - versions})


def _versions(rows: pa.Table) -> int:
    told = pc.or_(pc.is_valid(rows.column(DOCUMENT_ID.name)), pc.is_valid(rows.column(EXPORTED_AT.name)))
    return int(pc.sum(told).as_py() or 0)


def _by_content(rows: pa.Table, otherwise: Sequence[str]) -> pa.ChunkedArray:
    parts = [_as_text(rows.column(name)) for name in otherwise]
    return pc.binary_join_element_wise("row", *parts, ":", null_handling="replace")


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column if pa.types.is_string(column.type) else column.cast(INTEGER).cast(TEXT)
