"""Inputs as other exporters write them: PostHog's sessions, Firestore's dates, pandas' numbers, Spark's folders."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builders import START, at, event, event_id, has_published, ledger, notes, published, run, write_events

SESSION = "018f0000-0000-7000-8000-00000000aaaa"
SIGNED_UP = START - timedelta(hours=START.hour, days=60)
SECONDS = int(SIGNED_UP.timestamp())
TIME = pa.timestamp("us", "UTC")
STRUCT = pa.array([{"a": 1}])


def put(warehouse: Path, table: str, name: str = "part-0.parquet", /, **columns: Any) -> Path:
    """Write a file of a table `dataset/name`; gives the warehouse."""
    path = warehouse / table / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return warehouse


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Two events of one session of one user."""
    return write_events(tmp_path, [event(n, SESSION, distinct_id="u1", seconds=30 * n) for n in range(2)])


def posthog_sessions(warehouse: Path, **changes: Any) -> Path:
    """PostHog's own sessions as ClickHouse exports them: counts without a sign, 0 and 1 for booleans."""
    columns: dict[str, Any] = {
        "session_id": [SESSION],
        "start_timestamp": pa.array([at(0)], TIME),
        "end_timestamp": pa.array([at(30)], TIME),
        "autocapture_count": pa.array([0], pa.uint64()),
        "screen_count": pa.array([7], pa.uint64()),
        "channel_type": ["Direct"],
        "is_bounce": pa.array([1], pa.uint8()),
    }
    return put(warehouse, "posthog_etl/sessions", **(columns | changes))


def session(warehouse: Path) -> dict[str, Any]:
    """The one session that is published."""
    [row] = published(warehouse, "sessions").to_pylist()
    return dict(row)


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("method", ["DIRECT_READ", "EXPORT", "ARROW"])
def test_the_types_of_real_exports(warehouse: Path, method: str, place: str) -> None:
    datetime_of_bigquery = pa.array([at(0).replace(tzinfo=None)], pa.timestamp("us"))
    numeric = pa.array([Decimal(int(at(30).timestamp()))], pa.decimal128(38, 9))
    posthog_sessions(warehouse, start_timestamp=datetime_of_bigquery, end_timestamp=numeric)
    put(
        warehouse,
        "firebase_etl_prod/users",
        USER_ID=pa.array([b"u1"]),
        phonenumber=pa.array([15550100001]),
        fullName=pa.array(["Ann"]),
        businessUser=pa.array([1]),
        contactAccessGranted=pa.array(["true"]),
        createdAt=pa.array([{"_seconds": SECONDS, "_nanoseconds": 0}]),
    )
    put(warehouse, "firebase_etl_prod/events", user_id=["u1"], createdAt=pa.array([int(at(10).timestamp() * 1_000)]))
    assert run(warehouse, *([f"--read_method={method}"] if place == "bigquery" else [])) == 0
    row = session(warehouse)
    assert (row["channel_type"], row["is_bounce"]) == ("Direct", True)
    assert (row["user_id"], row["fullName"], row["phoneNumber"]) == ("u1", "Ann", "15550100001")
    assert (row["businessUser"], row["contactAccessGranted"], row["createdAt"]) == (True, True, SIGNED_UP)
    assert row["events_created_count"] == 1
    found = notes(warehouse)
    assert found["posthog_sessions.matched"] == 1
    assert found["posthog_sessions.screen_count_differs"] == 1
    assert found["posthog_sessions.start_timestamp_differs"] == found["posthog_sessions.end_timestamp_differs"] == 0
    assert not [name for name in found if name.startswith("unreadable")]


@pytest.mark.parametrize(
    "created_at",
    [
        pa.array([SIGNED_UP.isoformat()]),
        pa.array([SIGNED_UP.date()]),
        pa.array([f'{{"_seconds": {SECONDS}, "_nanoseconds": 0}}']),
    ],
    ids=["text", "date", "json"],
)
def test_firestores_dates(warehouse: Path, created_at: pa.Array) -> None:
    put(warehouse, "firebase_etl_prod/users", user_id=["u1"], createdAt=created_at)
    assert run(warehouse) == 0
    assert session(warehouse)["createdAt"] == SIGNED_UP


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_a_column_that_cannot_be_read_is_null_and_named(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    posthog_sessions(warehouse, is_bounce=STRUCT, channel_type=pa.array([["Direct"]]))
    put(warehouse, "firebase_etl_prod/users", user_id=["u1"], fullName=["Ann"], createdAt=["soon"], email=STRUCT)
    assert run(warehouse) == 0
    out, err = capfd.readouterr()
    assert err == ""
    for name in ("posthog_sessions.is_bounce", "posthog_sessions.channel_type", "users.email"):
        assert f"note       column {name} cannot be read: it is null" in out
        assert notes(warehouse)[f"unreadable.{name}"] == 1
    assert "sessions: column 'is_bounce' is " in out
    assert "note       1 values of users.createdAt cannot be read: they are null" in out
    assert notes(warehouse)["unreadable_values.users.createdAt"] == 1
    row = session(warehouse)
    assert (row["user_id"], row["fullName"]) == ("u1", "Ann")
    assert {row[name] for name in ("is_bounce", "channel_type", "email", "createdAt")} == {None}


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_events_in_other_types_and_another_case(tmp_path: Path) -> None:
    rows = [event(n, SESSION) for n in range(3)]
    put(
        tmp_path,
        "posthog_etl/events",
        UUID=pa.array([UUID(row["uuid"]).bytes for row in rows]),
        EVENT=pa.array([row["event"].encode() for row in rows]),
        Properties=[row["properties"] for row in rows],
        Distinct_Id=[row["distinct_id"] for row in rows],
        TIMESTAMP=pa.array([row["timestamp"] for row in rows], TIME),
        BQ_INGESTED_TIMESTAMP=pa.array([row["bq_ingested_timestamp"] for row in rows], TIME),
    )
    assert run(tmp_path) == 0
    [row] = ledger(tmp_path)
    assert (row["rows_kept"], row["watermark"]) == (3, at(61))  # what two of three have reached
    write_events(tmp_path / "plain", rows)
    assert run(tmp_path / "plain") == 0
    assert session(tmp_path) == session(tmp_path / "plain")
    assert run(tmp_path) == 0  # incremental: the arrival is found in any case
    assert ledger(tmp_path)[-1]["mode"] == "incremental"


def not_utf8(*values: bytes) -> pa.Array:
    raw = pa.array(values, pa.binary())
    return pa.StringArray.from_buffers(len(raw), *raw.buffers()[1:])


def test_text_that_is_no_utf8_is_mended_or_a_dead_letter_wherever_it_is(tmp_path: Path) -> None:
    head = b'{"$session_id": "s1", "$lib": "posthog-react-native", '
    texts = [head + b'"other": "caf\xc3"}', head + b'"$screen_name": "caf\xc3"}', b' \xc3{"broken', head + b'"x": 1}']
    put(
        tmp_path,
        "posthog_etl/events",
        uuid=not_utf8(*(event_id(n).encode() for n in range(3)), b"caf\xc3"),
        event=not_utf8(b"$screen", b"$screen", b"$scr\xc3", b"\xff"),
        properties=not_utf8(*texts),
        distinct_id=not_utf8(b"caf\xc3", b"anon", b"anon", b"anon"),
        timestamp=pa.array([at(n) for n in range(4)], TIME),
    )
    put(tmp_path, "firebase_etl_prod/users", user_id=["caf�"], fullName=not_utf8(b"Zo\xc3"), email=not_utf8(b"z@\xc3"))
    assert run(tmp_path, "--max_rejected_ratio", "1") == 0
    row = session(tmp_path)
    assert row["distinct_ids"] == ["anon", "caf�"]
    assert (row["fullName"], row["email"]) == ("Zo�", "z@�")
    assert ledger(tmp_path)[0]["rows_rejected"] in (1, 2)
    for letter in published(tmp_path, "rejected_events").to_pylist():
        assert "�" in letter["row"]
    assert run(tmp_path, "--full_load", "--max_rejected_ratio", "1") == 0  # what is published can be read


def test_nanoseconds_and_96_bits(tmp_path: Path) -> None:
    rows = [event(n, SESSION) for n in range(2)]
    content = pa.Table.from_pylist(rows).set_column(
        4, "timestamp", pa.array([int(row["timestamp"].timestamp()) * 10**9 + 123 for row in rows], pa.timestamp("ns"))
    )
    path = tmp_path / "posthog_etl/events/part-0.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(content, path)
    assert run(tmp_path) == 0
    far = datetime(2300, 1, 1)
    users = tmp_path / "firebase_etl_prod/users"
    users.mkdir(parents=True)
    table = pa.table({"user_id": ["anon-1"], "createdAt": pa.array([far], pa.timestamp("us"))})
    pq.write_table(table, users / "part-0.parquet", use_deprecated_int96_timestamps=True)
    assert run(tmp_path) == 0  # reads the statistics of the events as well
    assert session(tmp_path)["createdAt"].replace(tzinfo=None) == far


def test_day_folders_and_side_files(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [event(9, "later", distinct_id="u2", seconds=90)]
    folder = warehouse / "posthog_etl/events"
    (folder / "day=2026-01-06").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "day=2026-01-06" / "part-0.snappy.parquet")
    (folder / "._part-0.parquet").write_bytes(b"\x00\x05\x16\x07")
    (folder / "part-1.parquet.zst").write_bytes(b"(\xb5/\xfd")
    put(warehouse, "firebase_etl_prod/users", "users.parquet/part-0.parquet", user_id=["u2"], fullName=["Ben"])
    put(warehouse, "firebase_etl_prod/users", "empty.parquet", index=pa.array([], pa.null()))
    assert run(warehouse) == 0
    out = capfd.readouterr().out
    assert "note       posthog_etl.events: not read, only *.parquet files in events/ are: part-1.parquet.zst" in out
    names = {row["session_id"]: row["fullName"] for row in published(warehouse, "sessions").to_pylist()}
    assert names == {SESSION: None, "later": "Ben"}


def test_only_look_alikes_are_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "posthog_etl/events"
    folder.mkdir(parents=True)
    (folder / "part-0.parquet.zst").write_bytes(b"(\xb5/\xfd")
    assert run(tmp_path) == 1
    err = capfd.readouterr().err
    assert "has no *.parquet file (posthog_etl.events: not read" in err
    assert "part-0.parquet.zst" in err
    assert err.count("\n") == 1


def test_a_damaged_file_is_one_line(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = warehouse / "posthog_etl/events/part-0.parquet"
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content = bytearray(path.read_bytes())
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    content[start : start + 20] = b"\xff" * 20
    path.write_bytes(content)
    assert run(warehouse) == 1
    err = capfd.readouterr().err
    assert f"posthog_etl.events: column 'properties' of {path} (row group 0) cannot be read, the file is damaged" in err
    assert err.count("\n") == 1
    assert not has_published(warehouse)


def test_a_null_arrival_in_an_old_file_is_read_by_the_next_run(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1), event(2, "s2", seconds=2 * 86_400)])
    assert run(tmp_path) == 0
    late = event(3, seconds=2 * 86_400 - 600) | {"bq_ingested_timestamp": None}
    old = event(4, "s0", seconds=-9 * 86_400)
    write_events(tmp_path, [late, old], name="part-1")
    assert run(tmp_path) == 0
    row = ledger(tmp_path)[-1]
    assert row["mode"] == "incremental"
    ends = {row["session_id"]: row["end_timestamp"] for row in published(tmp_path, "sessions").to_pylist()}
    assert ends["s1"] == at(2 * 86_400 - 600)
