"""Record batches as elements: they travel whole, and are made of tables and rows."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.record_batches import RecordBatchCoder, as_batch, columns_to_batch, rows_to_batch

SCHEMA = pa.schema([("text", pa.string()), ("number", pa.int64()), ("texts", pa.list_(pa.string()))])
ROWS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.text(max_size=5)),
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        st.one_of(st.none(), st.lists(st.text(max_size=3), max_size=3)),
    ),
    max_size=6,
)


@given(ROWS)
def test_a_batch_travels_with_its_schema(rows: list[tuple[Any, ...]]) -> None:
    batch = rows_to_batch(rows, SCHEMA)
    assert [tuple(row.values()) for row in batch.to_pylist()] == rows
    coder = beam.coders.registry.get_coder(pa.RecordBatch)
    assert isinstance(coder, RecordBatchCoder)
    assert coder.decode(coder.encode(batch)).equals(batch, check_metadata=True)
    assert coder.estimate_size(batch) == batch.nbytes
    assert coder.to_type_hint() is pa.RecordBatch
    assert not coder.is_deterministic()


@pytest.mark.parametrize("chunks", [[], [[1, 2]], [[1], [], [2, 3]]])
def test_a_table_is_one_batch(chunks: list[list[int]]) -> None:
    table = pa.table({"n": pa.chunked_array(chunks, pa.int64())})
    batch = as_batch(table)
    assert batch.schema == table.schema
    assert batch.to_pylist() == table.to_pylist()


def test_columns_are_put_in_the_schemas_order_with_its_types() -> None:
    schema = pa.schema([("at", pa.timestamp("us", "UTC")), ("n", pa.int64()), ("name", pa.string())])
    values = {"name": pa.array(["a", None]), "n": np.array([1, 2], np.int32), "at": np.array([0, 1]), "other": [1, 2]}
    found = columns_to_batch(values, schema)
    assert found.schema == schema
    assert found.column("at").cast(pa.int64()).to_pylist() == [0, 1]
    assert (found.column("n").to_pylist(), found.column("name").to_pylist()) == ([1, 2], ["a", None])
    moments = columns_to_batch(values | {"at": np.array([1, 2], "M8[us]")}, schema)
    assert moments.column("at").cast(pa.int64()).to_pylist() == [1, 2]
    with pytest.raises(KeyError):
        columns_to_batch({"n": [1, 2], "at": [0, 1]}, schema)
