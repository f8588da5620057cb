"""Social events: whose they are, when they are to begin, their invites, and the persons who came across them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from pipeline import tables
from tests.builders import METRICS, SMALL_METRICS, at
from tests.transforms.people import Collected, collect
from transforms.metrics.definitions import Metrics
from transforms.metrics.file import parse_metrics
from transforms.published.changes import CHANGE, LoadedBy
from transforms.schemas.fields import columns_of
from transforms.schemas.inputs import INVITE, SOCIAL_EVENT, USERS
from transforms.sessions.links import INVOLVED
from transforms.social.events import hosted, social_events
from transforms.users.deeds import SOCIAL_EVENTS

HOUR = 3_600
TABLE = tables.SOCIAL_EVENTS.under(METRICS)
EVENT = {"document_id": "e1", "user_id": "ann", "createdAt": at(0)}
INVITES = columns_of(INVITE, "event_id", "status")
#: A metrics file whose link of social events says only that they were viewed.
VIEWED_ONLY = parse_metrics(
    """
    [metrics.x]
    kind = "flag"
    events = ["x"]
    description = "X."
    [links.social_event]
    property = "id"
    actions = { viewed = ["see"] }
    description = "A social event."
    [links.place]
    property = "id"
    actions = { joined = ["go"] }
    description = "Another link."
    """
)


def made(
    *events: dict[str, Any],
    invites: tuple[tuple[str | None, str | None], ...] = (),
    who: tuple[tuple[str, str, bool, bool], ...] = (),
    published: pa.Table | None = None,
    metrics: Metrics = METRICS,
) -> Collected:
    """Rows with their change, of Ann and Bob, who are users, and others, who are not."""
    users = pa.Table.from_pylist([{"user_id": "ann"}, {"user_id": "bob"}], columns_of(USERS, "user_id"))
    given = pa.Table.from_pylist([EVENT | event for event in events], SOCIAL_EVENTS.kept)
    table = tables.SOCIAL_EVENTS.under(metrics)
    function = social_events(metrics, table.target, LoadedBy("run-2", at(0)))
    return collect(
        function(
            {
                "events": collect(hosted({"events": given, "users": users})).rows,
                "invites": pa.table([[row[n] for row in invites] for n in (0, 1)], schema=INVITES),
                "who": pa.table([[row[n] for row in who] for n in range(4)], schema=INVOLVED),
                "published": table.bare.empty_table() if published is None else published,
            }
        )
    )


def rows(*events: dict[str, Any], **others: Any) -> list[dict[str, Any]]:
    """Of each social event its row."""
    found = made(*events, **others).rows.to_pylist()
    return sorted(found, key=lambda row: str(row["social_event_id"]))


def column(found: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in found]


@pytest.mark.parametrize(
    ("given", "starts", "hours", "is_planned"),
    [
        ({"startTime": at(30 * HOUR), "eventDate": at(12 * HOUR)}, at(30 * HOUR), 30.0, True),
        ({"eventDate": at(12 * HOUR)}, at(12 * HOUR), 12.0, True),
        ({"startTime": at(0.36), "endTime": at(HOUR)}, at(0.36), 0.0001, True),
        ({"startTime": at(0)}, at(0), 0.0, False),
        ({"startTime": at(-HOUR / 2)}, at(-HOUR / 2), -0.5, False),
        ({"endTime": at(HOUR)}, None, None, None),
    ],
)
def test_when_it_is_to_begin(given: dict[str, Any], starts: Any, hours: float | None, is_planned: bool | None) -> None:
    found = column(rows(given), "created_at", "starts_at", "lead_time_hours", "is_planned")
    assert found == [(at(0), starts, hours, is_planned)]


def test_moments_far_away_are_no_trouble() -> None:
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    [row] = rows({"createdAt": first, "startTime": last})
    assert row["lead_time_hours"] == (last - first) // timedelta(microseconds=1) / (HOUR * 1_000_000)


def test_the_order_of_a_hosts_is_that_of_creation_then_of_ids() -> None:
    others = [("e5", "bob", 9), ("e4", "ann", 1), ("e2", "ann", 2), ("e3", "ann", 2), ("e6", "gone", 3)]
    given = [{"document_id": one, "user_id": who, "createdAt": at(when)} for one, who, when in others]
    found = column(rows(*given, {}), "social_event_id", "person_id", "host_event_number")
    assert found == [
        ("e1", "ann", 1),
        ("e2", "ann", 3),
        ("e3", "ann", 4),
        ("e4", "ann", 2),
        ("e5", "bob", 1),
        ("e6", None, None),  # the host is no user anymore
    ]


def test_invites_count_by_their_status_of_today() -> None:
    given = ("accepted", "accepted", "rejected", "invited", None)
    invites = (*(("e1", status) for status in given), ("gone", "accepted"), (None, "accepted"), ("e3", None))
    found = rows({}, {"document_id": "e2"}, {"document_id": "e3"}, invites=invites)
    counts = ("invited_count", "accepted_count", "rejected_count", "pending_count", "acceptance_rate")
    assert column(found, *counts) == [(4, 2, 1, 1, 0.5), (0, 0, 0, 0, None), (0, 0, 0, 0, None)]


def test_a_person_counts_once_in_however_many_sessions() -> None:
    who = (
        ("e1", "ann", True, False),
        ("e1", "ann", True, True),
        ("e1", "anon", True, False),
        ("e1", "cy", False, True),
        ("gone", "ann", True, True),
    )
    found = rows({}, {"document_id": "e2"}, who=who)
    assert column(found, "viewer_count", "joiner_count") == [(2, 2), (0, 0)]


def test_what_the_metrics_file_does_not_declare_is_null() -> None:
    who = (("e1", "ann", True, False),)
    assert column(rows({}, who=who, metrics=VIEWED_ONLY), "viewer_count", "joiner_count") == [(1, None)]
    nothing = parse_metrics('[metrics.x]\nkind = "flag"\nevents = ["x"]\ndescription = "X."')
    assert column(rows({}, metrics=nothing), "viewer_count", "joiner_count") == [(None, None)]
    assert column(rows({}, who=who, metrics=SMALL_METRICS), "viewer_count", "joiner_count") == [(1, 0)]


def test_only_what_changed_is_written() -> None:
    given: list[dict[str, Any]] = [{"document_id": f"e{n}", "createdAt": at(n), "eventDate": None} for n in range(4)]
    invites = (("e1", "accepted"),)
    before = made(*given, invites=invites).rows.drop_columns([CHANGE])
    assert made(*given, invites=invites, published=before).counts == {"social_events.unchanged": 4}
    found = made(*given[1:], invites=(("e1", "accepted"), ("e3", "rejected")), published=before)
    changes = {row["social_event_id"]: row[CHANGE] for row in found.rows.to_pylist()}
    # the first of the host's is gone, so that all others have another number
    assert changes == {"e0": "deleted", "e1": "updated", "e2": "updated", "e3": "updated"}
    last = made(*given, invites=(*invites, ("e3", "rejected")), published=before)
    assert last.counts == {"social_events.unchanged": 3, "social_events.updated": 1}


def test_nothing_at_all() -> None:
    assert rows() == rows(invites=(("e1", "accepted"),), who=(("e1", "ann", True, True),)) == []
    assert made().rows.schema.names == [*TABLE.schema.names, CHANGE]


def test_all_that_a_document_tells_is_in_its_row() -> None:
    [row] = rows({"type": "checkin"})
    assert row["type"] == "checkin"
    assert {field.name for field in SOCIAL_EVENT} == set(SOCIAL_EVENTS.kept.names)
