"""Laws of the session combine: any split, order, tree, repetition and differing copy of events gives the same facts."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from tests.builders import METRICS, SMALL_METRICS, at, event, event_id, events_batch, facts_of_slices, slices_of
from tests.transforms import reference
from transforms.events import event_sets
from transforms.events.decoder import EventDecoder
from transforms.events.slim_rows import layout
from transforms.machinery.columns import Columns
from transforms.machinery.combine import Accumulator
from transforms.metrics.definitions import Metrics
from transforms.sessions import facts as sessions
from transforms.sessions.facts import MAX_DISTINCT_IDS, SessionCombineFn, fact_schema

Rows = Sequence[dict[str, Any]]
DECODERS = EventDecoder(SMALL_METRICS), EventDecoder(METRICS)
LIMIT = SMALL_METRICS.max_events_per_session

#: What an event can say; few values, so that ties, repetitions and conflicts are common.
CHOICES: dict[str, Sequence[Any]] = {
    "number": range(5),
    "session": ["s1", "0191d2c0-7b7e-7c38-a5f4-6a9a0d6a1f11"],
    "name": ["tap", "buy", "look"],
    "seconds": range(4),
    "arrives": [None, 60, 61, 1],
    "who": ["anon", "+12015550100"],
    "screen": [None, "Home", "Chat", "Ünïcode 🎈"],
    "y": [None, 0, 3, 7.5, -1, 0.15],
    "height": [None, 0, 10],
    "mode": [None, True, 1, "1", "x"],
    "language": [None, "en", "de"],
    "zone": [None, "America/New_York", "nowhere"],
    "address": [None, "Asia/Kolkata"],
    "device": [{}, {"$is_emulator": True}, {"$is_emulator": False, "build": "0"}],
}


def any_event(
    number: int,
    session: str,
    name: str,
    seconds: int,
    arrives: float | None,
    who: str,
    screen: str | None,
    y: float | None,
    height: int | None,
    mode: bool | int | str | None,
    language: str | None,
    zone: str | None,
    address: str | None,
    device: dict[str, Any],
) -> dict[str, Any]:
    """An event made of `CHOICES`; without `arrives` its arrival is null."""
    properties = {"$screen_name": screen, "y": y, "h": height, "mode": mode}
    properties |= {"$timezone": zone, "$geoip_time_zone": address, "lang": language, **device}
    row = event(number, session, name=name, seconds=seconds, arrives=arrives, distinct_id=who, properties=properties)
    return row if arrives is not None else {**row, "bq_ingested_timestamp": None}


EVENTS = st.builds(any_event, **{name: st.sampled_from(values) for name, values in CHOICES.items()})
RANDOM = st.randoms(use_true_random=True)


def slice_of(rows: Rows, metrics: Metrics = SMALL_METRICS) -> tuple[int, bytes]:
    """Rows as the session shuffle carries them."""
    kept = DECODERS[metrics is METRICS].decode(events_batch(rows)).kept
    [packed] = slices_of(kept, metrics)
    return len(kept), packed


@functools.cache
def combine(bound: int = 1_000) -> SessionCombineFn:
    return SessionCombineFn(SMALL_METRICS, fact_schema(SMALL_METRICS, tables.SESSIONS.under(SMALL_METRICS).bare), bound)


def facts(accumulator: Accumulator) -> dict[str, dict[str, Any]]:
    """Session id → its facts."""
    found = combine().extract_output(accumulator).to_pylist()
    return {row.pop("session_id"): row for row in found}


def decoded(rows: Rows) -> Columns:
    """All rows as they are decoded together."""
    kept = DECODERS[False].decode(events_batch(rows)).kept
    assert len(kept) == len(rows)
    return Columns.concat([kept])


def one_by_one(rows: Rows) -> list[tuple[int, bytes]]:
    """A slice of each row."""
    return slices_between(decoded(rows), range(len(rows) + 1))


def slices_between(rows: Columns, cuts: Iterable[int]) -> list[tuple[int, bytes]]:
    """The rows between each two cuts. They were decoded together: the law is about what is done with slices."""
    return list(rows.slices(np.array([*cuts]), layout(SMALL_METRICS)))


def fold(rows: Rows, bound: int = 1_000) -> Accumulator:
    """All rows added one by one."""
    return fold_slices(one_by_one(rows), bound)


def fold_slices(slices: Sequence[tuple[int, bytes]], bound: int) -> Accumulator:
    fn = combine(bound)
    accumulator = fn.create_accumulator()
    for one in slices:
        accumulator = fn.add_input(accumulator, one)
    return accumulator


def tree(rows: Columns, rng: random.Random, bound: int) -> Accumulator:
    """The rows cut into slices, merged in a random order and tree, some compacted on the way."""
    fn = combine(bound)
    coder = fn.get_accumulator_coder()
    order = list(range(len(rows)))
    rng.shuffle(order)
    cuts = sorted({0, len(rows), *(rng.randint(0, len(rows)) for _ in range(3))})
    slices = slices_between(rows.take(np.array(order)), cuts)
    pool = [fn.add_input(fn.create_accumulator(), one) for one in slices]
    pool.append(fn.create_accumulator())
    while len(pool) > 1:
        rng.shuffle(pool)
        width = rng.randint(2, min(4, len(pool)))
        merged = fn.merge_accumulators([coder.decode(coder.encode(one)) for one in pool[:width]])
        pool = [*pool[width:], rng.choice([fn.compact(merged), merged])]
    return pool[0]


def check_law(rows: Rows, rng: random.Random) -> dict[str, dict[str, Any]]:
    """Fold = any split, order and tree, however soon it is pruned; repetition changes the number of rows alone.

    Gives the facts.
    """
    together = decoded(rows)
    slices = slices_between(together, range(len(rows) + 1))
    expected = facts(fold_slices(slices, 1_000))
    for bound in (1, 4, 1_000):
        assert facts(tree(together, rng, bound)) == expected
    for bound in (1, 4):
        assert facts(fold_slices(slices, bound)) == expected
    repeated = together.take(np.array([*range(len(rows)), *rng.choices(range(len(rows)), k=5)]))
    again = facts(tree(repeated, rng, rng.choice([1, 4, 1_000])))
    assert sum(row.pop("_rows") for row in again.values()) == len(repeated)
    assert again == {session: without_rows(row) for session, row in expected.items()}
    return expected


def without_rows(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "_rows"}


@settings(max_examples=40, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=14), RANDOM)
def test_any_split_order_tree_and_repetition_gives_the_same_facts(rows: Rows, rng: random.Random) -> None:
    check_law(rows, rng)


@settings(max_examples=40)
@given(st.lists(EVENTS, min_size=1, max_size=14), RANDOM)
def test_a_slice_says_the_same_whatever_its_rows_are_decoded_with(rows: Rows, rng: random.Random) -> None:
    cuts = sorted({0, len(rows), *(rng.randint(0, len(rows)) for _ in range(3))})
    apart = [slice_of(rows[a:b]) for a, b in itertools.pairwise(cuts)]
    assert [unpacked(*one) for one in apart] == [unpacked(*one) for one in slices_between(decoded(rows), cuts)]


def unpacked(rows: int, packed: bytes) -> dict[str, list[Any]]:
    """The columns of a slice, as it says of how many rows."""
    columns = Columns.unpack([packed], layout(SMALL_METRICS))
    assert len(columns) == rows
    numbers = {name: values.view(f"u{values.itemsize}").tolist() for name, values in columns.numbers.items()}
    return numbers | {name: column.texts().to_pylist() for name, column in columns.texts.items()}


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=10))
def test_facts_are_what_the_definition_says(rows: Rows) -> None:
    with pytest.MonkeyPatch.context() as patch:  # an oversized session is a sample: the next tests
        patch.setitem(vars(SMALL_METRICS), "max_events_per_session", 100)
        assert facts(fold(rows)) == reference.facts(rows, limit=100)


@settings(max_examples=100, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=10))
def test_the_empty_accumulator_is_the_identity_and_no_input_is_mutated(rows: Rows) -> None:
    fn = combine()
    one, other = fold(rows), fold(rows[:1])
    before = [(*part[:2], list(part[2])) for part in (one, other)]
    merged = fn.merge_accumulators([fn.create_accumulator(), one, other])
    assert [(*part[:2], list(part[2])) for part in (one, other)] == before
    assert facts(fn.merge_accumulators([merged, fn.create_accumulator()])) == facts(merged)
    assert fn.extract_output(fn.create_accumulator()).num_rows == 0


def losing(rows: Columns, limit: int) -> Columns:
    """A prune that forgets a row."""
    kept = event_sets.prune(rows, limit)
    return kept.take(np.arange(1, len(kept))) if len(kept) > 1 else kept


def not_summing(rows: Columns, limit: int) -> Columns:
    """A prune that forgets how many rows it dropped."""
    kept = event_sets.prune(rows, limit)
    return Columns({**kept.numbers, "rows": np.ones(len(kept), np.int32)}, kept.texts)


def keeping_the_first(rows: Columns, limit: int) -> Columns:
    """A prune that takes any copy of an event."""
    numbers = {**rows.numbers, "lag": np.zeros_like(rows.numbers["lag"])}
    return event_sets.prune(Columns(numbers, rows.texts), limit)


@pytest.mark.parametrize("sabotage", [losing, not_summing, keeping_the_first])
def test_a_sabotaged_prune_breaks_the_law(sabotage: Callable[..., Columns], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "prune", sabotage)
    assert_law_breaks()


@pytest.mark.parametrize(
    "sabotage",
    [
        lambda copies: copies[:, ::-1],  # the earliest arrival decides
        lambda copies: np.roll(copies, 1, axis=1),  # any copy decides
    ],
)
def test_a_sabotaged_choice_among_copies_breaks_the_definition(
    sabotage: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = np.lexsort
    monkeypatch.setattr(event_sets.np, "lexsort", lambda keys: sabotage(honest(keys)[None])[0])
    rng = random.Random(1)
    with pytest.raises(AssertionError):
        for _ in range(60):
            rows = picked(rng, 8)
            monkeypatch.setitem(vars(SMALL_METRICS), "max_events_per_session", 100)
            assert facts(fold(rows)) == reference.facts(rows, limit=100)


def picked(rng: random.Random, number: int) -> list[dict[str, Any]]:
    chosen = [{key: rng.choice(values) for key, values in CHOICES.items()} for _ in range(number)]
    return [any_event(**values) for values in chosen]


def assert_law_breaks() -> None:
    rng = random.Random(1)
    with pytest.raises(AssertionError):
        for _ in range(60):
            check_law(picked(rng, 8), rng)


def test_a_retry_and_a_correction_are_one_event_that_one_row_decides() -> None:
    def copy(seconds: float, arrives: float, screen: str) -> dict[str, Any]:
        return event(1, seconds=seconds, arrives=arrives, properties={"$screen_name": screen})

    [row] = facts(fold([copy(0, 60, "Home"), copy(31, 120, "Chat")])).values()
    assert (row["event_count"], row["start_timestamp"], row["end_timestamp"]) == (1, at(31), at(31))
    assert (row["screens"], row["entry"], row["exit"], row["_rows"]) == (1, "Chat", "Chat", 2)


def test_rows_of_one_uuid_that_differ_in_name_or_person_are_different_events() -> None:
    rows = [event(1, name="tap"), event(1, name="buy"), event(1, name="tap", distinct_id="other")]
    [row] = facts(fold(rows)).values()
    assert (row["event_count"], row["taps"], row["bought"]) == (3, 2, True)


def test_uuids_are_one_in_any_spelling_and_others_are_told_by_their_text() -> None:
    upper = {**event(1), "uuid": event_id(1).upper()}
    bare = {**event(1), "uuid": event_id(1).replace("-", "")}
    [row] = facts(fold([event(1), upper, bare, {**event(1), "uuid": "a"}, {**event(1), "uuid": "A"}])).values()
    assert (row["event_count"], row["_rows"]) == (3, 5)


def test_a_copy_that_names_another_session_counts_there() -> None:
    found = facts(fold([event(1, "s1"), event(1, "s2", arrives=900)]))
    assert {session: row["event_count"] for session, row in found.items()} == {"s1": 1, "s2": 1}


def test_events_of_one_time_are_in_the_order_of_their_uuids_texts() -> None:
    ids = ["b", event_id(3), "0", "a-b"]
    rows = [{**event(1, seconds=0, properties={"$screen_name": uid}), "uuid": uid} for uid in ids]
    [row] = facts(fold(rows)).values()
    assert (row["entry"], row["exit"]) == (min(ids), max(ids))


def test_an_oversized_session_is_a_sample_that_no_order_decides() -> None:
    rows = [event(number, name="tap", distinct_id=f"id-{number}") for number in range(9)]
    results = []
    for seed in range(20):
        [found] = facts(tree(decoded(rows), random.Random(seed), bound=1 + seed % 4)).values()
        assert found["event_count"] == found["taps"] == LIMIT
        assert found["is_oversized"]
        assert found["end_timestamp"] - found["start_timestamp"] == timedelta(seconds=8)
        assert found["distinct_id"] == "id-0"
        assert found["_rows"] == 9
        results.append(found)
    assert all(found == results[0] for found in results)
    [exactly] = facts(fold(rows[:LIMIT])).values()
    assert (exactly["event_count"], exactly["is_oversized"]) == (LIMIT, False)


@settings(max_examples=50, deadline=None)
@given(st.lists(EVENTS, min_size=6, max_size=20), RANDOM, st.integers(1, 3))
def test_oversized_sessions_with_differing_copies_keep_the_law(rows: Rows, rng: random.Random, limit: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(vars(SMALL_METRICS), "max_events_per_session", limit)
        for found in check_law(rows, rng).values():
            assert found["event_count"] <= limit


def test_a_hot_session_does_not_outgrow_its_bound() -> None:
    fn = combine(bound=50)
    accumulator = fn.create_accumulator()
    for begin in range(0, 4_000, 40):
        accumulator = fn.add_input(accumulator, slice_of([event(n) for n in range(begin, begin + 40)]))
        assert accumulator[0] <= 50 + 40
    assert facts(accumulator)["s1"]["_rows"] == 4_000


@pytest.mark.parametrize("target", ["mix", "wide"])
def test_colliding_mixtures_and_wide_times_change_nothing(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vars(SMALL_METRICS), "max_events_per_session", 100)
    rows = picked(random.Random(3), 40)
    expected = facts(fold(rows))
    if target == "mix":
        monkeypatch.setattr(event_sets, "mix", lambda high, low: np.zeros_like(high))
    else:
        monkeypatch.setattr(event_sets, "_FITS", 0)
    assert facts(fold(rows)) == expected


def test_a_large_block_goes_hash_range_by_hash_range(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [event(n, f"s{n % 17}", name="tap") for n in range(60)]
    expected = facts(fold(rows))
    monkeypatch.setattr(sessions, "_RANGE_ROWS", 7)
    assert facts(fold(rows)) == expected


def test_the_first_distinct_id_survives_where_the_list_of_ids_is_full() -> None:
    ids = [f"id-{number:05d}" for number in range(MAX_DISTINCT_IDS + 1)]
    rows = [event(number, seconds=-number, distinct_id=who) for number, who in enumerate(ids)]
    [found] = facts_of_slices([slice_of(rows, METRICS)[1]], METRICS).to_pylist()
    assert found["distinct_id"] == ids[-1]
    assert found["distinct_ids"] == ids[:-1]


def test_a_row_is_small_when_packed() -> None:
    rng = random.Random(7)
    rows = [
        event(
            number,
            f"0191d2c0-7b7e-7c38-a5f4-{rng.randrange(10_000):012x}",
            name="$autocapture",
            distinct_id=f"+1201555{rng.randrange(10_000):04d}",
            seconds=rng.random() * 1e6,
            properties={
                "$screen_name": f"Screen {number % 8}",
                "$touch_y": 100.5,
                "$screen_height": 852,
                "$geoip_city_name": rng.choice(["San Francisco", "Austin", "Boston"]),
                "$os_name": "iOS",
                "$app_version": "1.14.2",
            },
        )
        for number in range(2_000)
    ]
    _, packed = slice_of(rows, METRICS)
    assert len(packed) < 60 * len(rows)


def test_accumulators_travel_as_bytes_and_the_types_are_declared() -> None:
    fn = combine()
    accumulator = fold([event(1), event(2)])
    coder = fn.get_accumulator_coder()
    assert coder.decode(coder.encode(accumulator)) == accumulator
    assert fn.get_type_hints().output_types is not None
    assert beam.coders.registry.get_coder(pa.RecordBatch).is_deterministic() is False
    assert layout(METRICS).rows.names[:2] == ["session_high", "session_low"]
