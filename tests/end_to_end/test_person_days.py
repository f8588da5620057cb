"""The days of persons in whole runs: what came since changes the days of those whom it concerns, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from tests.builders import START, at, changes_of, event, notes, published, run, write_events, write_table
from transforms.published.changes import RUN_ID

DAY = 86_400
PHONE = "+12015550100"
FIRST = START.date()
FIREBASE = "firebase_etl_prod"


def days(warehouse: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """(person, days after the first) → row, as published."""
    rows = published(warehouse, "person_days", run_columns=True).to_pylist()
    return {(row["person_id"], (row["date"] - FIRST).days): row for row in rows}


def invite(number: int, who: str, day: float, status: str, version: int = 0, to: str = "e1") -> dict[str, Any]:
    """A row of `firebase.userinvites`."""
    row = {"document_id": f"i{number}", "user_id": who, "event_id": to, "createdAt": at(day * DAY), "status": status}
    return row | {"etl_loaded_at": at(version)}


def write_source(warehouse: Path) -> None:
    """Ann and Bob have accounts; Ann is known by her phone number, Cy was only invited, Dee is nobody's distinct id."""
    rows = [
        event(1, "s1", distinct_id=PHONE, seconds=0),
        event(2, "s1", distinct_id=PHONE, seconds=DAY),
        event(3, "s2", distinct_id=PHONE, seconds=3 * DAY),
        event(4, "s3", distinct_id="bob", seconds=2 * DAY),
        event(5, "s4", distinct_id="dee", seconds=3 * DAY),
    ]
    write_events(warehouse, rows)
    users = [{"user_id": "ann", "phoneNumber": PHONE}, {"user_id": "bob"}, {"user_id": "cy"}]
    write_table(warehouse, FIREBASE, tables.USERS, users)
    created = [{"document_id": "e1", "user_id": "ann", "createdAt": at(2 * DAY), "type": "base"}]
    write_table(warehouse, FIREBASE, tables.FIREBASE_EVENTS, created)
    invites = [invite(1, "bob", 2.1, "invited"), invite(2, "cy", 2.1, "accepted"), invite(3, "gone", 2.1, "accepted")]
    write_table(warehouse, FIREBASE, tables.USER_INVITES, invites)


@pytest.mark.usefixtures("place")
def test_only_the_days_of_those_whom_it_concerns_change(tmp_path: Path) -> None:
    write_source(tmp_path)
    assert run(tmp_path) == 0
    before = days(tmp_path)
    assert before.keys() == {("ann", 0), ("ann", 1), ("ann", 2), ("ann", 3), ("bob", 2), ("cy", 2), ("dee", 3)}
    assert changes_of(tmp_path, "person_days") == {"inserted": 7}
    assert (before["ann", 2]["events_created_count"], before["ann", 2]["is_app_active"]) == (1, False)
    assert before["ann", 3]["previous_active_date"] == FIRST + timedelta(days=1)
    # nothing came
    assert run(tmp_path) == 0
    assert days(tmp_path) == before
    assert changes_of(tmp_path, "person_days") == {"unchanged": 7}
    # Bob answers, and Cy is invited once more
    more = [invite(1, "bob", 2.1, "rejected", 1), invite(4, "cy", 3.1, "invited")]
    write_table(tmp_path, FIREBASE, tables.USER_INVITES, more, name="part-1")
    assert run(tmp_path) == 0
    after = days(tmp_path)
    assert changes_of(tmp_path, "person_days") == {"inserted": 1, "unchanged": 6, "updated": 1}
    assert {key for key, row in after.items() if before.get(key) != row} == {("bob", 2), ("cy", 3)}
    assert (after["bob", 2]["invites_pending"], after["bob", 2]["invites_rejected"]) == (0, 1)
    # a session of Ann's comes late, and moves what the day after it was preceded by
    late = event(6, "s6", distinct_id="ann", seconds=2.2 * DAY, arrives=3.2 * DAY)
    write_events(tmp_path, [late], "part-1")
    assert run(tmp_path) == 0
    latest = days(tmp_path)
    assert {key for key, row in latest.items() if after[key] != row} == {("ann", 2), ("ann", 3)}
    assert latest["ann", 3]["previous_active_date"] == FIRST + timedelta(days=2)
    assert latest["ann", 2][RUN_ID] == latest["ann", 3][RUN_ID] != latest["ann", 1][RUN_ID]
    # whoever is excluded leaves with all days
    (tmp_path / "excluded.txt").write_text(f"{PHONE}\ncy\ndee\n")
    assert run(tmp_path, f"--excluded_users={tmp_path / 'excluded.txt'}") == 0
    assert days(tmp_path).keys() == {("bob", 2)}
    found = notes(tmp_path)
    assert (found["firebase_events.excluded_user"], found["firebase_userinvites.excluded_user"]) == (1, 2)


def test_without_the_tables_of_firebase_days_are_of_sessions_alone(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1), event(2, "s2", seconds=DAY)])
    assert run(tmp_path) == 0
    rows = days(tmp_path)
    assert rows.keys() == {("anon-1", 0), ("anon-1", 1)}
    assert {row["is_social_active"] for row in rows.values()} == {False}


@pytest.mark.emulator
def test_partitions_and_clusters(tmp_path: Path, bigquery: Any) -> None:
    write_events(tmp_path, [event(1)])
    assert run(tmp_path) == 0
    made = bigquery.metadata(tmp_path, "person_days")
    assert (made.time_partitioning.field, made.clustering_fields) == ("date", ["person_id"])
