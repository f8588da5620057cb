"""The law: however arrivals are split over runs, the tables equal one full load. On the pure functions."""

from __future__ import annotations

import copy
import random
from datetime import timedelta
from typing import Any

import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.plan import Request
from tests.builders import SMALL_METRICS, at, event
from tests.pure import Model
from transforms.incremental import unsettled as unsettled_module
from transforms.incremental.watermark import SUPPORT
from transforms.persons import days as days_module
from transforms.sessions import concluded as choose_module

HOUR = 3_600
DAYS = 30
PEOPLE = [f"+1201555010{n}" for n in range(4)]


def history(rng: random.Random) -> tuple[list[dict[str, Any]], ...]:
    """Events, users, Firebase events, PostHog's sessions and invites with the second of their arrival in `_arrives`.

    Sessions last up to 24 hours, events come up to 3 days late, some rows twice and days apart; users sign up
    and create events at any time, so that older sessions become theirs; social events are edited, invites answered.
    """
    events: list[dict[str, Any]] = []
    number = 0
    for session in range(rng.randint(1, 12)):
        start = rng.uniform(0, DAYS * 24) * HOUR
        who = rng.choice([f"anon-{session % 5}", *PEOPLE])
        for _ in range(rng.randint(1, 5)):
            seconds = start + rng.choice([0, rng.uniform(0, 24)]) * HOUR
            who = rng.choice([who, who, who, *PEOPLE])
            for _ in range(rng.choice([1, 1, 1, 2])):
                arrives = seconds + rng.choice([0, 60, rng.uniform(0, 72 * HOUR)])
                row = event(
                    number,
                    f"s{session}",
                    name=rng.choice(["tap", "buy", "x"]) if number % 2 else "tap",
                    distinct_id=who,
                    seconds=seconds,
                    arrives=arrives,
                    properties={"$screen_name": ["Home", "Chat"][number % 2], "y": number % 3, "h": 2},
                )
                events.append({**row, "_arrives": arrives})
            number += 1
    users = [
        {"user_id": f"u{n}", "phoneNumber": phone, "fullName": rng.choice([None, "Ann Example"])}
        | {"_arrives": rng.uniform(0, DAYS * 24) * HOUR}
        for n, phone in enumerate(rng.choices(PEOPLE, k=rng.randint(0, 5)))
    ]
    social = [
        {"user_id": f"u{rng.randint(0, 4)}", "createdAt": at(rng.choice(events)["_arrives"] - 60)}
        | {"_arrives": rng.uniform(0, DAYS * 24) * HOUR}
        for _ in range(rng.randint(0, 5))
    ]
    documents = []
    for n in range(rng.randint(0, 6)):
        first = rng.choice(events)["_arrives"] - 60
        who = f"u{rng.randint(0, 4)}"
        for version in range(rng.randint(1, 3)):
            moved = rng.choice([0, 0, 24 * HOUR])
            row = {"document_id": f"e{n}", "user_id": who, "createdAt": at(first), "startTime": at(first + moved)}
            documents.append(
                {**row, "etl_loaded_at": at(version), "_arrives": first + version * rng.uniform(0, 9) * HOUR}
            )
    invites = []
    for n in range(rng.randint(0, 8)):
        first = rng.choice(events)["_arrives"] - 60
        row = {
            "document_id": f"i{n}",
            "event_id": f"e{n % 4}",
            "user_id": f"u{rng.randint(0, 4)}",
            "createdAt": at(first),
        }
        for version in range(rng.randint(1, 3)):
            status = rng.choice(["invited", "accepted", "rejected", "maybe"])
            arrives = first + version * rng.uniform(0, 99) * HOUR
            invites.append({**row, "status": status, "etl_loaded_at": at(version), "_arrives": arrives})
    return events, users, social + documents, [], invites


def seen(rows: list[dict[str, Any]], until: float) -> list[dict[str, Any]]:
    """What has arrived by then."""
    return [{key: value for key, value in row.items() if key != "_arrives"} for row in rows if row["_arrives"] <= until]


def pulse(until: float) -> list[dict[str, Any]]:
    """So many events of one session that the watermark comes to their arrival."""
    number = int(until) * SUPPORT
    rows = [event(number + n, f"pulse-{until}", seconds=until - 60, arrives=until) for n in range(SUPPORT)]
    return [{**row, "_arrives": until} for row in rows]


def check_law(rng: random.Random) -> None:
    parts = history(rng)
    end = (DAYS + 10) * 24 * HOUR
    times = [*sorted(rng.uniform(0, end) for _ in range(rng.randint(0, 7))), end]
    for time in times:
        parts[0].extend(pulse(time))
    known: dict[Any, Any] = {}
    model = Model(SMALL_METRICS, known=known)
    for until in times:
        model.run(*[seen(rows, until) for rows in parts])
        read = model.counts.get("read", 0)
        assert read == model.counts.get("kept", 0) + model.counts.get("duplicates", 0) + sum(
            number for name, number in model.counts.items() if name.startswith(("filtered.", "rejected."))
        )
    full = Model(SMALL_METRICS, known=known)
    full.run(*[seen(rows, end) for rows in parts])
    assert model.too_old == []
    assert model.content() == full.content()
    before = copy.deepcopy(model.published)
    model.run(*[seen(rows, end) for rows in parts])
    assert model.published == before


# `test_history_law` tries the same law with more kinds of changes
@settings(max_examples=30 if settings.default.derandomize else 1_000, deadline=None)
@given(st.integers(0, 2**32))
def test_any_split_over_runs_equals_one_full_load(seed: int) -> None:
    check_law(random.Random(seed))


@pytest.mark.parametrize(
    ("module", "name", "broken"),
    [
        (choose_module, "_in_window", lambda window, known, *_: (known.start > 2**62, known.start > 2**62)),
        (choose_module, "_in_window", lambda window, known, *_: (known.start < 2**62, known.start > 2**62)),
        (days_module, "unaffected", lambda sessions, deeds, published: pc.unique(published["person_id"])),
        (days_module, "unaffected", lambda sessions, *_: pc.unique(sessions["person_id"])),
    ],
)
def test_a_broken_rule_breaks_the_law(module: Any, name: str, broken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, name, broken)
    with pytest.raises(AssertionError):
        for seed in range(60):
            check_law(random.Random(seed))


def late_history() -> tuple[list[dict[str, Any]], float]:
    """A session of day 0 with an event that arrives on day 10, and a session a day."""
    day = 24 * HOUR
    rows = [{**event(n, f"s{n}", name="tap", seconds=n * day), "_arrives": n * day + 60} for n in range(12)]
    late = 10.5 * day
    rows.append({**event(99, "s0", name="buy", seconds=600, arrives=late), "_arrives": late})
    rows += pulse(late - HOUR)
    return rows, late


def test_later_than_the_lateness_is_listed_and_settled_by_a_backfill() -> None:
    rows, late = late_history()
    model = Model(SMALL_METRICS)
    model.run(seen(rows, late - HOUR))
    before = model.content()
    model.run(seen(rows, late))
    assert model.too_old == ["s0"]
    assert model.counts["filtered.late"] == 1
    assert model.content() == before
    model.run(seen(rows, late), request=Request(start_date=at(0).date(), end_date=at(24 * HOUR).date()))
    full = Model(SMALL_METRICS)
    full.run(seen(rows, late))
    assert model.content() == full.content()


def test_a_session_that_goes_on_for_days_is_listed_also_where_nothing_is_late() -> None:
    day = 24 * HOUR
    rows = [{**event(n, "long", name="tap", seconds=n * day), "_arrives": n * day + 60} for n in (0, 10)]
    rows += pulse(9 * day) + pulse(10.5 * day)
    model = Model(SMALL_METRICS)
    model.run(seen(rows, 9 * day))
    model.run(seen(rows, 10.5 * day))
    assert model.too_old == ["long"]


def test_a_session_without_a_row_and_a_name_waits_in_the_first_day_of_the_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its events are no news to the second run, and it is not read whole there, although its day is."""
    monkeypatch.setattr(unsettled_module, "MAX_LISTED", 0)
    reached = 10.5 * 24 * HOUR  # a midnight, and so is the beginning of the window, five days before
    rows = [*pulse(reached), {**event(1, "s", seconds=6 * 24 * HOUR, arrives=reached), "_arrives": reached + 60}]
    model = Model(SMALL_METRICS, excluded=frozenset({PEOPLE[0]}))
    model.run(seen(rows, reached))
    for _ in range(2):
        model.run(seen(rows, reached + 60))
        assert model.ledger[-1]["sessions_too_old"] == 1


def test_a_backfill_removes_sessions_that_are_gone_and_leaves_other_days_alone() -> None:
    rows, _ = late_history()
    model = Model(SMALL_METRICS)
    model.run(seen(rows, 1e12))
    corrected = [row for row in rows if '"s3"' not in row["properties"]]
    first = at(0).date()
    model.run(
        seen(corrected, 1e12),
        request=Request(start_date=first + timedelta(days=2), end_date=first + timedelta(days=5)),
    )
    full = Model(SMALL_METRICS)
    full.run(seen(corrected, 1e12))
    assert model.content() == full.content()


def test_a_user_excluded_later_disappears_from_old_sessions() -> None:
    day = 24 * HOUR
    rows = [
        {**event(1, "mixed", distinct_id="anon", seconds=0), "_arrives": 60},
        {**event(2, "mixed", distinct_id=PEOPLE[0], seconds=60), "_arrives": 120},
        {**event(3, "pure", distinct_id=PEOPLE[0], seconds=600), "_arrives": 660},
        {**event(4, "other", distinct_id=PEOPLE[1], seconds=30 * day), "_arrives": 30 * day + 60},
    ]
    model = Model(SMALL_METRICS)
    model.run(seen(rows, 1e12))
    model.excluded = frozenset({PEOPLE[0]})
    model.run(seen(rows, 1e12))
    full = Model(SMALL_METRICS, excluded=model.excluded)
    full.run(seen(rows, 1e12))
    assert model.content() == full.content()
    assert [row["session_id"] for row in model.content()["sessions"]] == ["mixed", "other"]
