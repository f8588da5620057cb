"""Rows of a table by a key: the first of each, and those that are asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def first_of_each(table: pa.Table, *key: str) -> pa.Table:
    """The first row of each value of a column, or of several together."""
    _, first = np.unique(row_codes(table.select(key)), return_index=True)
    return table.take(pa.array(first))


def grouped(table: pa.Table, *key: str) -> pa.TableGroupBy:
    """The rows by a column, or by several together, for `aggregate`; groups come in the order of their first rows.

    In this thread alone: the rows of a partition take Arrow's threads longer to share out than to add up, and runners
    have a thread on every core already.
    """
    return table.group_by([*key], use_threads=False)


def positions(wanted: pa.Table, among: pa.Table, key: Sequence[str]) -> pa.Array:
    """For each wanted row the position of the row with the same `key`, unique in `among`; null for none."""
    if len(key) == 1:
        return pc.index_in(wanted.column(key[0]), value_set=among.column(key[0]).combine_chunks())
    codes = row_codes(pa.concat_tables([among.select(key), wanted.select(key)]))
    position = np.full(len(codes) + 1, -1, np.int64)  # a code is below the number of rows
    position[codes[: among.num_rows]] = np.arange(among.num_rows)
    found = position[codes[among.num_rows :]]
    return pa.array(found, mask=found < 0)


def row_codes(table: pa.Table) -> npt.NDArray[np.int64]:
    """A number for each row, below the number of rows, the same exactly where all columns are; null equals null."""
    codes: npt.NDArray[np.int64] | None = None
    for column in table.columns:
        encoded = column.combine_chunks().dictionary_encode("encode")
        one = np.asarray(encoded.indices, np.int64)
        # numbered anew after every column, so that products never grow beyond the square of the rows
        codes = one if codes is None else np.unique(codes * (len(encoded.dictionary) + 1) + one, return_inverse=True)[1]
    assert codes is not None, "a key has a column"
    return codes


def structs_of(rows: pa.Table, missing: npt.NDArray[np.bool_] | None = None) -> pa.StructArray:
    """Whole rows as one nullable column; null where a row is `missing`."""
    columns = [column.combine_chunks() for column in rows.columns]
    fields = [field.with_nullable(True) for field in rows.schema]
    return pa.StructArray.from_arrays(columns, fields=fields, mask=None if missing is None else pa.array(missing))


def rows_of_structs(structs: pa.ChunkedArray) -> pa.Table:
    """The rows that `structs_of` was given, all their columns null where they were missing."""
    one = structs.combine_chunks()
    return pa.table(one.flatten(), schema=pa.schema(list(one.type)))


def rows_of_keys(table: pa.Table, key: str, wanted: pa.ChunkedArray, columns: list[str]) -> pa.Table:
    """`columns` of the row of `table` whose unique `key` equals each wanted value; nulls where none does."""
    index = pc.index_in(wanted, value_set=table.column(key).combine_chunks())
    return table.select(columns).take(index)
