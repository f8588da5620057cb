"""Tables of chance for the views: persons, sessions, links and days, with gaps and mistakes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from tests.builders import METRICS
from tests.pipeline.views.place import Row, Rows

#: Never, before the sessions, among them, later than all; and mistakes.
SIGN_UPS = [None, *(datetime(*moment, tzinfo=UTC) for moment in ((2026, 2, 9), (2026, 3, 9), (2026, 7, 1)))]
SIGN_UPS += [datetime(1, 1, 1, tzinfo=UTC), datetime(2014, 12, 31, 23, tzinfo=UTC)]
DEEDS = ("events_created_count", "invites_accepted", "invites_pending", "invites_rejected")


def random_tables(dice: random.Random, least: int = 0) -> Rows:
    """Sessions of a few persons over a few weeks; of some persons there are many, of some days none."""
    begin, sessions = datetime(2026, 2, 20, tzinfo=UTC), []
    for number in range(dice.randrange(least, 60)):
        person = dice.choice("aabcdefghij")
        start = begin + timedelta(seconds=dice.randrange(60 * 86_400))
        touched = dice.random() < 0.5
        user = {"user_id": f"u{person}" if person < "f" else None, "businessUser": person == "b" or None}
        sessions.append(
            user
            | {
                "session_id": f"s{number:02}",
                "person_id": person,
                "distinct_id": person,
                "start_timestamp": start,
                "start_date": (start - timedelta(hours=5)).date(),
                "end_timestamp": begin,
                "session_duration": dice.choice([0.0, dice.randrange(10**9) / 10**6]),
                "autocapture_count": dice.choice([0, 3]),
                "scroll_event_count": 5 * touched,
                "scrolled": touched,
                "viewed_event": dice.random() < 0.3,
                "created_event": dice.random() < 0.2,
                "screen_count": dice.randrange(9),
                "city": dice.choice([None, "Bern", "Zürich"]),
                "_loaded_at": begin + timedelta(hours=dice.randrange(99)),
            }
        )
    today = begin + timedelta(days=dice.randrange(70), hours=dice.randrange(24))
    return {
        "sessions": sessions,
        "session_links": random_links(dice, sessions),
        "person_days": random_days(dice, begin),
        "persons": [profile(one, dice.choice(SIGN_UPS)) for one in "acdefghij"],
        "runs": [{"run_id": "1", "watermark": today}],
    }


def profile(name: str, signed_up: datetime | None = None) -> Row:
    user = f"u{name}" if name < "f" else None
    return {"person_id": user or name, "user_id": user, "fullName": name, "createdAt": signed_up}


def random_links(dice: random.Random, sessions: list[Row]) -> list[Row]:
    """Rows of some sessions, a row a session and object."""
    rows = []
    for session in sessions:
        for value in dice.sample(["e1", "e2", "e3"], dice.randrange(3)):
            row = {"session_id": session["session_id"], "link": dice.choice(["social_event", "other"]), "value": value}
            for action in METRICS.actions:
                number = dice.choice([None, 0, 1, 3])
                row |= {f"{action}_count": number, f"first_{action}_at": session["start_timestamp"] if number else None}
            rows.append(row)
    return rows


def random_days(dice: random.Random, begin: datetime) -> list[Row]:
    """Rows of some persons and days, some of which are later than the watermark."""
    rows = []
    for name in "abcdefg":
        for number in sorted(dice.sample(range(80), dice.randrange(6))):
            counts = {one: dice.choice([0, 0, 1, 7]) for one in DEEDS}
            rows.append(
                {name: value for name, value in profile(name).items() if name.endswith("_id")}
                | {"date": begin.date() + timedelta(days=number), "event_count": dice.randrange(3), **counts}
                | {"is_app_active": dice.random() < 0.7, "is_social_active": any(counts.values())}
                | {"_loaded_at": begin + timedelta(hours=dice.randrange(99))}
            )
    return rows
