"""What both Python peers (plain Beam, row-wise pandas) need: names of columns, and values out of an event's properties.

A copy of none of the pipeline's code, on purpose: a peer that shared it would share its mistakes.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from typing import Any

LIBRARY = "posthog-react-native"
EVENT_COLUMNS = ["uuid", "event", "properties", "distinct_id", "timestamp", "bq_ingested_timestamp"]
PROFILE = ["fullName", "phoneNumber", "username", "email", "contactAccessGranted", "businessUser", "createdAt"]
ACQUISITION = ["channel_type", "is_bounce"]
#: Session column of the first value in a session → property.
FIRST = {
    "city": "$geoip_city_name",
    "country": "$geoip_country_name",
    "os_name": "$os_name",
    "app_version": "$app_version",
}
#: Session flag → names of the events that set it.
FLAG_EVENTS = {
    "viewed_event": {"view_event"},
    "joined_event": {"join_event"},
    "clicked_invite": {"click_invite_to_event"},
    "started_quiz": {"start_quiz"},
    "completed_quiz": {"finish_quiz"},
    "invited_someone": {"invite_friends", "send_invite_to_event", "invite_friends_for_report"},
}
#: Flags of which a person has the number of sessions, and those that make a session active.
PERSON_FLAGS = ["created_event", *FLAG_EVENTS, "enabled_contacts", "visited_discover", "scrolled"]
ACTIVE_FLAGS = ["created_event", "viewed_event", "joined_event", "scrolled"]
#: Session count → its noun in the columns of a person.
PERSON_COUNTS = {"scroll_event_count": "scrolls", "autocapture_count": "autocaptures", "screen_count": "screens"}


def parse(properties: Any) -> dict[str, Any]:
    """The properties of a row, empty when they are broken."""
    try:
        content = json.loads(properties)
    except (TypeError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def text(value: Any) -> str | None:
    """A text that is not empty, or the JSON text of a number or boolean; lone surrogates become question marks."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if not isinstance(value, str) or not value:
        return None
    return value if value.isascii() else value.encode(errors="replace").decode()


def blank_to_null(value: Any) -> Any:
    """Null for a blank text, any other value as it is."""
    return None if isinstance(value, str) and not value.strip() else value


def session_id(properties: dict[str, Any]) -> str | None:
    """The session of an event; null when it is of another library or cannot be told."""
    found = properties.get("$session_id")
    usable = isinstance(found, str) and found.strip() and len(found) <= 400 and properties.get("$lib") == LIBRARY
    return found if usable else None


def event_uuid(uuid: str) -> str:
    """The one form of a uuid in any letter case, with or without dashes."""
    return uuid.replace("-", "").lower()


def touch(properties: dict[str, Any]) -> float | None:
    """Where the finger was lifted."""
    return _number(properties.get("$touch_y"))


def reach(properties: dict[str, Any]) -> float | None:
    """The same as a share of the screen's height."""
    y, height = touch(properties), _number(properties.get("$screen_height"))
    return min(max(y / height, 0.0), 1.0) if y is not None and height and height > 0 else None


def enables_contacts(event: str) -> bool:
    """Whether an event is one of the kinds of contacts being enabled."""
    name = event.lower()
    return "contact" in name and "enable" in name


def match(distinct_ids: Iterable[str], by_phone: Mapping[str, str], owners: Mapping[str, str]) -> str | None:
    """The user of a session: by a phone number, else by user id (an alias counts as its owner); the smallest."""
    found = [by_phone[one] for one in distinct_ids if one in by_phone]
    return min(found or [owners[one] for one in distinct_ids if one in owners], default=None)


def number_within(moments: list[Any], start: Any, end: Any) -> int:
    """How many of the ascending moments are in [start, end]."""
    return bisect_right(moments, end) - bisect_left(moments, start)


def _number(value: Any) -> float | None:
    usable = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 2**63
    return float(value) if usable else None
