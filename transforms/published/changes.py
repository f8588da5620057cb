"""New rows against published rows: what a run inserts, updates, deletes and leaves alone.

A row whose content is what is published keeps its `_loaded_at` and `_run_id`, so that a run with nothing new
changes nothing, and readers can ask what changed since yesterday.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PCollection

from transforms.machinery.join import JoinByKey, JoinFunction, Outcome, Results, Side
from transforms.machinery.keys import first_of_each, positions
from transforms.schemas.fields import TEXT
from transforms.schemas.outputs import LOADED_AT, RUN_ID, without_run_columns

Bools = npt.NDArray[np.bool_]
#: Column that says what happened to a row: one of `CHANGES`.
CHANGE = "_change"
CHANGES = ("inserted", "updated", "deleted", "unchanged")
#: Of rows that the table has after the run, and of rows that publishing has to touch.
STAYS = tuple(change for change in CHANGES if change != "deleted")
TOUCHED = tuple(change for change in CHANGES if change != "unchanged")


class Target(NamedTuple):
    """A published table, as far as comparing has to know it."""

    name: str
    schema: pa.Schema
    """The whole table's, with the run columns."""
    key: tuple[str, ...]
    """Columns that are never null and unique together; the first is text, and deals the rows into blocks."""

    @property
    def content(self) -> pa.Schema:
        """What new rows have: the columns without the run columns."""
        return without_run_columns(self.schema)


@dataclass(frozen=True)
class LoadedBy:
    """What a run writes into the rows that it changes."""

    run_id: str
    loaded_at: datetime
    append_only: frozenset[str] = frozenset()
    """Tables of which published rows stay although this run did not come across them."""


def with_change(schema: pa.Schema) -> pa.Schema:
    """A table's schema plus `CHANGE`."""
    return schema.append(pa.field(CHANGE, TEXT))


def count_name(table: str, change: str) -> str:
    """The name of the count of a table's rows with a change."""
    return f"{table}.{change}"


def compare(target: Target, loaded_by: LoadedBy) -> JoinFunction:
    """The join function of `rows` (no run columns) and `published` (with them) by the target's key.

    Gives rows of `with_change(target.schema)`, deleted ones included, and counts by `count_name`. Of rows with
    one key the first stays (only rejected rows can repeat).
    """
    table, key = target.name, target.key

    def changes(tables: dict[str, pa.Table]) -> Results:
        rows, published = first_of_each(tables["rows"], *key), tables["published"]
        position = positions(rows, published, key)
        known, before = np.asarray(pc.is_valid(position)), published.take(position)
        change = change_of(are_same(rows, before, known), known)
        made = with_run_columns(rows, change, before, loaded_by, target.schema)
        gone = published.filter(pc.is_null(positions(published, rows, key)))
        what = "unchanged" if table in loaded_by.append_only else "deleted"
        counts = Counter(change_counts(table, change)) + Counter(change_counts(table, np.repeat(what, gone.num_rows)))
        return Results([made, as_they_were(gone, what)], counts=counts)

    return changes


def are_same(rows: pa.Table, before: pa.Table, known: Bools) -> Bools:
    """Which rows have the published content, in all their columns.

    Args:
      rows: content, without the run columns.
      before: the published row of each, nulls for none.
      known: whether there is one.
    """
    same = known.copy()
    for name in rows.schema.names if known.any() else ():
        same &= equal(rows.column(name), before.column(name))
    return same


def change_of(same: Bools, known: Bools, gone: Bools | bool = False) -> npt.NDArray[np.str_]:
    """What happened to each row: whether it is as published, was published at all, is not there any longer."""
    return np.select([gone & known, same, known], ["deleted", "unchanged", "updated"], "inserted")


def with_run_columns(
    rows: pa.Table, change: npt.NDArray[np.str_], before: pa.Table, loaded_by: LoadedBy, schema: pa.Schema
) -> pa.Table:
    """Rows of `with_change(schema)`: who wrote them last is this run, but where a row is not written anew."""
    kept = pa.array(np.isin(change, ("unchanged", "deleted")))
    made = {name: rows.column(name) for name in rows.schema.names}
    for name, value in ((LOADED_AT, loaded_by.loaded_at), (RUN_ID, loaded_by.run_id)):
        made[name] = pc.if_else(kept, before.column(name), pa.scalar(value, schema.field(name).type))
    return pa.table(made | {CHANGE: pa.array(change, TEXT)}, schema=with_change(schema))


def change_counts(table: str, change: npt.NDArray[np.str_]) -> dict[str, int]:
    """`count_name` → rows."""
    return {count_name(table, name): number for name in CHANGES if (number := int(np.count_nonzero(change == name)))}


def as_they_were(published: pa.Table, change: str) -> pa.Table:
    """Published rows that all get one change."""
    return published.append_column(CHANGE, pa.array([change] * published.num_rows, TEXT))


class CompareWithPublished(beam.PTransform):
    """(rows, published) → `Outcome` of rows with their change (`with_change(target.schema)`); see `compare`.

    `rows` lack the run columns; both are PCollection[pa.RecordBatch].
    """

    def __init__(self, target: Target, loaded_by: LoadedBy, partitions: int) -> None:
        super().__init__()
        self._function = compare(target, loaded_by)
        self._sides = {
            "rows": Side(target.key[0], target.content),
            "published": Side(target.key[0], target.schema),
        }
        self._partitions = partitions

    def expand(self, inputs: tuple[PCollection[pa.RecordBatch], ...]) -> Outcome:
        """One shuffle by the first column of the key."""
        sides = dict(zip(self._sides, inputs, strict=True))
        return sides | "Join by key" >> JoinByKey(self._function, self._sides, self._partitions)


def equal(left: pa.ChunkedArray, right: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Element-wise equality in which null equals null; lists of texts compare as lists."""
    if pa.types.is_list(left.type):
        # NUL never occurs in a text (transforms.events.properties), so joined texts are equal only if lists are
        lengths = pc.equal(pc.list_value_length(left), pc.list_value_length(right))
        joined = pc.equal(pc.binary_join(left, "\0"), pc.binary_join(right, "\0"))
        same = pc.and_(lengths, joined)
    else:
        same = pc.equal(left, right)
    return np.asarray(same.fill_null(False)) | (np.asarray(pc.is_null(left)) & np.asarray(pc.is_null(right)))
