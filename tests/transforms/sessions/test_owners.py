"""Distinct ids → user: the levels, the normal form of phone numbers, excluded users, PostHog's sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import at
from tests.transforms.people import Rows, unique_users
from transforms.events.distinct_ids import SESSION_IDS, distinct_ids, session_ids
from transforms.sessions.owners import (
    MATCHES,
    PERSON,
    canonical_acquisition,
    differences,
    have_excluded_user,
    latest_acquisition,
    match_users,
    with_person,
)

PHONE, OTHER = "+12015550100", "+12015550101"
FACTS = pa.schema([("session_id", pa.string()), ("distinct_id", pa.string()), ("distinct_ids", pa.list_(pa.string()))])


def facts(sessions: Mapping[str, Sequence[str]]) -> pa.RecordBatch:
    rows = [{"session_id": name, "distinct_id": ids[0], "distinct_ids": sorted(ids)} for name, ids in sessions.items()]
    return pa.RecordBatch.from_pylist(rows, schema=FACTS)


def matches(
    sessions: Mapping[str, Sequence[str]], users: Rows, excluded: Sequence[str] = (), left_out: Sequence[Any] = ()
) -> pa.Table:
    batches = [*distinct_ids(facts(sessions), True), *([session_ids(left_out)] if left_out else [])]
    identities = unique_users(users, excluded).also["identities"]
    found = match_users({"ids": pa.Table.from_batches(batches, SESSION_IDS), "identities": identities}).rows
    return pa.concat_tables(found) if found else MATCHES.empty_table()


def owners(sessions: Mapping[str, Sequence[str]], *users: dict[str, Any]) -> dict[str, tuple[str | None, str]]:
    """(user, person) by session."""
    nothing = latest_acquisition(tables.POSTHOG_SESSIONS.bare.empty_table())
    table = pa.Table.from_batches([facts(sessions)])
    found = with_person(table, matches(sessions, users), nothing)
    assert found.schema.names == [*FACTS.names, *PERSON.names]
    return {row["session_id"]: (row["user_id"], row["person_id"]) for row in found.to_pylist()}


def test_a_phone_goes_before_a_user_id_and_then_the_smallest_user() -> None:
    ann, bob = {"user_id": "u-ann", "phoneNumber": PHONE}, {"user_id": "u-bob", "phoneNumber": OTHER}
    cid = {"user_id": "u-a-cid"}
    sessions = {
        "by-phone": ["anon", PHONE],
        "by-id": ["anon", "u-ann"],
        "phone-first": ["u-a-cid", OTHER],
        "smallest-phone": [OTHER, PHONE],
        "smallest-id": ["u-bob", "u-a-cid"],
        "nobody": ["anon", "b-anon"],
    }
    assert owners(sessions, ann, bob, cid) == {
        "by-phone": ("u-ann", "u-ann"),
        "by-id": ("u-ann", "u-ann"),
        "phone-first": ("u-bob", "u-bob"),
        "smallest-phone": ("u-ann", "u-ann"),
        "smallest-id": ("u-a-cid", "u-a-cid"),
        "nobody": (None, "anon"),
    }


@pytest.mark.parametrize("theirs", [PHONE, "+1 (201) 555-0100", "0012015550100", f"{PHONE} ", "12015550100"])
@pytest.mark.parametrize("ours", [PHONE, "+1-201-555-0100", "001 201 555 0100", f" {PHONE}"])
def test_phone_numbers_meet_in_any_form_on_either_side(theirs: str, ours: str) -> None:
    found = owners({"s": ["anon", ours]}, {"user_id": "u-ann", "phoneNumber": theirs})
    assert found == {"s": ("u-ann", "u-ann")}


def test_an_ambiguous_number_meets_the_same_digits_only() -> None:
    user = {"user_id": "u-ann", "phoneNumber": "(201) 555-0100"}
    sessions = {"same": ["201-555-0100"], "other": ["+12015550100"], "egypt": ["+2015550100"]}
    found = owners(sessions, user)
    assert {name: user for name, (user, _) in found.items()} == {"same": "u-ann", "other": None, "egypt": None}


def test_the_id_of_an_alias_finds_the_kept_user_behind_phones_still() -> None:
    users = [
        {"user_id": "u-kept", "phoneNumber": PHONE, "fullName": "Ann"},
        {"user_id": "u-alias", "phoneNumber": PHONE},
        {"user_id": "u-bob", "phoneNumber": OTHER},
    ]
    found = owners({"alias": ["u-alias"], "both": ["u-alias", OTHER]}, *users)
    assert found == {"alias": ("u-kept", "u-kept"), "both": ("u-bob", "u-bob")}


def test_whose_a_session_is_tell_events_that_were_left_out_as_well() -> None:
    users = [{"user_id": "u-ann", "phoneNumber": PHONE}, {"user_id": "u-bob", "phoneNumber": OTHER}]
    sessions = {"anon-then-ann": ["anon"], "bobs-really": ["u-bob"], "bobs": [OTHER], "none": ["anon"]}
    left_out = [("anon-then-ann", "0012015550100"), ("bobs-really", PHONE), ("", PHONE), ("none", "staff")]
    found = matches(sessions, users, [PHONE, "staff"], left_out)
    table = pa.Table.from_batches([facts(sessions)])
    gone = dict(zip(sessions, have_excluded_user(table, found).tolist(), strict=True))
    assert gone == {"anon-then-ann": True, "bobs-really": True, "bobs": False, "none": False}
    assert not have_excluded_user(table, matches(sessions, users)).any()


def test_a_session_is_excluded_by_any_id_of_an_excluded_user_whosever_it_else_would_be() -> None:
    users = [{"user_id": "u-a", "phoneNumber": OTHER}, {"user_id": "u-b", "phoneNumber": PHONE}]
    sessions = {"both": [OTHER, PHONE], "by-id": [OTHER, "u-b"], "other": [OTHER]}
    found = matches(sessions, users, ["u-b"])
    assert have_excluded_user(pa.Table.from_batches([facts(sessions)]), found).tolist() == [True, True, False]


def acquisition(*rows: dict[str, Any]) -> pa.Table:
    batch = pa.RecordBatch.from_pylist(list(rows), schema=tables.POSTHOG_SESSIONS.bare)
    return pa.Table.from_batches(list(canonical_acquisition(batch)))


def test_posthogs_sessions_are_one_a_session_whatever_their_letter_case() -> None:
    session = "018f0000-0000-7000-8000-00000000abcd"
    found = latest_acquisition(
        acquisition(
            {"session_id": session, "end_timestamp": at(1), "channel_type": "Direct"},
            {"session_id": session.upper(), "end_timestamp": at(2), "channel_type": "Organic", "is_bounce": True},
            {"session_id": session, "end_timestamp": None, "channel_type": "Paid"},
            {"session_id": "Named"},
        )
    ).to_pylist()
    assert [(row["session_id"], row["channel_type"]) for row in found] == [(session, "Organic"), ("Named", None)]


def test_differences_are_counted_where_both_know_a_value() -> None:
    ours = pa.table(
        {
            "session_id": ["a", "b", "c"],
            "start_timestamp": pa.array([at(0), at(0), at(0)], pa.timestamp("us", "UTC")),
            "screen_count": [1, 2, 3],
        }
    )
    theirs = acquisition(
        {"session_id": "a", "start_timestamp": at(1), "screen_count": 1},
        {"session_id": "b", "start_timestamp": None, "screen_count": 9},
    )
    assert dict(differences(ours, theirs)) == {
        "posthog_sessions.matched": 2,
        "posthog_sessions.start_timestamp_differs": 1,
        "posthog_sessions.screen_count_differs": 1,
    }
