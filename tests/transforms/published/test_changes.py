"""New rows against published ones: what is inserted, updated, deleted, unchanged."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.published.changes import CHANGE, CHANGES, LoadedBy, Target, change_counts, compare, equal

BEFORE, NOW = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("number", pa.float64()),
        ("texts", pa.list_(pa.string())),
        ("_loaded_at", pa.timestamp("us", "UTC")),
        ("_run_id", pa.string()),
    ]
)
THINGS = Target("things", SCHEMA, ("key",))
CONTENT = pa.schema([field for field in SCHEMA if not field.name.startswith("_")])
ROWS = st.dictionaries(
    st.sampled_from("abcd"),
    st.tuples(
        st.one_of(st.none(), st.sampled_from([0.0, 1.5])),
        st.one_of(st.none(), st.lists(st.sampled_from(["x", "y", ""]), max_size=2)),
    ),
)


def run(new: dict[str, Any], old: dict[str, Any], **loaded_by: Any) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """(rows by key, counts) of a comparison."""
    rows = [{"key": key, "number": number, "texts": texts} for key, (number, texts) in new.items()]
    published = [
        {"key": key, "number": number, "texts": texts, "_loaded_at": BEFORE, "_run_id": "run-1"}
        for key, (number, texts) in old.items()
    ]
    tables = {"rows": pa.Table.from_pylist(rows, CONTENT), "published": pa.Table.from_pylist(published, SCHEMA)}
    results = compare(THINGS, LoadedBy("run-2", NOW, **loaded_by))(tables)
    found, counts = [row for table in results.rows for row in table.to_pylist()], dict(results.counts)
    by_key = {row["key"]: row for row in found}
    assert len(by_key) == len(found)
    return by_key, counts


@given(ROWS, ROWS)
def test_each_row_gets_the_change_that_it_is(new: dict[str, Any], old: dict[str, Any]) -> None:
    rows, counts = run(new, old)
    assert rows.keys() == new.keys() | old.keys()
    for key, row in rows.items():
        if key not in new:
            wanted, content = "deleted", old[key]
        else:
            content = new[key]
            wanted = "inserted" if key not in old else "unchanged" if old[key] == new[key] else "updated"
        assert row[CHANGE] == wanted
        assert (row["number"], row["texts"]) == content
        is_new = wanted in ("inserted", "updated")
        assert (row["_loaded_at"], row["_run_id"]) == ((NOW, "run-2") if is_new else (BEFORE, "run-1"))
    told = {name: sum(row[CHANGE] == name for row in rows.values()) for name in CHANGES}
    assert counts == {f"things.{name}": number for name, number in told.items() if number}


def test_rows_of_an_append_only_table_stay_although_this_run_did_not_see_them() -> None:
    rows, counts = run({}, {"a": (1.5, ["x"])}, append_only=frozenset({"things"}))
    assert rows["a"][CHANGE] == "unchanged"
    assert counts == {"things.unchanged": 1}


def test_rows_with_one_key_are_one() -> None:
    rows = pa.Table.from_pylist([{"key": "a", "number": 1.5, "texts": []}] * 2, CONTENT)
    results = compare(THINGS, LoadedBy("run-2", NOW))({"rows": rows, "published": SCHEMA.empty_table()})
    assert results.counts == {"things.inserted": 1}
    assert sum(table.num_rows for table in results.rows) == 1


@pytest.mark.parametrize(
    ("left", "right", "kind", "expected"),
    [
        ([1, None, None, 2], [1, None, 3, None], pa.int64(), [True, True, False, False]),
        ([["a"], ["a", "b"], [], None, ["a b"]], [["a"], ["ab"], [""], None, ["a", "b"]], pa.list_(pa.string()), None),
        ([True, None], [True, False], pa.bool_(), [True, False]),
    ],
)
def test_null_equals_null_and_lists_compare_as_lists(left: Any, right: Any, kind: Any, expected: Any) -> None:
    found = equal(pa.chunked_array([left], kind), pa.chunked_array([right], kind)).tolist()
    assert found == (expected or [one == other for one, other in zip(left, right, strict=True)])


def test_changes_are_counted_by_name() -> None:
    changes = np.array(["updated", "inserted", "updated"])
    assert dict(change_counts("sessions", changes)) == {"sessions.updated": 2, "sessions.inserted": 1}


PAIRS = Target(
    "pairs",
    pa.schema([("owner", pa.string()), ("day", pa.date32()), ("number", pa.int64()), *list(SCHEMA)[-2:]]),
    ("owner", "day"),
)
PAIR_ROWS = st.dictionaries(
    st.tuples(st.sampled_from("ab"), st.dates(date(2026, 1, 1), date(2026, 1, 3))), st.integers(0, 1)
)


@given(PAIR_ROWS, PAIR_ROWS)
def test_rows_of_a_key_of_two_columns_are_the_same_where_both_are(new: dict[Any, int], old: dict[Any, int]) -> None:
    rows = [{"owner": owner, "day": day, "number": number} for (owner, day), number in new.items()]
    published = [
        {"owner": owner, "day": day, "number": number, "_loaded_at": BEFORE, "_run_id": "run-1"}
        for (owner, day), number in old.items()
    ]
    given_tables = {
        "rows": pa.Table.from_pylist(rows * 2, PAIRS.content),  # of rows with one key the first stays
        "published": pa.Table.from_pylist(published, PAIRS.schema),
    }
    results = compare(PAIRS, LoadedBy("run-2", NOW))(given_tables)
    found = [row for table in results.rows for row in table.to_pylist()]
    changes = {(row["owner"], row["day"]): row[CHANGE] for row in found}
    assert len(changes) == len(found)
    assert changes == {
        key: "deleted"
        if key not in new
        else "inserted"
        if key not in old
        else "unchanged"
        if new[key] == old[key]
        else "updated"
        for key in new.keys() | old.keys()
    }
