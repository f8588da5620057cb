"""Which of several rows is the user, who is an alias of whom, and by which ids a user is found."""

from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import at
from tests.transforms.people import Collected, unique_users
from transforms.users.users import ACCOUNTS, present_accounts, requested_identities

PHONE, OTHER_PHONE = "+12015550100", "+12015550101"
ANN = {"user_id": "u-ann", "phoneNumber": PHONE, "fullName": "Ann Example", "email": "ann@example.com"}


def ids(found: Collected) -> list[str]:
    return sorted(found.rows.column("user_id").to_pylist())


def aliases(found: Collected) -> dict[str, str]:
    return {row["user_id"]: row["kept"] for row in found.also["aliases"].to_pylist()}


def keys(found: Collected) -> dict[str, str]:
    return {row["key"]: row["match"] for row in found.also["identities"].to_pylist()}


def test_a_user_is_found_by_phone_and_by_user_id() -> None:
    found = unique_users([ANN])
    rows = found.rows.drop_columns(["document_id", "etl_loaded_at"])
    assert rows.to_pylist() == [{**dict.fromkeys(rows.schema.names), **ANN}]
    assert keys(found) == {PHONE: "0u-ann", "u-ann": "1u-ann"}
    assert found.also["aliases"].num_rows == 0
    assert found.counts == {}


@pytest.mark.parametrize("again", ["+1 (201) 555-0100", "0012015550100", "12015550100", f" {PHONE} "])
def test_of_two_users_with_one_phone_the_poorer_is_an_alias(again: str) -> None:
    found = unique_users([{"user_id": "u-new", "phoneNumber": again, "fullName": "Ann New"}, ANN])
    assert ids(found) == ["u-ann"]
    assert aliases(found) == {"u-new": "u-ann"}
    assert keys(found) == {PHONE: "0u-ann", "u-ann": "1u-ann", "u-new": "1u-ann"}
    assert found.counts["users.duplicates"] == 1


def test_of_two_users_as_complete_the_smaller_id_stays() -> None:
    found = unique_users([{**ANN, "user_id": "u-b"}, {**ANN, "user_id": "u-a"}, {**ANN, "user_id": "u-c"}])
    assert aliases(found) == {"u-b": "u-a", "u-c": "u-a"}


def test_a_number_that_changed_hands_is_of_who_has_it_now() -> None:
    """The old owner's latest version has another number, or none, and keeps what is under the user id."""
    before = {**ANN, "document_id": "d1", "etl_loaded_at": at(0)}
    bob = {"user_id": "u-bob", "phoneNumber": PHONE, "document_id": "d2", "etl_loaded_at": at(50)}
    for number in (None, OTHER_PHONE):
        after = {**before, "phoneNumber": number, "etl_loaded_at": at(60)}
        found = unique_users([before, bob, after])
        assert ids(found) == ["u-ann", "u-bob"]
        assert keys(found)[PHONE] == "0u-bob"
        assert keys(found)["u-ann"] == "1u-ann"
        assert found.counts == {"users.older_versions": 1}


def test_an_account_made_anew_takes_the_number_and_the_old_id() -> None:
    """While the old account is there; once it is deleted upstream, its id is nobody's."""
    anew = {**ANN, "user_id": "u-anew", "createdAt": at(90)}
    found = unique_users([ANN, anew])
    assert keys(found) == {PHONE: "0u-anew", "u-anew": "1u-anew", "u-ann": "1u-anew"}
    assert keys(unique_users([anew])) == {PHONE: "0u-anew", "u-anew": "1u-anew"}


def test_the_latest_version_of_a_document_counts_and_not_the_fullest() -> None:
    poor = {"user_id": "u-ann", "phoneNumber": PHONE, "document_id": "d1", "etl_loaded_at": at(60)}
    full = {**ANN, "document_id": "d1", "etl_loaded_at": at(0)}
    never = {**ANN, "fullName": "Zed", "document_id": "d1", "etl_loaded_at": None}
    found = unique_users([full, never, poor])
    assert found.rows.column("fullName").to_pylist() == [None]
    assert found.counts == {"users.older_versions": 2}


def test_without_a_document_id_the_user_id_tells_versions() -> None:
    poor = {"user_id": "u-ann", "etl_loaded_at": at(60)}
    found = unique_users([{**ANN, "etl_loaded_at": at(0)}, poor])
    assert found.rows.column("fullName").to_pylist() == [None]
    assert found.counts == {"users.older_versions": 1}


def test_without_versions_equal_rows_are_one_and_the_fullest_stays() -> None:
    found = unique_users([ANN, ANN, {"user_id": "u-ann"}])
    assert ids(found) == ["u-ann"]
    assert found.rows.column("fullName").to_pylist() == ["Ann Example"]
    assert found.counts == {"users.duplicates": 2}


def test_two_documents_with_one_user_id_are_one_user() -> None:
    rows = [{**ANN, "document_id": "d1"}, {"user_id": "u-ann", "document_id": "d2"}]
    assert unique_users(rows).counts == {"users.duplicates": 1}


@pytest.mark.parametrize("nobody", [None, "", "  ", "undefined", "null", "0"])
def test_ids_of_nobody_are_null(nobody: str | None) -> None:
    found = unique_users([{**ANN, "user_id": nobody}, {**ANN, "phoneNumber": nobody}, {"user_id": "u-2"}])
    assert found.counts == {"users.without_user_id": 1}
    assert ids(found) == ["u-2", "u-ann"]  # two users without a number are two
    assert keys(found) == {"u-ann": "1u-ann", "u-2": "1u-2"}


def test_numbers_without_a_country_code_are_counted() -> None:
    rows = [{"user_id": f"u-{n}", "phoneNumber": number} for n, number in enumerate(["(201) 555-0100", "2015550100"])]
    found = unique_users([*rows, ANN])
    assert found.counts == {"users.phone_ambiguous": 2, "users.duplicates": 1}
    assert ids(found) == ["u-0", "u-ann"]


@pytest.mark.parametrize("listed", ["u-ann", "u-old", PHONE, "+1 (201) 555-0100", "0012015550100"])
def test_an_excluded_user_is_so_by_every_id_of_theirs(listed: str) -> None:
    """By a user id, an alias or the phone number in any form; another user is not."""
    rows = [ANN, {"user_id": "u-old", "phoneNumber": "+1 201 555 0100"}, {"user_id": "u-bob", "phoneNumber": "+4420"}]
    found = unique_users(rows, excluded=[listed])
    marked = {row["key"] for row in found.also["identities"].to_pylist() if row["excluded"]}
    assert marked == {PHONE, "u-ann", "u-old"}


USER = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u-1", "u-2", "u-3"]),
        "phoneNumber": st.sampled_from([None, PHONE, "0012015550100", OTHER_PHONE]),
        "fullName": st.sampled_from([None, "Ann", "Bob"]),
        "document_id": st.sampled_from([None, "d1", "d2"]),
        "etl_loaded_at": st.sampled_from([None, at(0), at(1)]),
    }
)


@given(st.lists(USER, max_size=8), st.randoms())
def test_the_order_of_rows_says_nothing(rows: list[dict[str, Any]], rng: random.Random) -> None:
    shuffled = rng.sample(rows, len(rows))
    first, second = unique_users(rows), unique_users(shuffled)
    assert first.rows.sort_by("user_id") == second.rows.sort_by("user_id")
    assert (aliases(first), keys(first), first.counts) == (aliases(second), keys(second), second.counts)
    numbers = [number for number in first.rows.column("phoneNumber").to_pylist() if number]
    assert len({number.replace("00", "+", 1) if number[0] == "0" else number for number in numbers}) == len(numbers)
    assert set(aliases(first).values()) <= set(ids(first))
    assert not set(aliases(first)) & set(ids(first))


def test_each_id_of_a_request_counts_as_an_account() -> None:
    [batch] = requested_identities(None, frozenset({"u-1", "0012015550100"}))
    assert batch.to_pylist() == [
        {"key": key, "match": f"1{key}", "excluded": True} for key in ("0012015550100", "u-1", "+12015550100")
    ]


def test_a_document_that_was_emptied_is_nobodys() -> None:
    """Of versions the latest counts, as an export has it when a document is deleted."""
    before = {**ANN, "document_id": "d1", "etl_loaded_at": at(0)}
    found = unique_users([before, {"document_id": "d1", "etl_loaded_at": at(50)}, {"document_id": " "}])
    assert ids(found) == []
    assert found.counts == {"users.older_versions": 1, "users.without_user_id": 2}
    again = unique_users([{**before, "etl_loaded_at": at(90)}, {"document_id": "d1", "etl_loaded_at": at(50)}])
    assert ids(again) == ["u-ann"]


def test_the_accounts_of_today_are_those_of_the_latest_versions() -> None:
    """With a document's id, or by the user id; of two that were exported at once nobody knows before they are made."""
    rows = [
        {"user_id": "a", "phoneNumber": "1", "document_id": "d1", "etl_loaded_at": at(0)},
        {"user_id": None, "document_id": "d1", "etl_loaded_at": at(9)},
        {"user_id": "b", "phoneNumber": "2", "document_id": " ", "etl_loaded_at": at(9)},
        {"user_id": "b", "phoneNumber": "3"},
        *({"user_id": "c", "phoneNumber": phone, "document_id": "d2"} for phone in ("4", "5")),
        {"user_id": "e", "phoneNumber": "6", "document_id": "d3", "etl_loaded_at": at(0)},
    ]
    found = present_accounts(pa.Table.from_pylist(rows, ACCOUNTS))
    assert list(found) == [(None, None), ("b", "2"), ("c", "4"), ("c", "5"), ("e", "6")]
    assert list(present_accounts(ACCOUNTS.empty_table())) == []
