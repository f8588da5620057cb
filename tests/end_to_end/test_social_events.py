"""Social events in whole runs: what came since changes the rows that it concerns, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from tests.builders import at, changes_of, event, ledger, published, run, write_events, write_table

DAY = 86_400
PHONE = "+12015550100"
FIREBASE = "firebase_etl_prod"


def rows(warehouse: Path) -> dict[str, dict[str, Any]]:
    """Social event → row, as published."""
    found = published(warehouse, "social_events", run_columns=True).to_pylist()
    return {row["social_event_id"]: row for row in found}


def changed(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> set[str]:
    """The social events whose rows are others, or others' (`_run_id` is a column too)."""
    return {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}


def document(name: str | None, host: str, day: float, version: int = 0, **values: Any) -> dict[str, Any]:
    """A row of `firebase.events`."""
    return {"document_id": name, "user_id": host, "createdAt": at(day * DAY), "etl_loaded_at": at(version)} | values


def invite(number: int, who: str, to: str, status: str, version: int = 0) -> dict[str, Any]:
    """A row of `firebase.userinvites`."""
    row = {"document_id": f"i{number}", "user_id": who, "event_id": to, "createdAt": at(DAY), "status": status}
    return row | {"etl_loaded_at": at(version)}


def about(number: int, session: str, name: str, to: str, who: str, day: float, **times: float) -> dict[str, Any]:
    """An event of a session that names a social event."""
    return event(number, session, name=name, distinct_id=who, seconds=day * DAY, properties={"event_id": to}, **times)


def write_source(warehouse: Path) -> None:
    """Ann, who is known by her phone number, has an old account too; Gus, who has none anymore, made an event."""
    write_events(
        warehouse,
        [
            about(1, "s1", "view_event", "e1", PHONE, 0),
            about(2, "s1", "join_event", "e1", PHONE, 0.01),
            about(3, "s2", "view_event", "e1", "ann", 1),
            about(4, "s3", "view_event", "e1", "bob", 1),
            about(5, "s3", "view_event", "e2", "bob", 1.01),
            about(6, "s4", "join_event", "e3", "anon", 1),
            about(7, "s4", "send_invite_to_event", "e2", "anon", 1.01),
            *(event(number, "s5", seconds=12 * DAY) for number in range(20, 40)),
        ],
    )
    users = [
        {"user_id": "ann", "phoneNumber": PHONE, "fullName": "Ann"},
        {"user_id": "ann-old", "phoneNumber": PHONE},
        {"user_id": "bob"},
    ]
    write_table(warehouse, FIREBASE, tables.USERS, users)
    created = [
        document("e1", "ann", 1, type="base", startTime=at(2.5 * DAY)),
        document("e2", "ann-old", 0.5, type="checkin", startTime=at(0.5 * DAY)),
        document("e3", "gus", 1, eventDate=at(DAY)),
        document(None, "bob", 2),
    ]
    write_table(warehouse, FIREBASE, tables.FIREBASE_EVENTS, created)
    invites = [
        invite(1, "bob", "e1", "invited"),
        invite(2, "cy", "e1", "accepted"),
        invite(3, "ann", "e3", "rejected"),
        invite(4, "bob", "e1", "perhaps"),
        invite(5, "bob", "gone", "accepted"),
    ]
    write_table(warehouse, FIREBASE, tables.USER_INVITES, invites)


@pytest.mark.usefixtures("place")
def test_only_the_rows_that_it_concerns_change(tmp_path: Path) -> None:
    write_source(tmp_path)
    assert run(tmp_path) == 0
    first = rows(tmp_path)
    [made_up] = first.keys() - {"e1", "e2", "e3"}
    names = ("person_id", "type", "is_planned", "lead_time_hours", "host_event_number")
    assert {one: tuple(row[name] for name in names) for one, row in first.items()} == {
        "e1": ("ann", "base", True, 36.0, 2),
        "e2": ("ann", "checkin", False, 0.0, 1),
        "e3": (None, None, False, 0.0, None),
        made_up: ("bob", None, None, None, 1),
    }
    counts = ("invited_count", "accepted_count", "rejected_count", "pending_count", "acceptance_rate")
    assert [tuple(first[one][name] for name in counts) for one in ("e1", "e2", "e3")] == [
        (2, 1, 0, 1, 0.5),
        (0, 0, 0, 0, None),
        (1, 0, 1, 0, 0.0),
    ]
    persons = {one: (row["viewer_count"], row["joiner_count"]) for one, row in first.items()}
    assert persons == {"e1": (2, 1), "e2": (1, 0), "e3": (0, 1), made_up: (0, 0)}
    # nothing came
    assert run(tmp_path) == 0
    assert rows(tmp_path) == first
    assert changes_of(tmp_path, "social_events") == {"unchanged": 4}
    # Bob answers; sessions of long ago, which this run does not read, still count
    write_table(tmp_path, FIREBASE, tables.USER_INVITES, [invite(1, "bob", "e1", "rejected", 1)], name="part-1")
    assert run(tmp_path) == 0
    assert ledger(tmp_path)[-1]["scan_start"] > at(5 * DAY)
    second = rows(tmp_path)
    assert changed(first, second) == {"e1"}
    assert tuple(second["e1"][name] for name in counts) == (2, 1, 1, 0, 0.5)
    assert second["e1"]["viewer_count"] == 2
    # someone new views the oldest, and so does Bob once more
    late = [
        about(9, "s6", "view_event", "e2", "dee", 12.5),
        about(10, "s7", "view_event", "e2", "bob", 12.6),
    ]
    write_events(tmp_path, late, "part-1")
    assert run(tmp_path) == 0
    third = rows(tmp_path)
    assert changed(second, third) == {"e2"}
    assert third["e2"]["viewer_count"] == 2
    # an edit moves a social event, and the number of the host's other one
    edited = document("e2", "ann-old", 1.5, 1, type="base", startTime=at(1.5 * DAY))
    write_table(tmp_path, FIREBASE, tables.FIREBASE_EVENTS, [edited], name="part-1")
    assert run(tmp_path) == 0
    fourth = rows(tmp_path)
    assert changed(third, fourth) == {"e1", "e2"}
    assert (fourth["e1"]["host_event_number"], fourth["e2"]["host_event_number"]) == (1, 2)
    assert changes_of(tmp_path, "social_events") == {"unchanged": 2, "updated": 2}


@pytest.mark.usefixtures("place")
def test_of_an_excluded_person_neither_social_events_nor_visits_are_left(tmp_path: Path) -> None:
    write_source(tmp_path)
    assert run(tmp_path) == 0
    first = rows(tmp_path)
    (tmp_path / "excluded.txt").write_text(f"{PHONE}\n")
    assert run(tmp_path, f"--excluded_users={tmp_path / 'excluded.txt'}") == 0
    second = rows(tmp_path)
    assert set(second) == set(first) - {"e1", "e2"}
    assert second["e3"]["invited_count"] == 0
    (tmp_path / "excluded.txt").write_text("bob\nanon\n")
    assert run(tmp_path, "--full_load", f"--excluded_users={tmp_path / 'excluded.txt'}") == 0
    third = rows(tmp_path)
    assert set(third) == {"e1", "e2", "e3"}
    found = {one: (row["viewer_count"], row["joiner_count"], row["pending_count"]) for one, row in third.items()}
    assert found == {"e1": (1, 1, 0), "e2": (0, 0, 0), "e3": (0, 0, 0)}


def test_without_users_a_social_event_has_no_host(tmp_path: Path) -> None:
    write_events(tmp_path, [about(1, "s1", "view_event", "e1", "ann", 0)])
    write_table(tmp_path, FIREBASE, tables.FIREBASE_EVENTS, [document("e1", "ann", 0)])
    assert run(tmp_path) == 0
    [row] = rows(tmp_path).values()
    assert (row["person_id"], row["host_event_number"], row["viewer_count"]) == (None, None, 1)


def test_without_social_events_there_are_no_rows(tmp_path: Path) -> None:
    write_events(tmp_path, [about(1, "s1", "view_event", "e1", "ann", 0)])
    assert run(tmp_path) == 0
    assert rows(tmp_path) == {}
