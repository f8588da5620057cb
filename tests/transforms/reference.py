"""What the facts of sessions are by definition: one loop over Python rows, no set, no column, no order of arrival.

Nothing of `transforms` computes here; it says again, plainly, what the contract says of an event, of "first" and
"last", of an oversized session and of each metric kind.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
Event = dict[str, Any]


def facts(rows: Iterable[Row], limit: int) -> dict[str, dict[str, Any]]:
    """Session id → facts under `builders.SMALL_METRICS`, whose limit is given; rows as `builders.event` makes them."""
    sessions: dict[str, list[Event]] = defaultdict(list)
    for row in rows:
        event = parsed(row)
        sessions[event["session"]].append(event)
    return {session: session_facts(events, limit) for session, events in sessions.items()}


def parsed(row: Row) -> Event:
    """An event with the properties that the metrics use."""
    content = json.loads(row["properties"])
    y, height = content.get("y"), content.get("h")
    reach = None if y is None else min(max(y / height, 0.0), 1.0) if height and height > 0 else None
    arrival = row["bq_ingested_timestamp"]
    return {
        "session": content["$session_id"],
        "uuid": row["uuid"].lower(),
        "name": row["event"],
        "who": row["distinct_id"],
        "time": row["timestamp"],
        "arrival": arrival,
        "screen": content.get("$screen_name"),
        "has_y": y is not None,
        "reach": reach,
    }


def decisive(copies: list[Event]) -> Event:
    """The latest arrival (null last), then the earliest time, then the least content: it decides everything."""

    def rank(event: Event) -> tuple[Any, ...]:
        known = event["arrival"] is not None
        return not known, -event["arrival"].timestamp() if known else 0, event["time"], content(event)

    return min(copies, key=rank)


def content(event: Event) -> tuple[Any, ...]:
    """What is left to differ: conditions as bits in the order of the metrics, numbers (none is greatest), texts."""
    bits = (event["name"] == "tap") + 2 * event["has_y"] + 4 * (event["name"] == "buy")
    reach, screen = event["reach"], event["screen"]
    return bits, reach is None, reach or 0, screen is not None, screen or ""


def session_facts(rows: list[Event], limit: int) -> dict[str, Any]:
    """The facts of one session of at most `limit` events."""
    copies: dict[tuple[str, str, str], list[Event]] = defaultdict(list)
    for row in rows:
        copies[row["uuid"], row["name"], row["who"]].append(row)
    events = sorted(map(decisive, copies.values()), key=lambda e: (e["time"], e["uuid"], e["name"], e["who"]))
    assert len(events) <= limit
    screens = [event["screen"] for event in events if event["screen"] is not None]
    reaches = [event["reach"] for event in events if event["reach"] is not None]
    taps = sum(event["name"] == "tap" for event in events)
    return {
        "distinct_id": events[0]["who"],
        "distinct_ids": sorted({event["who"] for event in events}),
        "start_timestamp": events[0]["time"],
        "end_timestamp": events[-1]["time"],
        "event_count": len(events),
        "taps": taps,
        "touches": sum(event["has_y"] for event in events),
        "bought": any(event["name"] == "buy" for event in events),
        "tapped": taps > 0,
        "screens": len(set(screens)),
        "entry": screens[0] if screens else None,
        "exit": screens[-1] if screens else None,
        "reach": max(reaches, default=None),
        "is_oversized": False,
        "_rows": len(rows),
        "_arrival": max(row["arrival"] or row["time"] for row in rows),
    }
