"""Rows of a table by a key: the first of each, and those that are asked for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def first_of_each(table: pa.Table, key: str) -> pa.Table:
    """The first row of each value of a string column without nulls."""
    codes = table.column(key).combine_chunks().dictionary_encode().indices
    _, first = np.unique(codes.to_numpy(zero_copy_only=False), return_index=True)
    return table.take(pa.array(first))


def rows_of_keys(table: pa.Table, key: str, wanted: pa.ChunkedArray, columns: list[str]) -> pa.Table:
    """`columns` of the row of `table` whose unique `key` equals each wanted value; nulls where none does."""
    index = pc.index_in(wanted, value_set=table.column(key).combine_chunks())
    return table.select(columns).take(index)
