"""Laws of the session combine: any split, order, tree and repetition of events gives the same facts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import apache_beam as beam
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders import METRICS, SMALL_METRICS, event, events_batch
from transforms import session_accumulator
from transforms.combine import is_packed
from transforms.events import EventDecoder
from transforms.metrics import Metrics
from transforms.preaggregate import preaggregate
from transforms.session_accumulator import SessionAccumulator, compact, decode, encode, merge
from transforms.sessions import SessionCombineFn, fact_names, shape_of

#: What an event can say; few values, so that ties, repetitions and conflicts are common.
CHOICES: dict[str, Sequence[Any]] = {
    "number": range(10),
    "name": ["tap", "buy", "other"],
    "seconds": range(5),
    "who": ["anon", "+12015550100", "user"],
    "screen": [None, "Home", "Chat", "Ünïcode 🎈"],
    "y": [None, 0, 3, 7.5, -1],
    "height": [None, 0, 10],
}


def any_event(
    number: int, name: str, seconds: int, who: str, screen: str | None, y: float | None, height: int | None
) -> dict[str, Any]:
    """An event made of `CHOICES`."""
    properties = {"$screen_name": screen, "y": y, "h": height}
    return event(number, name=name, seconds=seconds, distinct_id=who, properties=properties)


EVENTS = st.builds(any_event, **{name: st.sampled_from(values) for name, values in CHOICES.items()})


def parts_of(rows: Sequence[dict[str, Any]], metrics: Metrics = SMALL_METRICS) -> list[bytes]:
    """One part an event."""
    return [batch_part([row], metrics) for row in rows]


def batch_part(rows: Sequence[dict[str, Any]], metrics: Metrics = SMALL_METRICS) -> bytes:
    """All events of one session as one batch."""
    [(_, part)] = preaggregate(EventDecoder(metrics).decode(events_batch(rows)), metrics)
    return encode(part)


def facts(part: bytes, metrics: Metrics = SMALL_METRICS) -> dict[str, Any]:
    """The facts of a part by name, without the number of input rows."""
    values = SessionCombineFn(metrics).extract_output(part)
    names = fact_names(metrics)[1:]
    return dict(zip(names, values[: len(names)], strict=True)) | {"_arrival": values[-1]}


def fold(parts: Sequence[bytes], metrics: Metrics = SMALL_METRICS) -> bytes:
    """All parts added one by one."""
    combine = SessionCombineFn(metrics)
    accumulator = combine.create_accumulator()
    for part in parts:
        accumulator = combine.add_input(accumulator, part)
    return accumulator


def tree(parts: Sequence[bytes], rng: random.Random, metrics: Metrics = SMALL_METRICS) -> bytes:
    """The parts merged in a random order and tree, some compacted on the way."""
    combine = SessionCombineFn(metrics)
    pool = [*parts, combine.create_accumulator()]
    while len(pool) > 1:
        rng.shuffle(pool)
        width = rng.randint(2, min(4, len(pool)))
        merged = combine.merge_accumulators(pool[:width])
        pool = [*pool[width:], rng.choice([combine.compact(merged), merged])]
    return pool[0]


def check_law(rows: list[dict[str, Any]], rng: random.Random) -> None:
    """Fold = any split, order, tree and repetition = one batch."""
    expected = facts(batch_part(rows))
    assert facts(fold(parts_of(rows))) == expected
    assert facts(tree(parts_of(rows), rng)) == expected
    repeated = rows + rng.choices(rows, k=5)
    rng.shuffle(repeated)
    middle = rng.randint(0, len(repeated))
    halves = [batch_part(half) for half in (repeated[:middle], repeated[middle:]) if half]
    assert facts(tree(halves, rng)) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_any_split_order_tree_and_repetition_gives_the_same_facts(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    check_law(rows, rng)


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14))
def test_the_empty_accumulator_is_the_identity(
    rows: list[dict[str, Any]],
) -> None:
    combine = SessionCombineFn(SMALL_METRICS)
    parts = parts_of(rows)
    merged = combine.merge_accumulators([*parts, combine.create_accumulator()])
    assert facts(combine.merge_accumulators([merged, combine.create_accumulator()])) == facts(merged)
    assert facts(combine.add_input(combine.create_accumulator(), parts[0])) == facts(parts[0])
    assert combine.extract_output(combine.create_accumulator()) == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14), st.randoms(use_true_random=False))
def test_the_compacted_encoding_is_canonical(rows: list[dict[str, Any]], rng: random.Random) -> None:
    shape = shape_of(SMALL_METRICS)
    encodings = {encode(compact(decode(tree(parts_of(rows), rng)), shape)._replace(rows=0)) for _ in range(3)}
    assert len(encodings) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14))
def test_few_and_many_events_are_compacted_to_the_same_bytes(rows: list[dict[str, Any]]) -> None:
    shape = shape_of(SMALL_METRICS)
    parts = [decode(part) for part in parts_of(rows)]
    few = encode(compact(merge(parts, shape), shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session_accumulator, "_FEW", 0)
        assert encode(compact(merge(parts, shape), shape)) == few


@pytest.mark.parametrize(
    "sabotage",
    [
        lambda parts, shape: parts[0],
        lambda parts, shape: parts[-1],
        lambda parts, shape: merge(parts, shape)._replace(flags=parts[0].flags),
        lambda parts, shape: merge(parts, shape)._replace(keys=parts[0].keys, masks=parts[0].masks),
        lambda parts, shape: merge(parts, shape)._replace(packed=True),
        lambda parts, shape: merge(parts, shape)._replace(edges=parts[0].edges),
        lambda parts, shape: merge(parts, shape)._replace(maxima=parts[0].maxima),
        lambda parts, shape: merge(parts, shape)._replace(distincts=parts[0].distincts),
        lambda parts, shape: merge(parts, shape)._replace(distinct_ids=parts[0].distinct_ids),
        lambda parts, shape: merge(parts, shape)._replace(start=parts[0].start),
        lambda parts, shape: merge(parts, shape)._replace(end=parts[0].end),
        lambda parts, shape: merge(parts, shape)._replace(arrival=parts[0].arrival),
        lambda parts, shape: merge(parts, shape)._replace(first_distinct_id=parts[-1].first_distinct_id),
        lambda parts, shape: merge(parts, shape)._replace(oversized=parts[0].oversized),
    ],
)
def test_a_sabotaged_merge_breaks_the_law(
    sabotage: Callable[..., SessionAccumulator], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = merge
    monkeypatch.setattr(
        "transforms.sessions.merge",
        lambda parts, shape: sabotage(parts, shape) if len(parts) > 1 else honest(parts, shape),
    )
    rng = random.Random(1)
    with pytest.raises(AssertionError):
        for _ in range(200):
            picked = [{key: rng.choice(values) for key, values in CHOICES.items()} for _ in range(8)]
            check_law([any_event(**values) for values in picked], rng)


def test_counts_saturate_at_the_limit_whatever_the_order() -> None:
    rows = [event(number, name="tap") for number in range(9)]
    results = set()
    for seed in range(20):
        found = facts(tree(parts_of(rows), random.Random(seed)))
        assert found["event_count"] == SMALL_METRICS.max_events_per_session
        assert found["is_oversized"]
        assert found["end_timestamp"] - found["start_timestamp"] == 8_000_000
        results.add(found["taps"])
    assert results == {5}
    exactly = facts(fold(parts_of(rows[:5])))
    assert (exactly["event_count"], exactly["is_oversized"]) == (5, False)


def test_a_session_of_fifty_events_is_small_when_encoded() -> None:
    rows = [
        event(
            number,
            name="$autocapture",
            distinct_id="+12015550100" if number > 20 else "0191d2c0-7b7e-7c38-a5f4-6a9a0d6a1f11",
            properties={
                "$screen_name": f"Screen {number % 8}",
                "$touch_y": 100.5,
                "$screen_height": 852,
                "$geoip_city_name": "San Francisco",
                "$geoip_country_name": "United States",
                "$os_name": "iOS",
                "$app_version": "1.14.2",
            },
        )
        for number in range(50)
    ]
    assert len(batch_part(rows, METRICS)) < 1_500


def test_an_accumulator_is_bounded_however_many_events_it_saw() -> None:
    shape = shape_of(SMALL_METRICS)
    parts = [batch_part([event(n, distinct_id=f"id-{n}") for n in range(b, b + 40)]) for b in range(0, 4_000, 40)]
    part = decode(fold(parts))
    assert len(part.keys) <= (16 + 1) * 8 * shape.limit
    assert len(part.distinct_ids) == session_accumulator.MAX_DISTINCT_IDS


@settings(max_examples=200, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14))
def test_decoding_is_the_inverse_of_encoding(rows: list[dict[str, Any]]) -> None:
    shape = shape_of(SMALL_METRICS)
    merged = merge([decode(part) for part in parts_of(rows)], shape)
    for part in (merged, compact(merged, shape)):
        assert decode(encode(part)) == part
        assert is_packed(encode(part)) == part.packed


def test_the_first_distinct_id_survives_where_the_set_of_ids_is_full() -> None:
    ids = [f"{number:05d}" for number in range(session_accumulator.MAX_DISTINCT_IDS + 1)]
    rows = [event(number, seconds=-number, distinct_id=who) for number, who in enumerate(ids)]
    part = decode(fold(parts_of(rows)))
    assert part.first_distinct_id[2] == ids[-1]
    assert ids[-1] not in part.distinct_ids


def test_accumulators_travel_as_they_are() -> None:
    assert isinstance(SessionCombineFn(METRICS).get_accumulator_coder(), beam.coders.BytesCoder)
