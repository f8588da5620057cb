"""The sample warehouse: the same bytes every time, the layout and shape of the real thing, how it is launched."""

from __future__ import annotations

import json
import re
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sample import EVENTS_SCHEMA, Plan, event_batches, write_sample
from sample.__main__ import main
from sample.dice import Dice, uuids
from sample.people import PHONES, distinct_id, phone, user_id
from sample.timeline import arrivals, slots
from tests.sample.conftest import Sql, rows

PHONE = re.compile(r"\+1[2-9]\d\d55501\d\d")
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-%s[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"

#: What an SDK knows of device and app, in its order.
DEVICE = ["$lib", "$lib_version", "$device_type", "$app_build", "$app_name", "$app_namespace"]
DEVICE += ["$app_version", "$device_manufacturer", "$device_name", "$os_name", "$os_version"]
DEVICE_4 = [*DEVICE, "$is_emulator", "$locale", "$timezone", "$screen_height", "$screen_width"]
DEVICE_3 = [*DEVICE, "$screen_height", "$screen_width"]
TOUCH = ["$touch_x", "$touch_y"]
ELEMENTS = ["$session_id", "$event_type", "$elements"]
PROFILE = ["$session_id", "$process_person_profile", "$is_identified"]
FLAGS = "$active_feature_flags"
IDENTITY = ["$anon_distinct_id", "$set"]
KEYS = {
    ("$screen", 3): ["$screen_name", FLAGS, *DEVICE_3, "$session_id"],
    ("$screen", 4): [FLAGS, *DEVICE_4, "$screen_name", *PROFILE],
    ("$autocapture", 3): ["$screen_name", *TOUCH, FLAGS, *DEVICE_3, *ELEMENTS],
    ("$autocapture", 4): ["$screen_name", FLAGS, *DEVICE_4, *TOUCH, *ELEMENTS],
    ("$identify", 3): ["$screen_name", *IDENTITY, FLAGS, *DEVICE_3, "$session_id"],
    ("$identify", 4): [FLAGS, *DEVICE_4, "$screen_name", *IDENTITY, "$session_id"],
    ("Application Opened", 3): [*DEVICE_3, "$session_id"],
    ("Application Opened", 4): [*DEVICE_4, *PROFILE],
}
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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


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


@pytest.mark.parametrize("events", [1, 2, 43, 1_000, 32_768, 65_537])
def test_number_of_rows_is_exact(events: int) -> None:
    batches = list(event_batches(Plan(events, seed=3, start=date(2025, 3, 1), days=3)))
    assert sum(map(len, batches)) == events
    assert all(batch.schema == EVENTS_SCHEMA for batch in batches)


def test_fifty_million_events_start_at_once() -> None:
    batches = list(islice(event_batches(Plan(50_000_000)), 20))
    assert all(0 < len(batch) <= 4_096 for batch in batches)


def test_few_events_wait() -> None:
    """What is held back is the late, the repeated and open sessions, not a share of everything."""
    plan = Plan(400_000, days=4)
    made = np.cumsum([len(slot.events) for slot in slots(plan)])
    given = np.cumsum([len(events) for events in arrivals(slots(plan))])
    assert given[-1] == made[-1] == plan.events
    assert (made - given[:-1]).max() < 0.1 * plan.events


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


@pytest.mark.parametrize(("event", "sdk"), KEYS)
def test_keys_are_those_of_the_sdk_in_its_order(sql: Sql, event: str, sdk: int) -> None:
    texts = rows(sql, f"SELECT properties FROM usable WHERE event = '{event}' AND sdk = {sdk}")
    assert len(texts) > 50
    for text in texts:
        found = list(json.loads(text))
        sent = found[: found.index("$ip")]
        screen = "$screen_name" in sent  # not before the session's first `$screen`
        expected = [key for key in KEYS[event, sdk] if screen or key != "$screen_name"]
        assert [key for key in sent if not key.startswith("$feature/")] == expected
        added = found[len(sent) + 1 :]
        assert all(key.startswith("$geoip_") for key in added)
        assert len(added) in (0, 16)


def test_types_of_values(sql: Sql) -> None:
    kinds: dict[str, set[type]] = {}
    for text in rows(sql, "SELECT properties FROM usable LIMIT 20000"):
        for key, value in json.loads(text).items():
            kinds.setdefault(key, set()).add(type(value))
    assert kinds["$touch_x"] == kinds["$screen_height"] == {int, float}
    assert kinds["$touch_y"] == {int, float, str, bool}
    assert kinds["$app_build"] == kinds["$os_version"] == kinds["$session_id"] == {str}
    assert kinds["$is_emulator"] == kinds["$is_identified"] == {bool}
    assert kinds[FLAGS] == kinds["$elements"] == {list}


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


def test_phone_numbers_are_used_up_once() -> None:
    numbers = {phone(person) for person in range(PHONES)}
    assert len(numbers) == PHONES == 72_000
    assert all(PHONE.fullmatch(number) for number in numbers)
    assert re.fullmatch(r"[A-Za-z0-9]{28}", user_id(PHONES))
    assert distinct_id(PHONES) == user_id(PHONES)


# --- how it is launched


def test_existing_data_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--warehouse", str(tmp_path / "w"), "--events", "1000"]
    assert main(arguments) == 0
    assert "1,000 events" in capsys.readouterr().out
    before = contents(tmp_path)
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "exists already" in message
    assert str(tmp_path / "w") in message
    assert contents(tmp_path) == before


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


@pytest.mark.parametrize("bad", [("--events", "0"), ("--days", "0"), ("--days", "4000")])
def test_bad_options(tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: tuple[str, str]) -> None:
    assert main(["--warehouse", str(tmp_path / "w"), *bad]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"not {bad[1]}" in message
    assert list(tmp_path.iterdir()) == []


def test_draws_depend_on_the_id_alone() -> None:
    dice, ids = Dice(7), np.arange(10_000)
    whole = dice.below("stream", ids, 1_000)
    assert (whole[5_000:] == dice.below("stream", ids[5_000:], 1_000)).all()
    assert (whole != dice.below("other stream", ids, 1_000)).mean() > 0.99
    assert (whole != Dice(8).below("stream", ids, 1_000)).mean() > 0.99
    assert (whole.min(), whole.max()) == (0, 999)
    with pytest.raises(ValueError, match="at most"):
        dice.below("stream", ids, (1 << 31) + 1)
    texts = uuids(dice, "id", ids, ids, ids % 2 == 0).to_pylist()
    assert all(re.fullmatch(UUID % (4, 7)[n % 2 == 0], str(text)) for n, text in enumerate(texts))
    assert len(set(texts)) == len(ids)
