"""What becomes of a row: one reason each, in a fixed order, whatever batch it comes in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.builders import METRICS, at, event, events_batch
from transforms.events.decoder import MAX_PROPERTIES, DecodedEvents, EventDecoder
from transforms.events.slim_rows import NO_ARRIVAL
from transforms.incremental.window import UNSEEN, Window
from transforms.metrics.file import parse_metrics


def decode(*rows: dict[str, Any], excluded: frozenset[str] = frozenset(), **window: Any) -> DecodedEvents:
    return EventDecoder(METRICS, excluded, Window(**window)).decode(events_batch(rows))


def micros(seconds: float) -> int:
    return int((at(seconds) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)


GOOD = event(1)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, None),
        ({"uuid": None}, "rejected.uuid_missing"),
        ({"uuid": " "}, "rejected.uuid_missing"),
        ({"uuid": "x" * 10_000}, "rejected.uuid_too_long"),
        ({"uuid": "not-a-uuid"}, None),
        ({"event": None}, "rejected.event_missing"),
        ({"event": ""}, "rejected.event_missing"),
        ({"distinct_id": None}, "rejected.distinct_id_missing"),
        ({"distinct_id": ""}, "rejected.distinct_id_missing"),
        ({"distinct_id": " \t " * 20}, "rejected.distinct_id_missing"),
        ({"distinct_id": "x" * 10_240}, "rejected.distinct_id_too_long"),
        ({"distinct_id": "x" * 400}, None),
        ({"timestamp": None}, "rejected.timestamp_missing"),
        ({"timestamp": datetime(1970, 1, 1, tzinfo=UTC)}, "rejected.timestamp_implausible"),
        ({"timestamp": datetime(2014, 12, 31, 23, 59, 59, tzinfo=UTC)}, "rejected.timestamp_implausible"),
        ({"timestamp": datetime(2015, 1, 1, tzinfo=UTC)}, None),
        ({"timestamp": datetime(2099, 1, 1, tzinfo=UTC)}, "rejected.timestamp_implausible"),
        (
            {"timestamp": datetime(9999, 1, 1, tzinfo=UTC), "bq_ingested_timestamp": None},
            "rejected.timestamp_implausible",
        ),
        ({"timestamp": at(86_400 + 61)}, "rejected.timestamp_implausible"),
        ({"timestamp": at(86_400 + 60)}, None),
        ({"bq_ingested_timestamp": None}, None),
        ({"properties": None}, "rejected.properties_missing"),
        ({"properties": ""}, "rejected.properties_missing"),
        ({"properties": " " * 100}, "rejected.properties_missing"),
        ({"properties": "nope"}, "rejected.properties_invalid"),
        ({"properties": "[1]"}, "rejected.properties_invalid"),
        ({"properties": '{"$session_id": "s'}, "rejected.properties_invalid"),
        ({"properties": '{"$session_id": "s1"}'}, "filtered.library"),
        ({"properties": '{"$lib": "web", "$session_id": "s1"}'}, "filtered.library"),
        ({"distinct_id": "staff"}, "filtered.excluded_user"),
    ],
)
def test_outcome(change: dict[str, Any], outcome: str | None) -> None:
    change = {"bq_ingested_timestamp": at(60), **change}
    if change.get("timestamp") == datetime(2015, 1, 1, tzinfo=UTC):
        change["bq_ingested_timestamp"] = None
    decoded = decode({**GOOD, **change}, excluded=frozenset({"staff"}))
    expected = {"read": 1} | ({outcome: 1} if outcome else {})
    assert {name: n for name, n in decoded.counts.items() if not name.startswith("nulled")} == expected
    assert len(decoded.kept) == (0 if outcome else 1)
    assert decoded.rejected.num_rows == (1 if outcome and outcome.startswith("rejected") else 0)


@pytest.mark.parametrize(
    ("session", "outcome"),
    [
        (None, "session_id_missing"),
        ("", "session_id_missing"),
        (" \n", "session_id_missing"),
        ("x" * 10_240, "session_id_too_long"),
        (7, "session_id_invalid"),
        (["s1"], "session_id_invalid"),
        ("s", None),
    ],
)
def test_session_ids(session: Any, outcome: str | None) -> None:
    text = json.dumps({"$lib": "posthog-react-native", "$session_id": session})
    decoded = decode({**GOOD, "properties": text})
    assert decoded.counts[f"rejected.{outcome}"] == (1 if outcome else 0)
    assert len(decoded.kept) == (0 if outcome else 1)


def test_the_first_reason_wins_and_every_row_has_one_outcome() -> None:
    everything_wrong = dict.fromkeys(GOOD)
    decoded = decode(everything_wrong, GOOD, {**GOOD, "event": None, "timestamp": None})
    assert decoded.counts == {"read": 3, "rejected.uuid_missing": 1, "rejected.event_missing": 1}


def test_rejected_rows_keep_the_source_and_the_reason() -> None:
    decoded = decode(GOOD, {**GOOD, "properties": "nope"})
    [row] = decoded.rejected.to_pylist()
    assert row["reason"] == "properties_invalid"
    assert row["properties"] == "nope"
    assert row["uuid"] == GOOD["uuid"]


def test_any_library_when_the_metrics_say_so() -> None:
    text = '''libraries = ["*"]
    [metrics.x]
    kind = "flag"
    events = ["x"]
    description = "X."'''
    decoder = EventDecoder(parse_metrics(text))
    assert len(decoder.decode(events_batch([event(1, lib=None)])).kept) == 1


def test_a_window_looks_only_at_its_rows_and_at_news() -> None:
    rows = [
        event(1, seconds=-100, arrives=-40),  # before the window, old
        event(2, seconds=-100, arrives=500),  # before the window, new: too late for it
        event(3, seconds=10, arrives=70),  # in the window, old
        event(4, seconds=10, arrives=500),  # in the window, new
    ]
    decoded = decode(*rows, scan_start=micros(0), new_from=micros(400))
    assert decoded.counts == {"read": 4, "filtered.outside_scan": 1, "filtered.late": 1}
    assert len(decoded.kept) == 2
    assert decoded.late.to_pylist() == [{"session_id": "s1", "timestamp": at(-100), "newest": micros(500)}]
    assert decoded.latest == (micros(500), micros(500), micros(70))


def test_arrivals_after_the_clock_are_no_evidence() -> None:
    rows = [event(1, arrives=10), event(2, arrives=20), event(3, arrives=10**9)]
    assert decode(*rows, clock=micros(20)).latest == (micros(20), micros(10))


def test_without_arrival_a_row_says_so_and_its_time_stands_for_it() -> None:
    undated = {**event(5), "bq_ingested_timestamp": None}
    decoded = decode(undated, event(6))
    assert decoded.kept.numbers["lag"].tolist() == [NO_ARRIVAL, 60_000_000]
    assert decoded.kept.numbers["later"].tolist() == [0, 0]
    assert decoded.latest == (micros(66), micros(5))
    assert decode(undated).latest == (micros(5),)
    # in an incremental run it counts as arrived when it is news by its own time
    decoded = decode(undated, scan_start=micros(0), new_from=micros(400), undated_from=micros(5))
    assert decoded.kept.numbers["later"].tolist() == [395_000_000 + UNSEEN]


@pytest.mark.parametrize(
    "word",
    [
        "undefined",
        "null",
        "[object Object]",
        "NaN",
        "None",
        "00000000-0000-0000-0000-000000000000",
        "'guest'",
        "GUEST",
        " null ",
    ],
)
def test_words_that_mean_nothing_are_no_ids(word: str) -> None:
    assert decode({**GOOD, "distinct_id": word}).counts["rejected.distinct_id_meaningless"] == 1
    assert decode(event(1, word)).counts["rejected.session_id_meaningless"] == 1


def test_session_ids_that_are_uuids_are_one_in_any_letter_case_and_others_are_not() -> None:
    session = "0191D2C0-7B7E-7C38-A5F4-6A9A0D6A1F11"
    rows = decode(event(1, session), event(2, session.lower()), event(3, "Session"), event(4, "session")).kept
    ids = list(zip(rows.numbers["session_high"].tolist(), rows.numbers["session_low"].tolist(), strict=True))
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert rows.texts["session_id"].texts().to_pylist() == [None, None, "Session", "session"]


def test_a_text_beyond_all_measure_is_not_parsed() -> None:
    text = json.dumps({"$session_id": "s1", "$lib": "posthog-react-native", "x": "y" * MAX_PROPERTIES})
    assert decode({**GOOD, "properties": text}).counts == {"read": 1, "rejected.properties_too_long": 1}


def test_events_that_arrive_years_later_have_a_wrong_clock() -> None:
    days = METRICS.max_event_age_days
    late = {**GOOD, "bq_ingested_timestamp": at(1 + 86_400 * days)}
    assert decode(late).counts == {"read": 1}
    later = {**GOOD, "bq_ingested_timestamp": at(2 + 86_400 * days)}
    assert decode(later).counts == {"read": 1, "rejected.timestamp_too_old": 1}
    assert decode({**GOOD, "bq_ingested_timestamp": None}).counts == {"read": 1}
    # unless the arrival is the wrong one: it lies after the run's own clock
    assert decode(later, clock=micros(1 + 86_400 * days)).counts == {"read": 1}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "s1"),
        ({"bq_ingested_timestamp": None}, "s1"),
        # what would not be kept tells nothing of a session: no published row would tell it to a later run
        ({"uuid": None}, ""),
        ({"properties": json.dumps({"$session_id": "s1", "$lib": "web"})}, ""),
        ({"properties": "{"}, ""),
        ({"timestamp": None}, None),
        ({"bq_ingested_timestamp": at(-2 * 86_400)}, None),
    ],
)
def test_an_excluded_row_tells_whose_its_session_is_when_every_run_knows_it(
    change: dict[str, Any], told: str | None
) -> None:
    found = decode({**GOOD, **change}, excluded=frozenset({GOOD["distinct_id"]}))
    assert found.counts == {"read": 1, "filtered.excluded_user": 1}
    assert found.left_out == (set() if told is None else {(told, GOOD["distinct_id"])})
