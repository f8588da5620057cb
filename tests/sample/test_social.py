"""Social events and invites: documents that were edited, hosts who are users, times at the edges of sessions."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sample.people import user_id
from sample.social import INVITES_SCHEMA, SOCIAL_EVENTS_SCHEMA, invite_rows, social_event_rows
from sample.timeline import Plan, Sessions, slots

PLAN = Plan(20_000, seed=3)


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return next(slots(PLAN)).sessions


@pytest.fixture(scope="module")
def social(sessions: Sessions) -> list[dict[str, Any]]:
    batch = social_event_rows(PLAN, sessions)
    assert batch.schema == SOCIAL_EVENTS_SCHEMA
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


@pytest.fixture(scope="module")
def invites(sessions: Sessions) -> list[dict[str, Any]]:
    batch = invite_rows(PLAN, sessions)
    assert batch.schema == INVITES_SCHEMA
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def test_the_same_sessions_give_the_same_rows(sessions: Sessions, social: list[dict[str, Any]]) -> None:
    assert social_event_rows(PLAN, sessions).to_pylist() == social
    assert social_event_rows(Plan(20_000, seed=4), sessions).to_pylist() != social


def test_an_edit_is_a_later_row_of_its_document_with_the_same_host(social: list[dict[str, Any]]) -> None:
    versions = defaultdict(list)
    for row in social:
        if row["document_id"] is not None and row["createdAt"] is not None:
            versions[row["document_id"]].append(row)
    edited = [rows for rows in versions.values() if len({row["etl_loaded_at"] for row in rows}) > 1]
    assert len(edited) > 10
    for rows in edited:
        assert len({(row["user_id"], row["createdAt"], row["title"]) for row in rows}) == 1
        first, last = (choose(rows, key=lambda row: row["etl_loaded_at"]) for choose in (min, max))
        assert (last["etl_loaded_at"] - first["etl_loaded_at"]).days == 2
        if first["startTime"] and first["type"] != "checkin":
            assert (last["startTime"] - first["startTime"]).days == 1


def test_a_row_is_loaded_after_it_was_created(social: list[dict[str, Any]]) -> None:
    for row in social:
        assert row["createdAt"] is None or row["etl_loaded_at"] > row["createdAt"]
        assert row["endTime"] is None or row["endTime"] > row["startTime"]


def test_hosts_are_persons_who_were_logged_in(sessions: Sessions, social: list[dict[str, Any]]) -> None:
    everybody = {user_id(person) for person in range(PLAN.persons)}
    assert {row["user_id"] for row in social} - {None} <= everybody
    none = replace(sessions, known=np.zeros_like(sessions.known))
    assert social_event_rows(PLAN, none).num_rows == invite_rows(PLAN, none).num_rows == 0


def test_invites_name_a_social_event_and_an_answer_follows_its_question(
    social: list[dict[str, Any]], invites: list[dict[str, Any]]
) -> None:
    numbers = {row["title"].removeprefix("Party ") for row in social}
    named = {row["event_id"] for row in invites}
    assert {one.removeprefix("evt_").removesuffix("_gone").lstrip("0") or "0" for one in named} <= numbers
    assert any(one.endswith("_gone") for one in named), "some are gone"
    asked = defaultdict(list)
    for row in invites:
        if row["document_id"] is not None:
            asked[row["document_id"]].append(row)
    answered = [rows for rows in asked.values() if len(rows) == 2]
    assert len(answered) > 10
    for question, answer in answered:
        assert question["status"] == "invited"
        assert answer["status"] in ("accepted", "rejected")
        assert answer["etl_loaded_at"] > question["etl_loaded_at"]
    assert max(len(rows) for rows in asked.values()) == 2


def test_who_has_two_accounts_is_invited_by_the_second(invites: list[dict[str, Any]]) -> None:
    second = {user_id(person, "second account") for person in range(PLAN.persons * 2) if person % 50 in (5, 10)}
    first = {user_id(person) for person in range(PLAN.persons * 2) if person % 50 in (5, 10)}
    users = {row["user_id"] for row in invites}
    assert users & second
    assert not users & first
