"""The sample warehouse: the same bytes every time, the layout and shape of the real thing, how it is launched."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sample import EVENTS_SCHEMA, Plan, event_batches
from sample.write import write_sample
from tests.sample.conftest import PHONE, UUID, Sql, contents, rows

TIME = "timestamp[us, tz=UTC]"
USER = {"user_id", "phoneNumber", "fullName", "username", "email"}
FIREBASE = {
    "firebase_etl_prod/events": {f"{name}: string" for name in ("document_id", "title", "user_id", "type")}
    | {f"{name}: {TIME}" for name in ("createdAt", "startTime", "endTime", "eventDate", "etl_loaded_at")},
    "firebase_etl_prod/userinvites": {f"{name}: string" for name in ("document_id", "event_id", "user_id", "status")}
    | {f"createdAt: {TIME}", f"etl_loaded_at: {TIME}"},
    "firebase_etl_prod/users": {f"{name}: string" for name in USER}
    | {"contactAccessGranted: bool", "businessUser: bool", f"createdAt: {TIME}"},
}


# --- the same bytes, in any number


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_sample(tmp_path / name, events=3_000, seed=seed)
    first, other = contents(tmp_path / "a"), contents(tmp_path / "c")
    assert first == contents(tmp_path / "b")
    assert {name for name in first if first[name] == other.get(name)} == {"excluded_users.txt"}


def test_files_hold_the_batches(warehouse: Path) -> None:
    files = sorted((warehouse / "posthog_etl/events").iterdir())
    written = pa.concat_tables([pq.read_table(file) for file in files])
    assert written.equals(pa.Table.from_batches(event_batches(Plan())))


# --- the layout of an append-only export


def test_columns(warehouse: Path) -> None:
    columns = {
        file.parent.relative_to(warehouse).as_posix(): {f"{field.name}: {field.type}" for field in pq.read_schema(file)}
        for file in warehouse.rglob("*.parquet")
    }
    assert columns.keys() == {"posthog_etl/events", "posthog_etl/sessions", *FIREBASE}
    assert {name: columns[name] for name in FIREBASE} == FIREBASE
    events = {f"{field.name}: {field.type}" for field in EVENTS_SCHEMA}
    assert columns["posthog_etl/events"] == events >= {"properties: string", f"timestamp: {TIME}"}
    assert columns["posthog_etl/sessions"] >= {f"start_timestamp: {TIME}", "is_bounce: uint8", "screen_count: uint64"}


def test_files_are_days_of_arrival_in_order(warehouse: Path) -> None:
    files = sorted((warehouse / "posthog_etl/events").iterdir())
    tables = [pq.read_table(file, columns=["timestamp", "bq_ingested_timestamp"]) for file in files]
    for file, table in zip(files, tables, strict=True):
        days = {str(day)[:10] for day in table["bq_ingested_timestamp"].to_pylist()}
        assert days == {file.name[:10]}
    columns = pa.concat_tables(tables).columns
    happened, arrived = (column.cast(pa.int64()).drop_null().to_numpy() for column in columns)
    assert (np.diff(arrived) >= 0).all()
    assert (np.diff(happened) < 0).mean() > 0.2, "files are out of order inside"


def test_row_groups(tmp_path: Path) -> None:
    write_sample(tmp_path / "w", events=150_000, days=1)
    (file,) = (tmp_path / "w/posthog_etl/events").glob("2026-01-05-*")
    metadata = pq.read_metadata(file)
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert len(sizes) > 3
    assert all(32_768 <= size < 37_000 for size in sizes[:-1])


# --- what an event looks like


def test_ids(sql: Sql) -> None:
    """Event ids are of version 7 and their time; session ids of version 4 where the SDK is old."""
    query = "SELECT uuid, epoch_ms(timestamp), session_id, sdk FROM usable"
    for uuid, time, session, sdk in rows(sql, query):
        assert re.fullmatch(UUID % 7, uuid)
        assert int(uuid.replace("-", "")[:12], 16) == time
        assert re.fullmatch(UUID % {3: 4, 4: 7}[sdk], session)


def test_nothing_is_personal(sql: Sql) -> None:
    tables = [rows(sql, f"FROM {table}") for table in ("events", "users", "sessions")]
    text = repr(tables)
    numbers = set(re.findall(r"\+\d+", text.replace("+00:00", "")))
    assert len(numbers) > 200
    assert all(PHONE.fullmatch(number) for number in numbers)
    assert set(re.findall(r"@([a-z.]+)", text)) == {"example.com", "example.org"}
    networks = set(re.findall(r'"\$ip":"(\d+\.\d+\.\d+)', text))
    assert networks == {"192.0.2", "198.51.100", "203.0.113"}


# --- how it is launched


def test_a_folder_with_other_things_is_filled(tmp_path: Path) -> None:
    (tmp_path / "w/posthog_aggregated").mkdir(parents=True)
    write_sample(tmp_path / "w", events=1_000)
    write_sample(tmp_path / "v", events=1_000)
    assert contents(tmp_path / "w") == contents(tmp_path / "v")


def test_a_failed_generation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        write_sample(tmp_path / "w", events=1_000)
    assert list(tmp_path.iterdir()) == []
