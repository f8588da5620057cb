"""Social events and invites: one a document, under the user that is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import at
from tests.transforms.people import Collected, invites, social_events, unique_users
from transforms.users.users import ALIASES

NOBODY = ALIASES.empty_table()


def owned(found: Collected) -> list[tuple[str, Any]]:
    return sorted((row["user_id"], row["createdAt"]) for row in found.rows.to_pylist())


def test_events_of_an_alias_are_those_of_the_kept_user() -> None:
    phone = "+12015550100"
    users = unique_users(
        [{"user_id": "u-new", "phoneNumber": phone}, {"user_id": "u-old", "phoneNumber": phone, "email": "a@b.c"}]
    )
    rows = [{"user_id": who, "createdAt": at(n)} for n, who in enumerate(["u-new", "u-old", "u-3"])]
    found = social_events(rows, users.also["aliases"])
    assert owned(found) == [("u-3", at(2)), ("u-old", at(0)), ("u-old", at(1))]


def test_without_a_document_id_identical_rows_are_one() -> None:
    found = social_events([{"user_id": "u", "createdAt": at(n)} for n in (1, 1, 1, 2)], NOBODY)
    assert owned(found) == [("u", at(1)), ("u", at(2))]
    assert found.counts == {"firebase_events.duplicates": 2}


def test_a_social_event_without_a_document_id_gets_one_that_stays() -> None:
    given = [{"user_id": "u", "createdAt": at(1), "type": "base"}, {"user_id": "u", "createdAt": at(1)}]
    [one] = social_events(given, NOBODY).rows["document_id"].to_pylist()
    others = [{"user_id": who, "createdAt": at(when)} for who, when in (("u", 1), ("u", 2), ("v", 1))]
    several = social_events([*others, {**others[0], "document_id": "e1"}], NOBODY).rows["document_id"].to_pylist()
    assert len(set(several)) == 4
    assert {one, "e1"} < set(several)
    assert one.startswith("/")  # as no id of a Firestore document does
    assert "u" not in one


def test_the_latest_version_of_a_document_decides_who_and_when() -> None:
    rows = [
        {"user_id": who, "createdAt": at(when), "document_id": "e1", "etl_loaded_at": loaded}
        for who, when, loaded in [("u-1", 1, at(10)), ("u-2", 2, at(30)), ("u-3", 3, at(20)), ("u-4", 4, None)]
    ]
    found = social_events(rows, NOBODY)
    assert owned(found) == [("u-2", at(2))]
    assert found.counts == {"firebase_events.older_versions": 3}


def test_two_documents_of_one_moment_are_two_events() -> None:
    rows = [{"user_id": "u", "createdAt": at(1), "document_id": name} for name in ("e1", "e2", "e2")]
    assert owned(social_events(rows, NOBODY)) == [("u", at(1)), ("u", at(1))]


@pytest.mark.parametrize("document", [None, "e1"])
@pytest.mark.parametrize("gap", ["user_id", "createdAt"])
def test_an_incomplete_row_is_counted(document: str | None, gap: str) -> None:
    row = {"user_id": "u", "createdAt": at(1), "document_id": document, gap: None}
    found = social_events([row], NOBODY)
    assert found.rows.num_rows == 0
    assert found.counts == {"firebase_events.incomplete": 1}


def test_an_edit_replaces_all_of_a_social_event() -> None:
    row = {"user_id": "u", "createdAt": at(1), "document_id": "e1"}
    first = {**row, "type": "base", "startTime": at(60), "eventDate": at(0), "etl_loaded_at": at(10)}
    second = {**row, "type": "checkin", "endTime": at(90), "etl_loaded_at": at(20)}
    [found] = social_events([second, first], NOBODY).rows.to_pylist()
    wanted = {"type": "checkin", "startTime": None, "endTime": at(90), "eventDate": None}
    assert {name: found[name] for name in wanted} == wanted


def invite(status: str | None, loaded: float | None = None, **others: Any) -> dict[str, Any]:
    row = {"document_id": "i1", "event_id": "e1", "user_id": "u", "createdAt": at(1), "status": status}
    return row | {"etl_loaded_at": None if loaded is None else at(loaded)} | others


def test_the_latest_version_of_an_invite_decides_its_status() -> None:
    found = invites([invite("accepted", 20), invite("invited", 10), invite("rejected")], NOBODY)
    assert found.rows.to_pylist() == [{"user_id": "u", "createdAt": at(1), "event_id": "e1", "status": "accepted"}]
    assert found.counts == {"firebase_userinvites.older_versions": 2}


def test_an_invite_without_a_document_id_is_one_of_a_user_to_an_event_at_a_time() -> None:
    rows = [invite("invited", n, document_id=None, event_id=to) for n, to in enumerate(["e1", "e1", "e2", None])]
    found = invites([*rows, invite("accepted", 9, document_id=None)], NOBODY)
    statuses = {(row["event_id"], row["status"]) for row in found.rows.to_pylist()}
    assert statuses == {("e1", "accepted"), ("e2", "invited"), (None, "invited")}


def test_unknown_statuses_are_null_and_counted() -> None:
    statuses = ["maybe", None, " Accepted", "INVITED", "rejected", ""]
    found = invites([invite(one, document_id=f"i{n}") for n, one in enumerate(statuses)], NOBODY)
    wanted = [None, None, None, "accepted", "invited", "rejected"]
    assert sorted(found.rows["status"].to_pylist(), key=str) == sorted(wanted, key=str)
    assert found.counts == {"firebase_userinvites.status_unknown": 3}


@pytest.mark.parametrize("gap", ["user_id", "createdAt"])
def test_an_incomplete_invite_is_counted(gap: str) -> None:
    found = invites([invite("accepted", **{gap: None})], NOBODY)
    assert found.rows.num_rows == 0
    assert found.counts == {"firebase_userinvites.incomplete": 1}


@pytest.mark.parametrize("listed", ["u-new", "u-old", "+1 (201) 555-0100"])
def test_of_what_an_excluded_person_did_nothing_is_left(listed: str) -> None:
    phone = "+12015550100"
    users = unique_users(
        [
            {"user_id": "u-new", "phoneNumber": phone},
            {"user_id": "u-old", "phoneNumber": phone, "email": "a@b.c"},
            {"user_id": "u-3"},
        ],
        [listed],
    )
    who = ["u-new", "u-old", "u-3", "u-4"]
    created = [{"user_id": one, "createdAt": at(n), "document_id": one} for n, one in enumerate(who)]
    found = social_events(created, users.also["aliases"], [listed])
    assert owned(found) == [("u-3", at(2)), ("u-4", at(3))]
    assert found.counts == {"firebase_events.excluded_user": 2}
    received = invites([invite("accepted", user_id=one, document_id=one) for one in who], users.also["aliases"])
    assert received.counts == {"firebase_userinvites.excluded_user": 2}


def test_who_is_excluded_needs_no_account() -> None:
    found = invites([invite("accepted")], NOBODY, ["u"])
    assert found.rows.num_rows == 0
    assert found.counts == {"firebase_userinvites.excluded_user": 1}


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_id_is_no_id(blank: str) -> None:
    rows = [{"user_id": who, "createdAt": at(1), "document_id": blank} for who in ("u-1", "u-2", blank)]
    found = social_events(rows, NOBODY)
    assert owned(found) == [("u-1", at(1)), ("u-2", at(1))]
    assert found.counts == {"firebase_events.incomplete": 1}
    assert all(one.startswith("/") for one in found.rows["document_id"].to_pylist())
