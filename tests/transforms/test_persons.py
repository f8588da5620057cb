"""Laws of the person combine, and its numbers against hand-made ones."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from tests.builders import SMALL_METRICS, at
from transforms import persons
from transforms.persons import (
    PersonAccumulator,
    PersonCombineFn,
    compact,
    decode,
    encode,
    encoded_parts,
    merge,
    record_type,
)

SCHEMA = tables.sessions(SMALL_METRICS).content
NAMES = tables.persons(SMALL_METRICS).content.names[1:]
COMBINE = PersonCombineFn(SMALL_METRICS, NAMES)


def session(number: int, **values: Any) -> dict[str, Any]:
    """A session row of person p; what is not given is empty."""
    seconds = values.pop("seconds", 0)
    start = values.pop("start", number)
    empty = {pa.bool_(): False, pa.int64(): 0, pa.float64(): None}
    row = {field.name: empty.get(field.type) for field in SCHEMA}
    row |= {"session_id": f"s{number}", "person_id": "p", "distinct_id": "p", "distinct_ids": ["p"]}
    return row | {"start_timestamp": at(start), "end_timestamp": at(start + seconds)} | values


def parts_of(rows: list[dict[str, Any]]) -> list[bytes]:
    return [part for row in rows for _, part in encoded_parts(batch([row]), SMALL_METRICS)]


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def columns(part: bytes) -> dict[str, Any]:
    return dict(zip(NAMES, COMBINE.extract_output(part), strict=True))


def of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    [(person, part)] = encoded_parts(batch(rows), SMALL_METRICS)
    assert person == b"p"
    return columns(part)


def tree(parts: list[bytes], rng: random.Random) -> bytes:
    pool = [*parts, COMBINE.create_accumulator()]
    while len(pool) > 1:
        rng.shuffle(pool)
        width = rng.randint(2, min(4, len(pool)))
        merged = COMBINE.merge_accumulators(pool[:width])
        pool = [*pool[width:], rng.choice([COMBINE.compact(merged), merged])]
    return pool[0]


def any_session(number: int, seconds: float, start: int, taps: int, bought: bool, entry: str | None) -> Any:
    return session(number, seconds=seconds, start=start, taps=taps, bought=bought, entry=entry)


CHOICES: dict[str, Any] = {
    "seconds": [0, 1, 2.5, 86_400, 0.000001],
    "start": range(4),
    "taps": [0, 1, 7],
    "bought": [True, False],
    "entry": [None, "Home", "Chat"],
}
SESSIONS = st.builds(
    any_session,
    number=st.integers(0, 10_000),
    **{name: st.sampled_from(values) for name, values in CHOICES.items()},
)


def check_law(rows: list[dict[str, Any]], rng: random.Random) -> None:
    expected = of(rows)
    parts = parts_of(rows)
    folded = COMBINE.create_accumulator()
    for part in parts:
        folded = COMBINE.add_input(folded, part)
    assert columns(folded) == expected
    assert columns(tree(parts + rng.choices(parts, k=3), rng)) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.lists(SESSIONS, min_size=1, max_size=9, unique_by=lambda row: row["session_id"]),
    st.randoms(use_true_random=False),
)
def test_any_split_order_tree_and_repetition_gives_the_same_person(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    check_law(rows, rng)
    part = tree(parts_of(rows), rng)
    again = COMBINE.merge_accumulators([part, COMBINE.create_accumulator()])
    assert columns(again) == columns(part)


@pytest.mark.parametrize(
    "sabotage",
    [
        lambda parts: parts[0],
        lambda parts: parts[-1],
        lambda parts: merge(parts)._replace(sessions=parts[0].sessions),
        lambda parts: merge(parts)._replace(packed=True),
        lambda parts: merge(parts)._replace(latest=parts[0].latest),
    ],
)
def test_a_sabotaged_merge_breaks_the_law(
    sabotage: Callable[..., PersonAccumulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = merge
    monkeypatch.setattr(persons, "merge", lambda parts: sabotage(parts) if len(parts) > 1 else honest(parts))
    rng = random.Random(2)
    with pytest.raises(AssertionError):
        for _ in range(100):
            picked = [{key: rng.choice(values) for key, values in CHOICES.items()} for _ in range(6)]
            check_law([any_session(number, **values) for number, values in enumerate(picked)], rng)


def test_numbers_of_a_person_against_the_statistics_module() -> None:
    seconds = [0, 1.5, 10, 3_600, 7.25]
    rows = [
        session(n, seconds=s, start=n * 43_200, taps=n, tapped=n > 0, bought=n == 4, is_engaged=n != 0)
        for n, s in enumerate(seconds)
    ]
    found = of(rows)
    assert found["total_sessions"] == 5
    assert found["engaged_sessions"] == 4
    assert found["avg_session_duration"] == pytest.approx(statistics.mean(seconds), rel=1e-15)
    assert found["median_session_duration"] == statistics.median(seconds)
    assert found["std_session_duration"] == pytest.approx(statistics.stdev(seconds), rel=1e-14)
    assert found["total_session_duration"] == math.fsum(seconds)
    assert (found["min_session_duration"], found["max_session_duration"]) == (0, 3_600)
    assert (found["total_taps"], found["avg_taps_per_session"], found["max_taps_per_session"]) == (10, 2, 4)
    assert (found["tapped_sum"], found["bought_sum"], found["created_event_sum"]) == (4, 1, 0)
    assert found["days_since_first_session"] == 2
    assert found["sessions_per_day"] == 5 / 3
    assert found["engagement_score"] == 0.2


def test_one_session_has_no_deviation_and_an_even_number_a_middle() -> None:
    assert of([session(1, seconds=5)])["std_session_duration"] is None
    assert of([session(1, seconds=1), session(2, seconds=2)])["median_session_duration"] == 1.5


def test_latest_value_skips_sessions_without_one_and_breaks_ties_by_session_id() -> None:
    rows = [session(1, entry="A"), session(2, entry="B"), session(3, entry=None)]
    assert of(rows)["entry"] == "B"
    tied = [session(1, start=5, entry="A"), session(2, start=5, entry="B")]
    assert of(tied)["entry"] == of(tied[::-1])["entry"] == "B"


def test_the_profile_travels_with_the_person() -> None:
    profile = {"user_id": "u", "fullName": "Ann Example", "createdAt": at(0), "businessUser": True}
    found = of([session(1, **profile), session(2, **profile)])
    assert found["user_id"] == "u"
    assert (found["fullName"], found["businessUser"], found["email"]) == ("Ann Example", True, None)
    assert found["createdAt"] == int(at(0).timestamp() * 1_000_000)


def test_a_person_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "MAX_SESSIONS", 10)
    parts = [decode(part) for part in parts_of([session(number) for number in range(40)])]
    seen = {
        compact(merge(random.Random(seed).sample(parts, 40)), record_type(SMALL_METRICS).itemsize).sessions
        for seed in range(5)
    }
    assert len(seen) == 1
    assert columns(encode(merge(parts)))["total_sessions"] == 10


def test_several_persons_in_one_batch() -> None:
    rows = [session(1), session(2, person_id="q"), session(3)]
    found = dict(encoded_parts(batch(rows), SMALL_METRICS))
    assert {person: columns(part)["total_sessions"] for person, part in found.items()} == {b"p": 2, b"q": 1}
    assert list(encoded_parts(batch([]), SMALL_METRICS)) == []
    assert all(encode(decode(part)) == part for part in found.values())
