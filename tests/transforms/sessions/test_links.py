"""Rows of links: of facts that are new, and as they are published; what becomes of them is in `test_fate`."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline import tables
from tests.builders import SMALL_METRICS, at
from transforms.sessions.facts import fact_schema
from transforms.sessions.links import INVOLVED, involved_persons, link_rows

LINKS = tables.SESSION_LINKS.under(SMALL_METRICS)
FACTS = fact_schema(SMALL_METRICS, tables.SESSIONS.under(SMALL_METRICS).bare)
DAY = at(0).date()


def rows(facts: dict[str, Any], staying: list[str], published: list[str]) -> list[tuple[str, ...]]:
    """(session, link, value) of the rows that are made of links by session, and of published ones of sessions."""
    known = {"start_date": DAY, "link": "thing", "value": "old", "is_cut": False}
    fresh = [{"session_id": session, "start_date": DAY, "_links": links} for session, links in facts.items()]
    before = [{"session_id": one, **known} for one in published]
    made = link_rows(
        pa.Table.from_pylist(fresh, FACTS),
        pa.chunked_array([pa.array(staying, pa.string())]),
        pa.Table.from_pylist(before, LINKS.bare),
        LINKS.target,
    )
    assert made.schema == LINKS.content
    assert {row["start_date"] for row in made.to_pylist()} <= {DAY}
    return [(row["session_id"], row["link"], row["value"]) for row in made.to_pylist()]


def test_facts_give_a_row_an_object_and_published_rows_stay_with_their_session() -> None:
    links = [{"link": "thing", "value": "a", "is_cut": False}, {"link": "place", "value": "a", "is_cut": True}]
    fresh = {"s": links, "t": [], "u": links[:1], "v": None}
    made = [("s", "thing", "a"), ("s", "place", "a"), ("u", "thing", "a")]
    assert rows(fresh, [], ["s", "w"]) == made
    assert rows(fresh, ["w", "x"], ["s", "w", "w"]) == [*made, ("w", "thing", "old"), ("w", "thing", "old")]
    assert rows({}, [], []) == []


#: (session, link, object, viewed, joined) of rows, and whose the sessions are.
WHO = [
    ("s", "social_event", "e1", 2, None),
    ("s", "social_event", "e2", 0, 0),
    ("s", "thing", "e1", 1, 1),
    ("t", "social_event", "e1", 0, 1),
    ("u", "social_event", "e1", 1, 0),
]
SESSIONS = pa.table({"session_id": ["u", "t", "s"], "person_id": ["ann", "bob", "bob"]})


def involved(*names: str) -> list[dict[str, Any]]:
    """Persons by `WHO`, of which only some columns are there."""
    found = [
        dict(zip(("session_id", "link", "value", "viewed_count", "joined_count"), row, strict=True)) for row in WHO
    ]
    every = pa.Table.from_pylist(found, LINKS.content)
    told = involved_persons(every.drop_columns([*names]), SESSIONS)
    assert told.schema == INVOLVED
    return sorted(told.to_pylist(), key=lambda row: str(row["person_id"]))


def test_persons_who_did_something_with_a_social_event() -> None:
    ann = {"social_event_id": "e1", "person_id": "ann", "viewed": True, "joined": False}
    bob = {"social_event_id": "e1", "person_id": "bob", "viewed": True, "joined": True}
    assert involved() == [ann, bob]
    assert involved("joined_count") == [ann, bob | {"joined": False}]
    assert involved("viewed_count") == [bob | {"viewed": False}]
    assert involved("viewed_count", "joined_count") == []
