"""Record batches as elements: they travel whole, and are made of tables and rows."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.machinery.record_batches import RecordBatchCoder, as_batch, rows_to_batch

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
