"""Joins by block of keys: rows with one key meet, by the names of their columns, whatever else is around them."""

from __future__ import annotations

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that, equal_to

from transforms.machinery.blocks import block_name
from transforms.machinery.guard import UnexpectedError
from transforms.machinery.join import JoinByKey, Results, Side

LEFT = pa.schema([("key", pa.string()), ("first", pa.int64()), ("second", pa.int64())])
RIGHT = pa.schema([("key", pa.string()), ("third", pa.int64())])
SIDES = {"left": Side("key", LEFT), "right": Side("key", RIGHT)}


def joined(tables: dict[str, pa.Table]) -> Results:
    """Left rows that have a right one; how many had none."""
    both = tables["left"].join(tables["right"], "key", join_type="inner").combine_chunks()
    alone = tables["left"].num_rows - both.num_rows
    return Results([both.select(["key", "first", "second", "third"])], counts={"alone": alone})


def values(batch: pa.RecordBatch) -> list[tuple[object, ...]]:
    """The rows of a batch."""
    return [tuple(row.values()) for row in batch.to_pylist()]


def batch(schema: pa.Schema, *rows: tuple[object, ...]) -> pa.RecordBatch:
    """Rows in the order of a schema."""
    return pa.RecordBatch.from_pylist([dict(zip(schema.names, row, strict=True)) for row in rows], schema=schema)


@pytest.mark.parametrize("order", [("key", "first", "second"), ("second", "key", "first"), ("second", "first", "key")])
def test_columns_meet_by_name_in_whatever_order_they_come(order: tuple[str, ...]) -> None:
    left = batch(LEFT, ("a", 1, 2), ("b", 3, 4), (None, 5, 6)).select(list(order))
    right = batch(RIGHT, ("a", 7), ("c", 8), (None, 9))
    with beam.Pipeline() as p:
        inputs = {
            "left": p | "Left" >> beam.Create([left]),
            "right": p | "Right" >> beam.Create([right]),
        }
        outcome = inputs | JoinByKey(joined, SIDES, 3)
        rows = outcome.rows | beam.FlatMap(values)
        assert_that(rows, equal_to([("a", 1, 2, 7)]), "rows")
        total = outcome.counts | beam.CombinePerKey(sum)
        assert_that(total, equal_to([("alone", 1)]), "counts")


def test_a_side_that_is_dealt_already_meets_by_name_as_well() -> None:
    left = block_name(0), batch(LEFT, ("a", 1, 2)).select(["second", "first", "key"])
    with beam.Pipeline() as p:
        inputs = {
            "left": (p | "Left" >> beam.Create([left]),),
            "right": p | "Right" >> beam.Create([batch(RIGHT, ("a", 7))]),
        }
        rows = (inputs | JoinByKey(joined, SIDES, 1)).rows | beam.FlatMap(values)
        assert_that(rows, equal_to([("a", 1, 2, 7)]))


def test_a_column_of_another_type_is_refused() -> None:
    wrong = batch(pa.schema([("key", pa.string()), ("first", pa.float64()), ("second", pa.int64())]), ("a", 1.0, 2))
    with pytest.raises(UnexpectedError, match="unexpected TypeError in dealing of rows"), beam.Pipeline() as p:
        inputs = {"left": p | "Left" >> beam.Create([wrong]), "right": p | "Right" >> beam.Create([batch(RIGHT)])}
        _ = inputs | JoinByKey(joined, SIDES, 1)
