"""Reading ahead: the same batches in the same order, errors where they belong, no thread that outlives its reader."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.warehouse import batches
from pipeline.warehouse.batches import ahead, rebatch


def counted(number: int, made: list[int]) -> Iterator[pa.RecordBatch]:
    for i in range(number):
        made.append(i)
        yield pa.RecordBatch.from_pydict({"i": [i]})
    if number == 3:
        raise RunError("the file is damaged")


@pytest.mark.parametrize("number", [0, 1, 5])
def test_the_same_batches_in_the_same_order(number: int) -> None:
    assert [batch["i"][0].as_py() for batch in ahead(counted(number, []))] == list(range(number))


def test_an_error_comes_after_the_batches_before_it() -> None:
    reading = ahead(counted(3, []))
    assert [next(reading)["i"][0].as_py() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RunError, match="damaged"):
        next(reading)


def test_who_stops_early_leaves_no_thread_and_has_read_one_batch_more() -> None:
    before, made = threading.active_count(), list[int]()
    reading = ahead(counted(100, made))
    next(reading)
    reading.close()
    assert threading.active_count() == before
    assert len(made) <= 3


def test_a_single_row_may_have_more_bytes_than_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 10)
    rows = pa.record_batch({"text": ["x" * 100, "y", "z" * 50]})
    assert [batch.to_pylist() for batch in rebatch([rows])] == [[row] for row in rows.to_pylist()]


def test_small_batches_are_joined() -> None:
    parts = [pa.record_batch({"number": [number]}) for number in range(batches.BATCH_ROWS)]
    found = list(rebatch(parts))
    assert [batch.num_rows for batch in found] == [batches.BATCH_ROWS // 2] * 2
    assert pa.Table.from_batches(found)["number"].to_pylist() == list(range(batches.BATCH_ROWS))
    assert list(rebatch([])) == []
