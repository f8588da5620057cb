"""Which objects a session has to do with, at the edges; that links keep the laws is in `sessions.test_facts`."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline import tables
from tests.builders import METRICS, at, event, events_batch, facts_of_slices, slices_of
from transforms.events.decoder import EventDecoder
from transforms.metrics.definitions import MetricsError
from transforms.metrics.file import parse_metrics

GOOD = "[metrics.n]\nkind = 'count'\nevents = ['n']\ndescription = 'N.'\n"
VIEW = "[links.thing]\nproperty = 'p'\nactions = { seen = ['see'], got = ['get'] }\ndescription = 'T.'\n"


def objects(keys: str, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    """The links of one session of these events, under a link with these keys."""
    metrics = parse_metrics(f"libraries = ['*']\n{GOOD}{VIEW}{keys}")
    kept = EventDecoder(metrics).decode(events_batch(rows)).kept
    [row] = facts_of_slices(slices_of(kept, metrics), metrics).to_pylist()
    found: list[dict[str, Any]] = row["_links"]
    return found


def deed(number: int, name: str, value: Any) -> dict[str, Any]:
    return event(number, name=name, properties={"p": value})


def test_the_first_time_and_the_number_of_each_action_with_each_object() -> None:
    rows = [deed(1, "see", "b"), deed(2, "get", "a"), deed(3, "see", "a"), deed(4, "get", "a"), deed(5, "other", "c")]
    one, two = objects("", *rows)
    assert (one["link"], one["value"], one["is_cut"]) == ("thing", "b", False)
    assert (one["first_seen_at"], one["seen_count"]) == (at(1), 1)
    assert (one["first_got_at"], one["got_count"]) == (None, 0)
    assert two == one | {
        "value": "a",
        "first_seen_at": at(3),
        "first_got_at": at(2),
        "got_count": 2,
    }


def test_events_that_name_no_object_are_skipped_and_numbers_are_their_text() -> None:
    rows = [deed(1, "see", None), deed(2, "see", 7), deed(3, "see", "7"), deed(4, "see", ""), deed(5, "see", ["x"])]
    assert [(row["value"], row["seen_count"]) for row in objects("", *rows)] == [("7", 2)]
    assert objects("", deed(1, "see", None)) == objects("", deed(1, "other", "a")) == []


@pytest.mark.parametrize(("values", "cut"), [("ab", False), ("abc", True)])
def test_beyond_the_limit_the_objects_that_come_first_stay(values: str, cut: bool) -> None:
    rows = [deed(number, "see", value) for number, value in enumerate(values[::-1])]
    found = objects("limit = 2", *rows, deed(9, "get", values[-1]))
    assert [row["value"] for row in found] == list(values[::-1][:2])
    assert {row["is_cut"] for row in found} == {cut}
    assert found[0]["got_count"] == 1


def test_links_with_other_actions_have_null_for_those_that_they_lack() -> None:
    other = "[links.name]\nproperty = 'event'\nactions = { told = ['see'] }\ndescription = 'N.'"
    one, two = objects(other, deed(1, "see", "a"))
    assert (one["told_count"], one["first_told_at"], one["got_count"]) == (None, None, 0)
    assert (two["link"], two["value"], two["told_count"], two["got_count"]) == ("name", "see", 1, None)


def test_every_action_has_its_columns_and_without_links_there_are_none() -> None:
    names = tables.SESSION_LINKS.under(METRICS).schema.names
    assert names[:5] == ["session_id", "start_date", "link", "value", "is_cut"]
    assert names[5:7] == ["first_viewed_at", "viewed_count"]
    assert len(names) == 5 + 2 * len(METRICS.actions) + 2
    assert len(tables.SESSION_LINKS.under(parse_metrics(GOOD)).schema.names) == 5 + 2


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (VIEW.replace("property = 'p'", ""), ["link 'thing': property is missing; it is a non-empty text"]),
        (VIEW.replace("{ seen = ['see'], got = ['get'] }", "{}"), ["actions {} is not a table of actions"]),
        (VIEW.replace("['see']", "'see'"), ["link 'thing'", "actions", "a non-empty list of event names"]),
        (VIEW.replace("seen", "Seen"), ["lower-case letters, digits and _"]),
        (VIEW + "limit = 0", ["limit 0 is not a whole number from 1 to 1000"]),
        (
            VIEW + "kind = 'flag'",
            ["link 'thing': unknown key 'kind'; allowed are actions, description, limit, property"],
        ),
        (VIEW.replace("thing", "Thing"), ["link 'Thing': a name is lower-case"]),
        ("[links]\nthing = 1", ["link 'thing': 1 is not a table; write [links.thing]"]),
    ],
)
def test_a_wrong_link_is_told_in_one_line(text: str, told: list[str]) -> None:
    with pytest.raises(MetricsError) as caught:
        parse_metrics(GOOD + text)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in told), message


def test_other_links_are_other_definitions() -> None:
    one = parse_metrics(GOOD + VIEW)
    assert one.digest == parse_metrics(GOOD + VIEW.replace("T.", "Other words.")).digest
    assert len({one.digest, *(parse_metrics(GOOD + text).digest for text in ("", VIEW + "limit = 5"))}) == 3
