"""Incremental runs through the pipeline: a year in many runs equals one full load; only what changed is written."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from tests.builders import (
    assert_adds_up,
    at,
    event,
    ledger,
    published,
    run,
    tables_of,
    write_events,
    write_table,
)
from transforms.incremental.watermark import SUPPORT

pytestmark = pytest.mark.usefixtures("place")

HOUR = 3_600
DAY = 24 * HOUR
PHONES = [f"+120155501{n:02d}" for n in range(12)]
SCREENS = ["Home", "Discover", "Chat"]
NAMES = ["$screen", "$autocapture", "view_event", "join_event", "Application Opened"]


def year(rng: random.Random) -> list[dict[str, Any]]:
    """Events of a year by arrival: sessions up to a day long, up to 3 days late, some rows twice."""
    rows = []
    for session in range(260):
        start = rng.uniform(0, 365) * DAY
        who = rng.choice([f"anon-{session % 40}", *PHONES])
        for number in range(rng.randint(1, 8)):
            seconds = start + rng.choice([number * 20, rng.uniform(0, 24) * HOUR])
            arrives = seconds + rng.choice([60, 60, 60, rng.uniform(0, 72) * HOUR])
            row = event(
                len(rows),
                f"session-{session}",
                name=rng.choice(NAMES),
                distinct_id=rng.choice([who, who, who, rng.choice(PHONES)]),
                seconds=seconds,
                arrives=arrives,
                properties={"$screen_name": rng.choice(SCREENS), "$touch_y": number, "$screen_height": 9},
            )
            rows.append(row)
            if rng.random() < 0.05:
                rows.append({**row, "bq_ingested_timestamp": at(rng.uniform(arrives, seconds + 72 * HOUR))})
    return sorted(rows, key=lambda row: row["bq_ingested_timestamp"])


def people(rng: random.Random, until: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The users who have signed up by then and the Firebase events they have created."""
    users, social = [], []
    for number, phone in enumerate(PHONES):
        signed_up = rng.uniform(0, 400) * DAY
        twin = rng.random() < 0.3
        if signed_up > until:
            continue
        users.append({"user_id": f"user-{number}", "phoneNumber": phone, "createdAt": at(signed_up)})
        if twin:
            users.append({"user_id": f"twin-{number}", "phoneNumber": phone, "fullName": "Ann Example"})
        social += [{"user_id": f"user-{number}", "createdAt": at(rng.uniform(signed_up, until))} for _ in range(20)]
    return users, social


def put_people(warehouse: Path, users: list[dict[str, Any]], social: list[dict[str, Any]]) -> None:
    write_table(warehouse, "firebase_etl_prod", tables.USERS, users)
    write_table(warehouse, "firebase_etl_prod", tables.FIREBASE_EVENTS, social)


def test_a_year_in_many_runs_equals_one_full_load(tmp_path: Path, place: str) -> None:
    rows = year(random.Random(3))
    warehouse, whole = tmp_path / "daily", tmp_path / "whole"
    parts = 12 if place == "folder" else 4  # a run through the emulators takes seconds
    ends = [at(part * 396 / parts * DAY) for part in range(1, parts)] + [at(500 * DAY)]
    begin = rows[0]["bq_ingested_timestamp"]
    for part, end in enumerate(ends):
        batch = [row for row in rows if begin <= row["bq_ingested_timestamp"] < end]
        begin = end
        write_events(warehouse, batch, name=f"part-{part:02d}")
        put_people(warehouse, *people(random.Random(4), (part + 1) * 396 / parts * DAY))
        assert run(warehouse) == 0
    write_events(whole, rows)
    put_people(whole, *people(random.Random(4), 396 * DAY))
    assert run(whole, "--full_load") == 0
    assert tables_of(warehouse) == tables_of(whole)

    runs = ledger(warehouse)
    assert [row["mode"] for row in runs] == ["full"] + ["incremental"] * (parts - 1)
    for row in runs:
        assert_adds_up(row)
        assert row["sessions_too_old"] == 0
    marks = [row["watermark"] for row in runs]
    assert marks == sorted(marks)
    assert marks[-1] == sorted(row["bq_ingested_timestamp"] for row in rows)[-SUPPORT]
    if place == "folder":  # the emulator's dry runs know no bytes
        assert runs[-1]["bytes_read"] < runs[-1]["bytes_total"] / 3

    before = {name: published(warehouse, name, run_columns=True) for name in ("sessions", "persons")}
    assert run(warehouse) == 0
    after = {name: published(warehouse, name, run_columns=True) for name in ("sessions", "persons")}
    assert after == before
    last = ledger(warehouse)[-1]
    changes = ("inserted", "updated", "deleted")
    assert {last[f"{t}_{change}"] for t in ("sessions", "persons") for change in changes} == {0}
    assert last["sessions_unchanged"] == before["sessions"].num_rows


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Two persons' sessions and one of long ago, after a first run."""
    rows = [
        event(1, "old", distinct_id="anon-1", seconds=0),
        event(2, "known", distinct_id=PHONES[0], seconds=60),
        *[event(100 + n, "other", distinct_id=PHONES[1], seconds=60 * DAY) for n in range(SUPPORT)],
    ]
    write_events(tmp_path, rows)
    put_people(tmp_path, [{"user_id": "user-0", "phoneNumber": PHONES[0], "fullName": "Ann Example"}], [])
    assert run(tmp_path) == 0
    return tmp_path


def sessions(warehouse: Path) -> dict[str, dict[str, Any]]:
    rows = published(warehouse, "sessions", run_columns=True).to_pylist()
    return {row["session_id"]: row for row in rows}


def assert_equals_full_load(warehouse: Path, *options: str) -> None:
    found = tables_of(warehouse)
    assert run(warehouse, "--full_load", *options) == 0
    assert tables_of(warehouse) == found


def test_a_changed_profile_and_a_late_firebase_event_show_in_old_sessions(warehouse: Path) -> None:
    before = sessions(warehouse)
    users = [{"user_id": "user-0", "phoneNumber": PHONES[0], "fullName": "Ann Other"}]
    put_people(warehouse, users, [{"user_id": "user-0", "createdAt": at(60)}])
    assert run(warehouse) == 0
    after = sessions(warehouse)
    assert after["known"]["fullName"] == "Ann Other"
    assert after["known"]["created_event"]
    assert after["known"]["_loaded_at"] > before["known"]["_loaded_at"]
    assert after["known"]["_run_id"] != before["known"]["_run_id"]
    assert after["old"] == before["old"]
    assert ledger(warehouse)[-1]["sessions_updated"] == 1
    assert_equals_full_load(warehouse)


def test_a_user_who_signs_up_later_gets_the_session_and_the_anonymous_person_goes(warehouse: Path) -> None:
    put_people(warehouse, [{"user_id": "user-9", "phoneNumber": PHONES[1]}], [])
    assert run(warehouse) == 0
    assert sessions(warehouse)["other"]["person_id"] == "user-9"
    persons = published(warehouse, "persons").column("person_id").to_pylist()
    assert persons == [PHONES[0], "anon-1", "user-9"]
    assert ledger(warehouse)[-1]["persons_deleted"] == 2
    assert_equals_full_load(warehouse)


def test_a_removed_duplicate_user_changes_the_match(warehouse: Path) -> None:
    twins = [
        {"user_id": "user-0", "phoneNumber": PHONES[0]},
        {"user_id": "user-1", "phoneNumber": PHONES[0], "email": "ann@example.com"},
    ]
    put_people(warehouse, twins, [])
    assert run(warehouse) == 0
    assert sessions(warehouse)["known"]["user_id"] == "user-1"
    put_people(warehouse, twins[:1], [])
    assert run(warehouse) == 0
    assert sessions(warehouse)["known"]["user_id"] == "user-0"
    assert_equals_full_load(warehouse)


@pytest.mark.on_bigquery
def test_a_newly_excluded_user_leaves_old_sessions(warehouse: Path, tmp_path: Path) -> None:
    write_events(warehouse, [event(7, "old", distinct_id=PHONES[5], seconds=30, arrives=60 * DAY)], name="part-1")
    assert run(warehouse, "--start_date", "2025-01-05", "--end_date", "2025-01-06") == 0
    assert sessions(warehouse)["old"]["distinct_ids"] == [PHONES[5], "anon-1"]
    excluded = tmp_path / "excluded.txt"
    excluded.write_text(f"{PHONES[5]}\n\n{PHONES[0]}\n")
    options = ("--excluded_users", str(excluded))
    assert run(warehouse, *options) == 0
    assert set(sessions(warehouse)) == {"old", "other"}
    assert sessions(warehouse)["old"]["distinct_ids"] == ["anon-1"]
    assert_equals_full_load(warehouse, *options)


@pytest.mark.on_bigquery
def test_late_beyond_the_lateness_is_listed_and_settled_by_a_backfill(warehouse: Path) -> None:
    write_events(warehouse, [event(8, "old", seconds=90, arrives=61 * DAY)], name="part-1")
    assert run(warehouse) == 0
    assert sessions(warehouse)["old"]["event_count"] == 1
    row = ledger(warehouse)[-1]
    assert (row["sessions_too_old"], row["too_old_sessions"]) == (1, ["old"])
    assert run(warehouse, "--start_date", "2025-01-05", "--end_date", "2025-01-06") == 0
    assert sessions(warehouse)["old"]["event_count"] == 2
    assert ledger(warehouse)[-1]["watermark"] == row["watermark"]
    assert run(warehouse) == 0
    row = ledger(warehouse)[-1]  # the event is in the overlap still, and in the session's row
    assert (json.loads(row["filtered"])["late"], row["sessions_too_old"]) == (1, 0)
    assert_equals_full_load(warehouse)


@pytest.mark.on_bigquery
def test_a_history_that_was_loaded_in_one_go_is_no_news_to_the_next_night(tmp_path: Path) -> None:
    rows = [event(n, f"s{n // 2}", seconds=n * DAY / 8, arrives=100 * DAY) for n in range(400)]
    write_events(tmp_path, rows)
    assert run(tmp_path) == 0
    write_events(tmp_path, [event(400, "s7", seconds=DAY, arrives=100.5 * DAY)], name="part-1")
    assert run(tmp_path) == 0
    row = ledger(tmp_path)[-1]
    assert json.loads(row["filtered"])["late"] > 300
    assert (row["sessions_too_old"], row["too_old_sessions"]) == (1, ["s7"])
    assert sessions(tmp_path)["s7"]["event_count"] == 2


def test_without_arrival_the_lateness_decides(tmp_path: Path) -> None:
    rows = [event(n, f"s{n}", seconds=n * DAY) for n in range(10)]
    late = event(50, "s4", seconds=4 * DAY + 60)
    for name, part in (("part-0", rows[:6]), ("part-1", [*rows[6:], late])):
        missing = ["bq_ingested_timestamp"]
        write_table(tmp_path, "posthog_etl", tables.EVENTS, part, name=name, without=missing)
        assert run(tmp_path) == 0
    assert sessions(tmp_path)["s4"]["event_count"] == 2
    assert_equals_full_load(tmp_path)


def test_a_null_arrival_among_others_is_as_in_a_table_without_arrivals(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n, f"s{n}", seconds=n * DAY) for n in range(10)])
    assert run(tmp_path) == 0
    late = event(50, "s8", seconds=8 * DAY + 60) | {"bq_ingested_timestamp": None}
    timeless = event(51, "s8") | {"bq_ingested_timestamp": None, "timestamp": None}
    write_events(tmp_path, [late, timeless], name="part-1")
    assert run(tmp_path, "--max_rejected_ratio", "0.5") == 0
    assert sessions(tmp_path)["s8"]["event_count"] == 2
    assert ledger(tmp_path)[-1]["rows_rejected"] == 1
    assert_equals_full_load(tmp_path, "--max_rejected_ratio", "0.5")


def test_equal_arrivals_over_two_runs_with_no_overlap(tmp_path: Path) -> None:
    for number in range(2):
        write_events(tmp_path, [event(number, seconds=60 * number, arrives=HOUR)], name=f"part-{number}")
        assert run(tmp_path, "--overlap_hours", "0", "--lateness_days", "0") == 0
    assert sessions(tmp_path)["s1"]["event_count"] == 2
    assert_equals_full_load(tmp_path)


@pytest.mark.on_bigquery
def test_rejected_rows_are_kept_once(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n) for n in range(99)] + [event(200, properties="nope")])
    for _ in range(2):
        assert run(tmp_path) == 0
        assert published(tmp_path, "rejected_events").num_rows == 1
    assert ledger(tmp_path)[-1]["rows_rejected"] == 1


def test_a_time_that_cannot_be_is_rejected_when_it_is_new_and_not_every_night(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1), event(200, seconds=5_000 * DAY, arrives=60)])
    assert run(tmp_path, "--max_rejected_ratio", "0.5") == 0
    write_events(tmp_path, [event(2 + n, "later", seconds=10 * DAY) for n in range(SUPPORT)], name="part-1")
    assert run(tmp_path, "--max_rejected_ratio", "0.5") == 0
    assert run(tmp_path) == 0
    assert [row["rows_rejected"] for row in ledger(tmp_path)][::2] == [1, 0]
    assert published(tmp_path, "rejected_events").num_rows == 1


def test_a_backfill_before_any_full_load_is_followed_by_one(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n, f"s{n}", seconds=n * DAY) for n in range(5)])
    assert run(tmp_path, "--start_date", "2025-01-06", "--end_date", "2025-01-08") == 0
    assert set(sessions(tmp_path)) == {"s1", "s2"}
    assert run(tmp_path) == 0
    assert ledger(tmp_path)[-1]["mode"] == "full"
    assert len(sessions(tmp_path)) == 5
