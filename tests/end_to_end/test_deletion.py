"""Requests to be deleted, through the pipeline: the person is gone from every table, and does not come back unasked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from tests.builders import (
    OUTPUTS,
    SMALL_METRICS_FILE,
    assert_adds_up,
    at,
    event,
    has_published,
    ledger,
    notes,
    published,
    put_users,
    run,
    tables_of,
    write_events,
    write_table,
)

DAY = 86_400
PHONE, OTHER = "+12015550100", "+12015550101"
ANN = {"user_id": "u-ann", "phoneNumber": PHONE, "fullName": "Ann Example"}
BOB = {"user_id": "u-bob", "phoneNumber": OTHER, "fullName": "Bob Example"}
TOLERANT = ("--max_rejected_ratio", "0.9")
LINK = {"event_id": "party"}


def ask(warehouse: Path, *requests: dict[str, Any]) -> None:
    write_table(warehouse, "privacy", tables.DELETION_REQUESTS, requests)


def owners(warehouse: Path) -> dict[str, str]:
    return {row["session_id"]: row["person_id"] for row in published(warehouse, "sessions").to_pylist()}


def run_first(warehouse: Path) -> Path:
    """Sessions, days, links and a broken row each of Ann, of Bob and of nobody, after a first run."""
    write_events(
        warehouse,
        [
            event(1, "phone", name="view_event", distinct_id=PHONE, properties=LINK),
            event(2, "by-id", distinct_id="u-ann", seconds=2 * DAY),
            event(3, "mixed", distinct_id="anon-1"),
            event(4, "mixed", distinct_id="0012015550100"),
            event(5, "bob", name="view_event", distinct_id=OTHER, properties=LINK),
            event(6, "nobody", distinct_id="anon-2"),
            event(10, distinct_id=PHONE, properties="[]"),
            event(11, distinct_id=OTHER, properties="[]"),
            event(12, distinct_id=None, properties={"$user_id": "u-ann", "phone": PHONE}),
        ],
    )
    put_users(warehouse, ANN, BOB)
    rows = [{"user_id": who, "createdAt": at(9 * DAY)} for who in ("u-ann", "u-bob")]
    write_table(warehouse, "firebase_etl_prod", tables.FIREBASE_EVENTS, rows)
    assert run(warehouse, *TOLERANT) == 0
    assert published(warehouse, "rejected_events").num_rows == 3
    return warehouse


@pytest.fixture(scope="module")
def after_first_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_first(tmp_path_factory.mktemp("first"))


@pytest.fixture
def warehouse(after_first_run: Path, tmp_path: Path) -> Path:
    """A copy, so that no test sees what another one has published."""
    return shutil.copytree(after_first_run, tmp_path, symlinks=True, dirs_exist_ok=True)


def assert_ann_is_gone(warehouse: Path) -> None:
    assert owners(warehouse) == {"bob": "u-bob", "nobody": "anon-2"}
    assert set(published(warehouse, "persons").column("person_id").to_pylist()) == {"u-bob", "anon-2"}
    assert set(published(warehouse, "person_days").column("person_id").to_pylist()) == {"u-bob", "anon-2"}
    assert published(warehouse, "session_links").column("session_id").to_pylist() == ["bob"]
    rows = published(warehouse, "rejected_events").column("row").to_pylist()
    assert [json.loads(row)["distinct_id"] for row in rows] == [OTHER]
    for table in OUTPUTS:
        told = published(warehouse, table, run_columns=True).to_pylist()
        assert not any(text in str(told) for text in ("u-ann", "12015550100", "Ann"))
    assert_adds_up(ledger(warehouse)[-1])


@pytest.mark.parametrize(
    "request_", [{"user_id": "u-ann"}, {"distinct_id": "0012015550100"}, {"user_id": "u-ann", "distinct_id": PHONE}]
)
def test_a_person_who_asks_is_gone_with_the_next_run(
    warehouse: Path, request_: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ask(warehouse, request_, request_ | {"requested_at": at(0)}, {"user_id": "u-none"}, {"distinct_id": "undefined"})
    assert run(warehouse, *TOLERANT) == 0
    out = capsys.readouterr().out
    assert f"deletion   {len(request_) + 1} ids, 1 of them nowhere in what this run saw" in out
    assert ("no request names" in out) == (len(request_) == 1)
    assert_ann_is_gone(warehouse)
    row, found = ledger(warehouse)[-1], notes(warehouse)
    assert row["mode"] == "incremental"
    assert (found["deletion.requested"], found["deletion.matched"]) == (len(request_) + 1, len(request_))
    assert (found["deletion.incomplete"], found["excluded.sessions"]) == (1, 3)
    assert (row["sessions_deleted"], row["persons_deleted"]) == (3, 1)
    assert "excluded.ids" not in found
    before = tables_of(warehouse)
    for options in ((), ("--full_load",)):
        assert run(warehouse, *TOLERANT, *options) == 0
        assert tables_of(warehouse) == before
        assert_ann_is_gone(warehouse)
        assert "excluded.sessions" not in notes(warehouse)


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_the_account_goes_too_and_nothing_comes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warehouse = run_first(tmp_path)
    ask(warehouse, {"user_id": "u-ann", "distinct_id": PHONE})
    assert run(warehouse, *TOLERANT) == 0
    assert run(warehouse, *TOLERANT, "--privacy_dataset", "elsewhere") == 1
    assert "there is no table deletion_requests in --privacy_dataset" in capsys.readouterr().err
    assert_ann_is_gone(warehouse)
    put_users(warehouse, BOB)
    write_events(warehouse, [event(20, "later", distinct_id=PHONE, seconds=9 * DAY)], "part-1")
    for options in ((), ("--full_load",)):
        assert run(warehouse, *TOLERANT, *options) == 0
        assert ledger(warehouse)[-1]["mode"] == ("full" if options else "incremental")
        assert_ann_is_gone(warehouse)


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("is_emptied", [False, True])
def test_what_no_request_names_comes_back_only_when_it_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_emptied: bool
) -> None:
    """The account's row is gone, or the export has a later version of its document, of nobody."""
    warehouse = run_first(tmp_path)
    ask(warehouse, {"user_id": "u-ann"})
    assert run(warehouse, *TOLERANT) == 0
    emptied = [ANN | {"document_id": "d", "etl_loaded_at": at(0)}, {"document_id": "d", "etl_loaded_at": at(1)}]
    put_users(warehouse, BOB, *(emptied if is_emptied else ()))
    assert run(warehouse, *TOLERANT) == 1
    assert "1 ids of deletion requests would come back with it" in capsys.readouterr().err
    assert_ann_is_gone(warehouse)
    ask(warehouse, {"user_id": "u-ann", "distinct_id": PHONE})
    assert run(warehouse, "--full_load", *TOLERANT) == 0
    assert_ann_is_gone(warehouse)
    assert run(warehouse, *TOLERANT) == 0


def test_a_request_that_vanishes_is_told_until_a_full_load(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(warehouse, {"distinct_id": PHONE}, {"user_id": "u-ann"})
    later = [event(n, f"more-{n}", distinct_id="anon-2", seconds=60 * DAY + n) for n in range(30, 51)]
    write_events(warehouse, later, "part-1")
    assert run(warehouse, *TOLERANT) == 0
    ask(warehouse)
    assert run(warehouse, *TOLERANT) == 0
    capsys.readouterr()
    assert run(warehouse, *TOLERANT) == 0
    assert "2 deletion requests are gone, or what they stood for is: --full_load brings back" in capsys.readouterr().out
    assert not {"phone", "by-id", "mixed"} & set(owners(warehouse))
    assert run(warehouse, "--full_load", *TOLERANT) == 0
    assert "this full load brings back who they hid" in capsys.readouterr().out
    assert {"phone", "by-id", "mixed"} <= set(owners(warehouse))


def test_a_night_without_the_table_stops(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask(warehouse, {"distinct_id": PHONE})
    assert run(warehouse, *TOLERANT) == 0
    capsys.readouterr()
    for options in ((), ("--full_load",)):
        assert run(warehouse, *TOLERANT, "--privacy_dataset", "elsewhere", *options) == 1
        assert "there is no table deletion_requests in --privacy_dataset" in capsys.readouterr().err
    assert_ann_is_gone(warehouse)


def test_a_request_of_later_waits(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tables_of(warehouse)
    ask(warehouse, {"user_id": "u-ann", "requested_at": at(40 * 365 * DAY)})
    assert run(warehouse, *TOLERANT) == 0
    assert "1 deletion requests hold from a later time on" in capsys.readouterr().out
    assert notes(warehouse)["deletion.waiting"] == 1
    assert tables_of(warehouse) == before


def test_a_table_that_names_nobody_stops_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path, [event(1)])
    write_table(
        tmp_path, "privacy", tables.DELETION_REQUESTS, [{"requested_at": at(0)}], without=("user_id", "distinct_id")
    )
    assert run(tmp_path) == 1
    assert "no row of deletion_requests has a user_id or a distinct_id" in capsys.readouterr().err
    assert not has_published(tmp_path)


def test_a_backfill_deletes_everywhere(warehouse: Path) -> None:
    ask(warehouse, {"user_id": "u-ann", "distinct_id": PHONE})
    assert run(warehouse, *TOLERANT, "--start_date", "2025-01-07", "--end_date", "2025-01-08") == 0
    assert owners(warehouse) == {"bob": "u-bob", "nobody": "anon-2"}
    assert run(warehouse, *TOLERANT) == 0
    assert_ann_is_gone(warehouse)


@pytest.mark.parametrize("is_listed", [False, True])
def test_a_late_event_of_a_person_who_is_left_out_takes_its_session_along(tmp_path: Path, is_listed: bool) -> None:
    """It lies before the window, and no other event of the session is read: the id alone says whose it is."""
    options = list(TOLERANT)
    if is_listed:
        (tmp_path / "excluded.txt").write_text("u-ann\n")
        put_users(tmp_path, ANN)
        options += ["--excluded_users", str(tmp_path / "excluded.txt")]
    else:
        ask(tmp_path, {"distinct_id": "u-ann"})

    def others(day: int) -> list[dict[str, Any]]:
        return [event(100 * day + n, f"of-{day}", seconds=day * DAY, arrives=day * DAY + 60) for n in range(10)]

    write_events(tmp_path, [event(1, "shared", distinct_id="anon-1"), *others(10)], "part-0")
    assert run(tmp_path, *options) == 0
    assert "shared" in owners(tmp_path)
    late = event(2, "shared", distinct_id="u-ann", seconds=60, arrives=11 * DAY)
    write_events(tmp_path, [late, *others(11)], "part-1")
    assert run(tmp_path, *options) == 0
    assert ledger(tmp_path)[-1]["mode"] == "incremental"
    found = tables_of(tmp_path)
    assert set(owners(tmp_path)) == {"of-10", "of-11"}
    assert run(tmp_path, "--full_load", *options) == 0
    assert tables_of(tmp_path) == found


def test_events_that_do_not_count_take_no_session_along(tmp_path: Path) -> None:
    """A run that is not asked to read the session again could not know of them: its row has none of their ids."""
    write_events(
        tmp_path,
        [
            event(1, "shared", distinct_id="anon-1"),
            event(2, "shared", distinct_id="u-ann") | {"uuid": None},
            event(3, "shared", distinct_id="u-ann", lib="web"),
            *(event(100 + n, "later", seconds=10 * DAY) for n in range(10)),
        ],
    )
    assert run(tmp_path, *TOLERANT) == 0
    ask(tmp_path, {"user_id": "u-ann"})
    assert run(tmp_path, *TOLERANT) == 0
    assert ledger(tmp_path)[-1]["mode"] == "incremental"
    assert published(tmp_path, "rejected_events").num_rows == 0
    found = tables_of(tmp_path)
    assert set(owners(tmp_path)) == {"later", "shared"}
    assert run(tmp_path, "--full_load", *TOLERANT) == 0
    assert tables_of(tmp_path) == found


def test_an_id_beyond_the_sample_of_an_oversized_session_takes_it_along(tmp_path: Path) -> None:
    (tmp_path / "metrics.toml").write_text(SMALL_METRICS_FILE)
    options = ("--metrics_file", str(tmp_path / "metrics.toml"))
    hot = [event(n, "hot", distinct_id=f"id-{n:02d}", seconds=n) for n in range(20)]
    write_events(tmp_path, [*hot, *(event(100 + n, f"later-{n}", seconds=10 * DAY) for n in range(10))])
    assert run(tmp_path, *options) == 0
    [row] = [row for row in published(tmp_path, "sessions").to_pylist() if row["session_id"] == "hot"]
    assert row["is_oversized"]
    unseen = min({one["distinct_id"] for one in hot} - set(row["distinct_ids"]))
    ask(tmp_path, {"distinct_id": unseen})
    assert run(tmp_path, *options) == 0
    assert ledger(tmp_path)[-1]["mode"] == "incremental"
    found = tables_of(tmp_path)
    assert "hot" not in owners(tmp_path)
    assert run(tmp_path, "--full_load", *options) == 0
    assert tables_of(tmp_path) == found
