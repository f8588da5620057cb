"""What the Python peers make of a row: the rules of the tables, said a second time and plainly."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.plain_rows import (
    blank_to_null,
    enables_contacts,
    event_uuid,
    match,
    number_within,
    parse,
    reach,
    session_id,
    text,
)

APP = {"$lib": "posthog-react-native"}


@pytest.mark.parametrize("broken", [None, "", "{", "[1]", "1", 7])
def test_broken_properties_are_empty(broken: Any) -> None:
    assert parse(broken) == {}
    assert parse('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("value", "found"),
    [("a", "a"), ("", None), (None, None), (1.5, "1.5"), (True, "true"), ([1], None), ("Chat \ud83d", "Chat ?")],
)
def test_texts(value: Any, found: str | None) -> None:
    assert text(value) == found


def test_an_event_without_a_session_of_the_app_is_of_none() -> None:
    assert session_id({**APP, "$session_id": "s"}) == "s"
    for other in ({}, {"$session_id": "s", "$lib": "web"}, {**APP, "$session_id": " "}, {**APP, "$session_id": 7}):
        assert session_id(other) is None
    assert session_id({**APP, "$session_id": "s" * 400}) is not None
    assert session_id({**APP, "$session_id": "s" * 401}) is None


def test_a_uuid_has_one_form() -> None:
    assert event_uuid("018F-AB") == event_uuid("018fab") == "018fab"
    assert (blank_to_null(" \t"), blank_to_null("a"), blank_to_null(0)) == (None, "a", 0)


@pytest.mark.parametrize(
    ("y", "height", "share"),
    [(5, 10, 0.5), (12, 10, 1.0), (-1, 10, 0.0), (5, 0, None), (5, None, None), ("5", 10, None), (True, 10, None)],
)
def test_reach_is_a_share_of_the_screen(y: Any, height: Any, share: float | None) -> None:
    assert reach({"$touch_y": y, "$screen_height": height}) == share


def test_a_phone_number_matches_before_a_user_id_and_the_smallest_of_several() -> None:
    phones, owners = {"+1": "u-2", "+2": "u-1"}, {"u-0": "u-0", "u-alias": "u-2"}
    assert match(["u-0", "+1"], phones, owners) == "u-2"
    assert match(["+1", "+2"], phones, owners) == "u-1"
    assert match(["u-alias"], phones, owners) == "u-2"
    assert match(["anon"], phones, owners) is None


def test_moments_at_both_ends_of_a_session_are_in_it() -> None:
    assert number_within([1, 2, 2, 3, 5], 2, 3) == 3
    assert number_within([], 2, 3) == 0
    assert [enables_contacts(name) for name in ("Enable Contacts", "contacts_enabled", "contact")] == [
        True,
        True,
        False,
    ]
