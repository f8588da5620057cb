"""Columns are found by name in any case; what cannot be read of the events stops the run, of others it is told."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline import tables
from pipeline.errors import RunError
from pipeline.warehouse.binding import Binding, Found, bind

EVENTS, USERS, SESSIONS = tables.EVENTS, tables.USERS, tables.POSTHOG_SESSIONS


def bound(table: tables.Table, content: pa.Schema | list[pa.Field], where: str = " in part-0.parquet") -> Binding:
    found = [Found(field.name, field.type, str(field.type)) for field in content]
    return bind(table, found, f"in.{table.name}", {}, where)


def fields(table: tables.Table, **types: pa.DataType | None) -> list[pa.Field]:
    kinds = {field.name: field.type for field in table.bare} | types
    return [pa.field(name, kind) for name, kind in kinds.items() if kind is not None]


@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_names_are_compared_without_regard_to_case(change: object) -> None:
    assert callable(change)
    other = [pa.field(change(field.name), field.type) for field in USERS.bare]
    binding = bound(USERS, other)
    batch = pa.RecordBatch.from_pylist([{change("user_id"): "u", change("phoneNumber"): "+1"}], pa.schema(other))
    [row] = binding.conform(batch).to_pylist()
    assert (row["user_id"], row["phoneNumber"], row["email"]) == ("u", "+1", None)
    assert binding.names == tuple(change(name) for name in USERS.schema.names)


def test_the_name_as_it_is_declared_wins_over_others() -> None:
    both = [pa.field("CREATEDAT", pa.list_(pa.string())), *fields(USERS)]
    assert bound(USERS, both).sources["createdAt"] == "createdAt"


@pytest.mark.parametrize("again", ["uuid", "UUID"])
def test_a_needed_column_twice_is_named(again: str) -> None:
    names = ["Uuid", "UUID"] if again == "UUID" else ["uuid", "uuid"]
    both = [*(pa.field(name, pa.string()) for name in names), *fields(EVENTS, uuid=None)]
    with pytest.raises(RunError, match=r"^in.events: column 'uuid' is there 2 times in part-0.parquet \(.*leave one"):
        bound(EVENTS, both)


def test_an_optional_column_twice_is_null_and_told() -> None:
    both = [*fields(USERS), pa.field("email", pa.string())]
    binding = bound(USERS, both)
    assert "email" not in binding.sources
    [problem] = binding.problems
    assert problem.line.startswith("in.users: column 'email' is there 2 times in part-0.parquet")
    assert problem.counts_as == "unreadable.users.email"


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("timestamp", pa.string(), "column 'timestamp' is string in part-0.parquet, expected timestamp[us, tz=UTC]; "),
        ("properties", pa.struct([("a", pa.int64())]), "write it as text (of a struct TO_JSON_STRING"),
        ("uuid", pa.int64(), "column 'uuid' is int64"),
        ("bq_ingested_timestamp", pa.int64(), "TIMESTAMP_MILLIS of a number"),
        ("distinct_id", None, "required column 'distinct_id' is missing in part-0.parquet"),
    ],
)
def test_of_the_events_one_line_says_what_to_do(name: str, kind: pa.DataType | None, told: str) -> None:
    with pytest.raises(RunError) as caught:
        bound(EVENTS, fields(EVENTS, **{name: kind}))
    assert str(caught.value).startswith("in.events: ")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_an_optional_table_the_column_is_null_with_a_note() -> None:
    binding = bound(SESSIONS, fields(SESSIONS, is_bounce=pa.struct([("a", pa.int64())]), screen_count=pa.uint64()))
    assert binding.problems[0].line == (
        "in.sessions: column 'is_bounce' is struct<a: int64> in part-0.parquet, expected bool; it is null"
    )
    assert binding.problems[0].counts_as == "unreadable.posthog_sessions.is_bounce"
    rows = [{"session_id": "s", "screen_count": 2**64 - 1, "is_bounce": {"a": 1}}]
    content = fields(SESSIONS, is_bounce=pa.struct([("a", pa.int64())]), screen_count=pa.uint64())
    lost = list[tuple[str, int]]()
    batch = pa.RecordBatch.from_pylist(rows, pa.schema(content))
    [row] = binding.conform(batch, lambda column, values: lost.append((column, values))).to_pylist()
    assert (row["session_id"], row["screen_count"], row["is_bounce"]) == ("s", None, None)
    assert lost == [("screen_count", 1)]


def test_a_source_that_gives_another_type_than_it_said_is_named() -> None:
    binding = bound(EVENTS, fields(EVENTS))
    batch = pa.record_batch({name: pa.array([["x"]]) for name in EVENTS.schema.names})
    with pytest.raises(RunError, match=r"^in\.events: column 'uuid' was read as list"):
        binding.conform(batch)
