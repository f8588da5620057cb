"""Social events: one a document, under the user that is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.builders import at
from tests.transforms.people import Collected, social_events, unique_users
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
