"""Bad input has a defined outcome: a dead letter or one line of error, never a crash, never a row in a log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import (
    assert_adds_up,
    event,
    has_published,
    ledger,
    published,
    run,
    tables_of,
    write_events,
)

SECRET = "SECRET-PII-+12015550199"
BAD_ROWS: list[dict[str, Any]] = [
    {"properties": None},
    {"properties": ""},
    {"properties": "not json"},
    {"properties": f'["{SECRET}"]'},
    {"properties": f'{{"$session_id": "{SECRET}'},
    {"properties": '{"a":' * 5_000},
    {"timestamp": None},
    {"timestamp": datetime(2014, 6, 1, tzinfo=UTC)},
    {"timestamp": datetime(2199, 6, 1, tzinfo=UTC)},
    {"distinct_id": None},
    {"distinct_id": ""},
    {"distinct_id": SECRET * 500},
    {"uuid": None},
    {"event": None},
    *[
        {"properties": json.dumps({"$lib": "posthog-react-native", "$session_id": session, "x": SECRET})}
        for session in (None, "", "  ", 7, "s" * 10_240)
    ],
]
ODD_PROPERTIES = [
    '"$screen_name": "\\ud83d", "$touch_y": 1',
    '"$screen_name": "a\\u0000b"',
    json.dumps({"$screen_name": "x" * 1_000_000})[1:-1],
    '"$touch_y": NaN, "$screen_height": Infinity',
    '"$touch_y": 1e400',
    '"$touch_y": 9223372036854775808',
    '"$touch_y": "12", "$screen_height": true',
    '"$screen_name": 7',
]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    rows = [{**event(n), **change} for n, change in enumerate(BAD_ROWS)]
    head = '{"$lib": "posthog-react-native", "$session_id": "odd", '
    rows += [event(100 + n, properties=head + text + "}") for n, text in enumerate(ODD_PROPERTIES)]
    rows += [event(200 + n) for n in range(100)]
    return write_events(tmp_path, rows)


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_broken_rows_are_dead_letters_and_nothing_of_them_is_told(
    broken: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(broken, "--max_rejected_ratio", "0.5") == 0
    out, err = capfd.readouterr()
    assert SECRET not in out + err
    [row] = ledger(broken)
    assert_adds_up(row)
    assert row["rows_rejected"] == len(BAD_ROWS)
    assert row["rows_kept"] == 100 + len(ODD_PROPERTIES)
    dead = published(broken, "rejected_events").to_pylist()
    assert len(dead) == len(BAD_ROWS)
    assert all(len(letter["row"]) < 25_000 for letter in dead)
    assert json.loads(dead[0]["row"]).keys() >= {"uuid", "properties", "timestamp"}
    sessions = {session["session_id"]: session for session in published(broken, "sessions").to_pylist()}
    assert set(sessions) == {"s1", "odd"}
    odd = sessions["odd"]
    assert odd["entry_screen"] == "�"
    assert odd["unique_screen_count"] == 4  # a number is a text here
    assert odd["scroll_event_count"] == 1
    assert odd["scroll_depth"] is None


@pytest.mark.usefixtures("place")
def test_too_many_rejected_rows_publish_nothing(broken: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(broken) == 1
    out, err = capfd.readouterr()
    assert "rows were rejected" in err
    assert "properties_invalid 4" in err
    assert "Traceback" not in err
    assert SECRET not in out + err
    assert not has_published(broken)
    assert not (broken / "posthog_aggregated").exists()


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_all_rows_broken_leaves_the_tables_as_they_were(tmp_path: Path) -> None:
    warehouse = write_events(tmp_path, [event(n) for n in range(5)])
    assert run(warehouse) == 0
    before = tables_of(warehouse)
    write_events(warehouse, [event(n, properties="nope") for n in range(50)])
    assert run(warehouse, "--full_load") == 1
    assert tables_of(warehouse) == before
    assert len(ledger(warehouse)) == 1


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_an_empty_events_table_gives_empty_tables(tmp_path: Path) -> None:
    assert_empty(write_events(tmp_path, []))


@pytest.mark.parametrize("option", ["--full_load", "--direct_num_workers=2"])
def test_an_empty_events_table_however_it_is_run(tmp_path: Path, option: str) -> None:
    assert_empty(write_events(tmp_path, []), option)


def assert_empty(warehouse: Path, *options: str) -> None:
    """A first run publishes tables without rows."""
    assert run(warehouse, *options) == 0
    for name in ("sessions", "persons", "rejected_events"):
        assert published(warehouse, name).num_rows == 0
    [row] = ledger(warehouse)
    assert row["rows_read"] == 0
    assert row["watermark"] is None


def events_file(warehouse: Path, **columns: Any) -> Path:
    """A warehouse whose events have these columns instead of, or beside, the usual ones."""
    content = {name: pa.array([value]) for name, value in event(1).items()} | columns
    folder = warehouse / "posthog_etl" / "events"
    folder.mkdir(parents=True)
    pq.write_table(
        pa.table({name: column for name, column in content.items() if column is not None}),
        folder / "part-0.parquet",
    )
    return warehouse


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("column", ["uuid", "event", "properties", "distinct_id", "timestamp"])
def test_a_missing_required_column_is_named(tmp_path: Path, column: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(events_file(tmp_path, **{column: None})) == 1
    err = capfd.readouterr().err
    assert f"required column '{column}' is missing" in err
    assert err.count("\n") == 1


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("column", "values"),
    [("timestamp", pa.array(["2026-01-01"])), ("uuid", pa.array([7])), ("properties", pa.array([{"a": 1}]))],
)
def test_a_column_of_the_wrong_type_is_named(
    tmp_path: Path, column: str, values: pa.Array, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(events_file(tmp_path, **{column: values})) == 1
    err = capfd.readouterr().err
    assert f"column {column!r} is" in err
    assert "posthog_etl.events" in err


@pytest.mark.usefixtures("place")
def test_optional_and_extra_columns(tmp_path: Path) -> None:
    warehouse = events_file(tmp_path, bq_ingested_timestamp=None, team_id=pa.array([7]))
    assert run(warehouse) == 0
    assert published(warehouse, "sessions").num_rows == 1


def test_missing_warehouse_tables_and_files_are_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere") == 1
    assert "nowhere" in capfd.readouterr().err
    assert run(tmp_path) == 1
    assert "posthog_etl/events" in capfd.readouterr().err
    folder = tmp_path / "posthog_etl" / "events"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet").write_bytes(b"not parquet")
    assert run(tmp_path) == 1
    assert "part-0.parquet cannot be read as Parquet" in capfd.readouterr().err
