"""What the facts of sessions are by definition: one loop over Python rows, no set, no column, no order of arrival.

Nothing of `transforms` computes here; it says again, plainly, what the contract says of an event, of "first" and
"last", of an oversized session and of each metric kind.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

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
        "y": y,
        "mode": json_text(content.get("mode")),
        "language": content.get("lang") if row["event"] == "look" else None,
        "zone": content.get("$timezone"),
        "address": content.get("$geoip_time_zone"),
        "is_emulator": content.get("$is_emulator") is True,
        "is_dev_build": json_text(content.get("build")) in ("dev", "0"),
    }


def json_text(value: Any) -> str | None:
    """Texts as they are, all else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


def pays(event: Event) -> bool:
    """The second step of the checkout."""
    return event["name"] == "buy" and event["mode"] in ("x", "true")


def decisive(copies: list[Event]) -> Event:
    """The latest arrival (null last), then the earliest time, then the least content: it decides everything."""

    def rank(event: Event) -> tuple[Any, ...]:
        known = event["arrival"] is not None
        return not known, -event["arrival"].timestamp() if known else 0, event["time"], content(event)

    return min(copies, key=rank)


def content(event: Event) -> tuple[Any, ...]:
    """What is left to differ: conditions as bits in the order of the metrics, numbers (none is greatest), texts."""
    name, mode = event["name"], event["mode"]
    holds = [
        name == "tap",
        event["has_y"],
        name == "buy",
        name == "tap" and event["screen"] in ("Home", "Chat"),
        name == "buy" and mode == "1",
        name == "tap" and mode in ("x", "1"),
        name in ("tap", "buy"),
        name == "look",
        pays(event),
        name in ("look", "tap"),
        event["is_emulator"],
        event["is_dev_build"],
    ]
    bits = sum(held << bit for bit, held in enumerate(holds))
    numbers = [(event[number] is None, event[number] or 0) for number in ("reach", "y")]
    texts = [(event[text] is not None, event[text] or "") for text in ("screen", "mode", "language", "zone", "address")]
    return bits, *numbers, *texts


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
        **times_and_numbers(events),
        **texts(events),
        **checkout(events),
        "awake": awake(events),
        **local_start(events),
        "is_emulator": any(event["is_emulator"] for event in events),
        "is_dev_build": any(event["is_dev_build"] for event in events),
        "has_clock_skew": any(event["arrival"] is not None and event["arrival"] < event["time"] for event in events),
        "is_oversized": False,
        "_links": links(events),
        "_rows": len(rows),
        "_arrival": max(row["arrival"] or row["time"] for row in rows),
    }


def times_and_numbers(events: list[Event]) -> dict[str, Any]:
    """First and last times, extremes, and a sum of tenths."""
    buys = [event["time"] for event in events if event["name"] == "buy"]
    taps = [event for event in events if event["name"] == "tap"]
    heights = [event["y"] for event in events if event["has_y"]]
    return {
        "first_buy": min(buys, default=None),
        "last_tap": max((event["time"] for event in taps if event["screen"] in ("Home", "Chat")), default=None),
        "chosen": any(event["name"] == "buy" and event["mode"] == "1" for event in events),
        "tap_top": max((event["y"] for event in taps if event["has_y"] and event["mode"] in ("x", "1")), default=None),
        "lowest": min(heights, default=None),
        "amount": sum(round(height * 10) for height in heights) / 10 if heights else None,
    }


def texts(events: list[Event]) -> dict[str, Any]:
    """Lists of different texts, and one of some events."""
    modes = sorted({event["mode"] for event in events if event["mode"] is not None})
    looks = [event["mode"] for event in events if event["name"] == "look" and event["mode"] is not None]
    languages = [event["language"] for event in events if event["language"] is not None]
    return {
        "modes": modes[:2],
        "modes_is_cut": len(modes) > 2,
        "names": sorted({event["name"] for event in events} - {"look"}),
        "names_is_cut": False,
        "last_mode": looks[-1] if looks else None,
        "language": languages[-1] if languages else None,
    }


def checkout(events: list[Event]) -> dict[str, Any]:
    """Each event takes the next step where it matches it."""
    steps = [lambda event: event["name"] == "tap", pays, lambda event: event["has_y"]]
    reached: list[Any] = []
    for event in events:
        if len(reached) < len(steps) and steps[len(reached)](event):
            reached.append(event["time"])
    done = len(reached) == len(steps)
    return {
        "checkout_step": len(reached),
        "checkout_started_at": reached[0] if reached else None,
        "checkout_finished_at": reached[-1] if done else None,
        "checkout_duration": (reached[-1] - reached[0]).total_seconds() if done else None,
        "checkout_attempts": sum(event["name"] == "tap" for event in events),
    }


def links(events: list[Event]) -> list[dict[str, Any]]:
    """Event by event: the objects, in the order in which they come first, and what is done with them."""
    what = {
        "thing": ("mode", 2, {"tapped": ["tap"], "joined": ["tap", "buy"]}),
        "social_event": ("screen", 2, {"viewed": ["look", "tap"], "joined": ["buy"]}),
    }
    found = []
    for link, (text, limit, actions) in what.items():
        objects: dict[str, dict[str, list[Any]]] = {}
        for event in events:
            done = [action for action, names in actions.items() if event["name"] in names]
            if done and event[text] is not None:
                known = objects.setdefault(event[text], {action: [] for action in actions})
                for action in done:
                    known[action].append(event["time"])
        for value, times in list(objects.items())[:limit]:
            row = {"link": link, "value": value, "is_cut": len(objects) > limit}
            for action in ("tapped", "joined", "viewed"):
                row[f"first_{action}_at"] = min(times.get(action, []), default=None)
                row[f"{action}_count"] = len(times[action]) if action in times else None
            found.append(row)
    return found


def local_start(events: list[Event]) -> dict[str, Any]:
    """The day for reports in Auckland, and the hour and weekday where the user is."""
    texts = [event[name] for name in ("zone", "address") for event in events if event[name] is not None]
    reports = events[0]["time"].astimezone(ZoneInfo("Pacific/Auckland"))
    own = events[0]["time"].astimezone(ZoneInfo(texts[0])) if texts and texts[0] != "nowhere" else reports
    return {
        "start_date": reports.date(),
        "timezone": texts[0] if texts else None,
        "local_start_hour": own.hour,
        "local_start_weekday": own.isoweekday(),
    }


def awake(events: list[Event]) -> float:
    """Event by event: a tap puts to sleep, a purchase wakes."""
    seconds, asleep = 0.0, False
    for event, following in itertools.pairwise(events):
        asleep = event["name"] == "tap" or (asleep and event["name"] != "buy")
        seconds += 0 if asleep else (following["time"] - event["time"]).total_seconds()
    return seconds
