"""One person, whatever the ids, through the pipeline: aliases, versions of documents, excluded persons."""

from __future__ import annotations

import json
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
    put_users,
    run,
    tables_of,
    write_events,
    write_table,
)
from tests.end_to_end.oracle import differences, expected

pytestmark = pytest.mark.usefixtures("place")

DAY = 86_400
PHONE, OTHER = "+12015550100", "+12015550101"
OLD = {"user_id": "u-old", "phoneNumber": PHONE, "fullName": "Ann Old", "email": "ann@example.org"}
NEW = {"user_id": "u-new", "phoneNumber": "+1 (201) 555-0100", "fullName": "Ann New"}
BOB = {"user_id": "u-bob", "phoneNumber": OTHER, "fullName": "Bob Example"}
TOLERANT = ("--max_rejected_ratio", "0.9")


def put_social(warehouse: Path, *events: tuple[str, float, str | None, float | None]) -> None:
    rows = [
        {"user_id": who, "createdAt": at(when), "document_id": document, "etl_loaded_at": loaded and at(loaded)}
        for who, when, document, loaded in events
    ]
    write_table(warehouse, "firebase_etl_prod", tables.FIREBASE_EVENTS, rows)


def owners(warehouse: Path) -> dict[str, str]:
    """Person by session."""
    return {row["session_id"]: row["person_id"] for row in published(warehouse, "sessions").to_pylist()}


def assert_as_expected(warehouse: Path, excluded: tuple[str, ...] = ()) -> None:
    wanted = expected(warehouse, excluded=excluded)
    assert differences(published(warehouse, "sessions"), wanted.sessions) == []
    assert differences(published(warehouse, "persons"), wanted.persons) == []


def test_sessions_and_social_events_of_an_alias_are_the_kept_users(tmp_path: Path) -> None:
    write_events(
        tmp_path,
        [
            *(event(n, "by-old", distinct_id="u-old", seconds=n * 60) for n in range(2)),
            *(event(n, "by-new", distinct_id="u-new", seconds=30 * DAY + n * 60) for n in range(2, 4)),
            *(event(n, "by-phone", distinct_id="0012015550100", seconds=31 * DAY + n * 60) for n in range(4, 6)),
        ],
    )
    put_users(tmp_path, OLD, NEW)
    put_social(tmp_path, ("u-new", 30 * DAY + 150, None, None), ("u-old", 31 * DAY + 290, None, None))
    assert run(tmp_path) == 0
    assert owners(tmp_path) == dict.fromkeys(("by-old", "by-new", "by-phone"), "u-old")
    created = published(tmp_path, "sessions").select(["session_id", "events_created_count"]).to_pylist()
    assert {row["session_id"]: row["events_created_count"] for row in created} == {
        "by-old": 0,
        "by-new": 1,
        "by-phone": 1,
    }
    assert published(tmp_path, "persons").num_rows == 1
    assert_as_expected(tmp_path)

    # the richer account goes: the number and all else is the other's, the old id nobody's
    put_users(tmp_path, NEW)
    assert run(tmp_path) == 0
    assert owners(tmp_path) == {"by-old": "u-old", "by-new": "u-new", "by-phone": "u-new"}
    assert published(tmp_path, "persons").column("user_id").to_pylist() == ["u-new", None]
    assert_as_expected(tmp_path)


def test_the_latest_versions_of_documents_count(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n, distinct_id=PHONE, seconds=n * 300) for n in range(2)])
    put_users(
        tmp_path,
        {**OLD, "document_id": "d1", "etl_loaded_at": at(0)},
        {"user_id": "u-old", "phoneNumber": PHONE, "fullName": "Ann Late", "document_id": "d1", "etl_loaded_at": at(9)},
    )
    put_social(
        tmp_path,
        ("u-old", 100, "e1", 100),
        ("u-old", 100, "e1", 200),
        ("u-old", 110, None, None),
        ("u-old", 110, None, None),
        ("u-old", 900, "e2", 50),
        ("u-old", 120, "e2", 60),
        ("u-bob", 130, "e3", 60),
        ("u-old", 130, "e3", 50),
    )
    assert run(tmp_path) == 0
    [session] = published(tmp_path, "sessions").to_pylist()
    assert (session["fullName"], session["email"], session["events_created_count"]) == ("Ann Late", None, 3)
    assert_as_expected(tmp_path)
    notes = json.loads(ledger(tmp_path)[-1]["notes"])
    assert (notes["users.older_versions"], notes["firebase_events.older_versions"]) == (1, 3)
    assert notes["firebase_events.duplicates"] == 1


def test_posthogs_sessions_meet_ours_in_any_letter_case(tmp_path: Path) -> None:
    session = "018f0000-0000-7000-8000-00000000abcd"
    write_events(tmp_path, [event(1, session)])
    row = {"session_id": session.upper(), "channel_type": "Direct", "is_bounce": True, "end_timestamp": at(9)}
    write_table(tmp_path, "posthog_etl", tables.POSTHOG_SESSIONS, [row])
    assert run(tmp_path) == 0
    assert published(tmp_path, "sessions").column("channel_type").to_pylist() == ["Direct"]
    assert_as_expected(tmp_path)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    """Sessions and broken rows of Ann, who has two accounts, of Bob and of nobody, after a first run."""
    broken = '{"$session_id": "s", "$lib": "posthog-react-native", "email": "ann@example.org"'
    write_events(
        tmp_path,
        [
            event(1, "phone", distinct_id=PHONE),
            event(2, "old", distinct_id="u-old"),
            event(3, "new", distinct_id="u-new"),
            event(4, "mixed", distinct_id="anon-1"),
            event(5, "mixed", distinct_id=PHONE),
            event(6, "bob", distinct_id=OTHER),
            event(7, "nobody", distinct_id="anon-2"),
            event(10, distinct_id=PHONE, properties=broken),
            event(11, distinct_id="u-old", properties=broken),
            event(12, distinct_id="+1 201 555 0100", properties=broken),
            event(13, distinct_id=None, properties={"$user_id": PHONE}),
            event(14, distinct_id=OTHER, properties="bob's"),
            event(15, distinct_id=None),
        ],
    )
    put_users(tmp_path, OLD, NEW, BOB)
    assert run(tmp_path, *TOLERANT) == 0
    assert published(tmp_path, "rejected_events").num_rows == 6
    return tmp_path


def excluding(warehouse: Path, *ids: str) -> tuple[str, ...]:
    path = warehouse / "excluded.txt"
    path.write_text("".join(f"{one}\n" for one in ids))
    return (*TOLERANT, "--excluded_users", str(path))


def whose_letters(warehouse: Path) -> list[str | None]:
    rows = published(warehouse, "rejected_events").column("row").to_pylist()
    return sorted((json.loads(row)["distinct_id"] for row in rows), key=str)


@pytest.mark.parametrize("later", [[], [event(20, "later", distinct_id="u-new", seconds=9 * DAY)]])
def test_an_excluded_person_is_gone_with_the_next_run(
    warehouse: Path, later: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    if later:
        write_events(warehouse, [*later, event(21, distinct_id="u-new", seconds=9 * DAY, properties="[]")], "part-1")
    options = excluding(warehouse, "0012015550100", "nobody-at-all")
    assert run(warehouse, *options) == 0
    notes = json.loads(ledger(warehouse)[-1]["notes"])
    assert (notes["excluded.ids"], notes["excluded.matched"]) == (2, 1)
    assert "2 ids, 1 of them nowhere in what this run saw" in capsys.readouterr().out
    assert owners(warehouse) == {"bob": "u-bob", "nobody": "anon-2"}
    assert set(published(warehouse, "persons").column("person_id").to_pylist()) == {"u-bob", "anon-2"}
    assert whose_letters(warehouse) == [OTHER, None]
    row = ledger(warehouse)[-1]
    assert_adds_up(row)
    assert row["mode"] == "incremental"
    assert_as_expected(warehouse, ("0012015550100",))
    found = tables_of(warehouse)
    assert run(warehouse, "--full_load", *options) == 0
    assert tables_of(warehouse) == found
    assert whose_letters(warehouse) == [OTHER, None]
    assert_adds_up(ledger(warehouse)[-1])


def test_a_user_id_excludes_the_person_of_all_their_accounts(warehouse: Path) -> None:
    assert run(warehouse, *excluding(warehouse, "u-new")) == 0
    assert owners(warehouse) == {"bob": "u-bob", "nobody": "anon-2"}
    assert whose_letters(warehouse) == [OTHER, None, None]
    assert_as_expected(warehouse, ("u-new",))


@pytest.mark.on_bigquery
def test_an_excluded_account_that_changes_makes_the_next_run_a_full_load(warehouse: Path) -> None:
    options = excluding(warehouse, PHONE)
    assert run(warehouse, *options) == 0
    put_users(warehouse, {**OLD, "phoneNumber": None}, NEW, {**BOB, "fullName": "Bob Other"})
    assert run(warehouse, *options) == 0
    assert ledger(warehouse)[-1]["mode"] == "full"
    assert owners(warehouse) == {"bob": "u-bob", "nobody": "anon-2", "old": "u-old"}
    assert_as_expected(warehouse, (PHONE,))
    put_users(warehouse, {**OLD, "phoneNumber": None}, NEW)
    assert run(warehouse, *options) == 0
    assert ledger(warehouse)[-1]["mode"] == "incremental"
    assert_as_expected(warehouse, (PHONE,))


def test_users_that_are_lost_bring_nobody_back(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = excluding(warehouse, "u-new")
    assert run(warehouse, *options) == 0
    before = tables_of(warehouse)
    (warehouse / "firebase_etl_prod" / "users").rename(warehouse / "users of before")
    assert run(warehouse, *options) == 1
    assert ".users, and the last run had such a table: check --posthog_dataset and" in capsys.readouterr().err
    assert tables_of(warehouse) == before
    (warehouse / "users of before").rename(warehouse / "firebase_etl_prod" / "users")
    assert run(warehouse, *options) == 0
    assert tables_of(warehouse) == before


def test_who_is_taken_off_the_list_comes_back_with_a_full_load(
    warehouse: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tables_of(warehouse)
    assert run(warehouse, *excluding(warehouse, PHONE, "u-none")) == 0
    assert "taken off" not in capsys.readouterr().out
    for _ in range(2):
        assert run(warehouse, *excluding(warehouse, "u-none")) == 0
        assert "1 ids were taken off --excluded_users: --full_load brings back" in capsys.readouterr().out
    assert run(warehouse, "--full_load", *excluding(warehouse)) == 0
    assert "taken off" not in capsys.readouterr().out
    assert tables_of(warehouse) == before
    assert published(warehouse, "rejected_events").num_rows == 6
