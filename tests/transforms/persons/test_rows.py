"""Laws of the person combine, and its numbers against hand-made ones."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import tables
from tests.builders import SMALL_METRICS, at
from transforms.machinery.blocks import pack_rows, unpack_rows
from transforms.machinery.combine import Accumulator, Slice
from transforms.persons import rows as persons
from transforms.persons.rows import PersonCombineFn, by_person, deal, moved_schema
from transforms.schemas.fields import bare
from transforms.schemas.outputs import CREATED

SESSIONS_SCHEMA = tables.SESSIONS.under(SMALL_METRICS).bare
SCHEMA = pa.schema([*tables.SESSIONS.under(SMALL_METRICS).content, *bare(CREATED)])
MOVED = moved_schema(SMALL_METRICS, SESSIONS_SCHEMA)
COMBINE = PersonCombineFn(SMALL_METRICS, SESSIONS_SCHEMA, tables.PERSONS.under(SMALL_METRICS).content, bound=4)


def session(number: int, **values: Any) -> dict[str, Any]:
    """A session row of person p; what is not given is empty."""
    seconds = values.pop("seconds", 0)
    start = values.pop("start", number)
    empty = {pa.bool_(): False, pa.int64(): 0, pa.float64(): None}
    row = {field.name: empty.get(field.type) for field in SCHEMA}
    row |= {"session_id": f"s{number}", "person_id": "p", "distinct_id": "p", "distinct_ids": ["p"]}
    times = {"start_timestamp": at(start), "end_timestamp": at(start + seconds), "start_date": at(start).date()}
    return row | times | values


def parts_of(rows: list[dict[str, Any]]) -> list[Slice]:
    whole = batch(rows)
    return [part for n in range(len(rows)) for _, part in deal(whole.slice(n, 1), MOVED, 1)]


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def fold(parts: list[Slice]) -> Accumulator:
    folded = COMBINE.create_accumulator()
    for part in parts:
        folded = COMBINE.add_input(folded, part)
    return folded


def columns(accumulator: Accumulator) -> dict[str, Any]:
    """The one person of an accumulator."""
    [row] = COMBINE.extract_output(accumulator).to_pylist()
    assert row.pop("person_id") == "p"
    return row


def of(rows: list[dict[str, Any]]) -> dict[str, Any]:
    [(block, part)] = deal(batch(rows), MOVED, 1)
    assert block == "block-00000"
    return columns(fold([part]))


def tree(parts: list[Slice], rng: random.Random) -> Accumulator:
    pool = [*(fold([part]) for part in parts), COMBINE.create_accumulator()]
    while len(pool) > 1:
        rng.shuffle(pool)
        width = rng.randint(2, min(4, len(pool)))
        merged = COMBINE.merge_accumulators(pool[:width])
        pool = [*pool[width:], rng.choice([COMBINE.compact(merged), merged])]
    return pool[0]


def any_session(number: int, first_buy: float | None, **values: Any) -> Any:
    when = None if first_buy is None else at(first_buy)
    return session(number, first_buy=when, last_tap=when, checkout_started_at=when, **values)


CHOICES: dict[str, Any] = {
    "seconds": [0, 1, 2.5, 86_400, 0.000001],
    "start": range(4),
    "channel_type": [None, "Direct", "Email"],
    "taps": [0, 1, 7],
    "bought": [True, False],
    "entry": [None, "Home", "Chat"],
    "first_buy": [None, 3, 4.5],
    "lowest": [None, 0.5, -2.0],
    "amount": [None, 0.1, 0.2, 1e6],
    "awake": [0.0, 0.000001, 86_400.1],
}
SESSIONS = st.builds(
    any_session,
    number=st.integers(0, 10_000),
    **{name: st.sampled_from(values) for name, values in CHOICES.items()},
)


def check_law(rows: list[dict[str, Any]], rng: random.Random) -> list[Slice]:
    """Fold = any tree, with repetitions too; gives the slices of the rows, one each."""
    expected = of(rows)
    parts = parts_of(rows)
    assert columns(fold(parts)) == expected
    assert columns(tree(parts + rng.choices(parts, k=3), rng)) == expected
    return parts


@settings(max_examples=200, deadline=None)
@given(
    st.lists(SESSIONS, min_size=1, max_size=9, unique_by=lambda row: row["session_id"]),
    st.randoms(use_true_random=True),
)
def test_any_split_order_tree_and_repetition_gives_the_same_person(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    part = tree(check_law(rows, rng), rng)
    again = COMBINE.merge_accumulators([part, COMBINE.create_accumulator()])
    assert columns(again) == columns(part)
    assert COMBINE.extract_output(COMBINE.create_accumulator()).num_rows == 0


def forgetting(slices: Sequence[bytes]) -> Slice:
    """A prune that loses the last session."""
    rows = by_person(COMBINE._unpack(slices)).rows
    return rows.num_rows - 1, pack_rows(rows.slice(0, rows.num_rows - 1))


def test_a_prune_that_loses_a_session_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMBINE, "prune", forgetting)
    assert_law_breaks()


def test_sessions_that_count_twice_break_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persons, "by_person", lambda rows: persons.Persons(*_by_person_with_repetitions(rows)))
    assert_law_breaks()


def _by_person_with_repetitions(rows: pa.RecordBatch) -> tuple[Any, ...]:
    rows = rows.sort_by("start_timestamp")
    return rows, np.array([0]), np.array([rows.num_rows])


def test_repetitions_are_dropped_when_a_block_outgrows_its_bound() -> None:
    parts = parts_of([session(number) for number in range(3)])
    accumulator = fold(parts * 5)
    assert accumulator[0] <= 4 + 1
    assert columns(accumulator)["total_sessions"] == 3


def assert_law_breaks() -> None:
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


@pytest.mark.parametrize(
    ("days", "active", "longest", "churned"),
    [([0], 1, 0, 0), ([0, 0.4, 0.6], 2, 1, 0), ([0, 14], 2, 14, 0), ([0, 15, 16, 40, 40], 4, 24, 2)],
)
def test_days_with_sessions_and_the_gaps_between(days: list[float], active: int, longest: int, churned: int) -> None:
    assert SMALL_METRICS.inactive_days == 14
    found = of([session(number, start=day * 86_400) for number, day in enumerate(days)])  # at noon of day 0
    assert (found["active_days"], found["longest_gap_days"], found["times_churned"]) == (active, longest, churned)
    assert found["first_active_date"] == at(0).date()
    assert found["last_active_date"] == at(days[-1] * 86_400).date()


def test_clocks_that_go_back_at_midnight_repeat_a_day() -> None:
    day, before = at(86_400).date(), at(0).date()
    found = of([session(1, start_date=day), session(2, start_date=before), session(3, start_date=day)])
    assert (found["active_days"], found["longest_gap_days"]) == (2, 1)
    assert (found["first_active_date"], found["last_active_date"]) == (before, day)


def test_one_session_has_no_deviation_and_an_even_number_a_middle() -> None:
    assert of([session(1, seconds=5)])["std_session_duration"] is None
    assert of([session(1, seconds=1), session(2, seconds=2)])["median_session_duration"] == 1.5


def test_latest_value_skips_sessions_without_one_and_breaks_ties_by_session_id() -> None:
    rows = [session(1, entry="A"), session(2, entry="B"), session(3, entry=None)]
    assert of(rows)["entry"] == "B"
    tied = [session(1, start=5, entry="A"), session(2, start=5, entry="B")]
    assert of(tied)["entry"] == of(tied[::-1])["entry"] == "B"


def test_channels_of_a_person_skip_sessions_without_one() -> None:
    channels = [None, "Email", None, "Direct", "Referral", None]
    found = of([session(number, channel_type=channel) for number, channel in enumerate(channels)])
    assert (found["first_touch_channel"], found["latest_touch_channel"]) == ("Email", "Referral")
    none = of([session(1)])
    assert (none["first_touch_channel"], none["latest_touch_channel"]) == (None, None)


def test_what_a_user_has_created_travels_with_the_sessions() -> None:
    found = of([session(number, total_events_created=3, days_to_first_event=0.5) for number in range(2)])
    assert (found["total_events_created"], found["days_to_first_event"]) == (3, 0.5)


def test_extremes_and_sums_of_a_person_skip_sessions_without_a_value() -> None:
    rows = [
        session(1, first_buy=at(5), last_tap=at(5), tap_top=1.5, lowest=1.5, amount=0.1, awake=0.1),
        session(2, first_buy=at(3), last_tap=at(3), tap_top=-2.0, lowest=-2.0, amount=0.2, awake=0.2),
        session(3, checkout_started_at=at(1), awake=0.0),
        session(4, checkout_started_at=at(1), checkout_finished_at=at(2), awake=0.0),
    ]
    found = of(rows)
    assert (found["first_buy"], found["last_tap"]) == (at(3), at(5))
    assert (found["tap_top"], found["lowest"]) == (1.5, -2.0)
    assert (found["total_amount"], found["total_awake"]) == (0.3, 0.3)
    assert (found["checkout_started_sum"], found["checkout_finished_sum"]) == (2, 1)
    none = of(rows[2:])
    assert [none[name] for name in ("first_buy", "last_tap", "tap_top", "lowest", "total_amount")] == [None] * 5
    assert none["total_awake"] == 0.0


def test_the_profile_travels_with_the_person() -> None:
    profile = {"user_id": "u", "fullName": "Ann Example", "createdAt": at(0), "businessUser": True}
    found = of([session(1, **profile), session(2, **profile)])
    assert found["user_id"] == "u"
    assert (found["fullName"], found["businessUser"], found["email"]) == ("Ann Example", True, None)
    assert found["createdAt"] == at(0)


def test_sums_are_exact_however_long_and_many_the_sessions() -> None:
    ten_years = 315_360_000
    found = of([session(number, seconds=ten_years - number / 1e6) for number in range(300)])
    micros = [ten_years * 1_000_000 - number for number in range(300)]
    assert found["total_session_duration"] == sum(micros) / 1_000_000
    assert (
        found["std_session_duration"]
        == math.sqrt((300 * sum(m * m for m in micros) - sum(micros) ** 2) / (300 * 299)) / 1_000_000
    )


def test_a_person_of_many_sessions_is_exact() -> None:
    number = 300_000
    starts = np.arange(number) * 1_000_000
    one = batch([session(0, taps=1, bought=True)]).select(MOVED.names)
    rows = pa.RecordBatch.from_arrays(
        [
            pa.array([f"s{i}" for i in range(number)])
            if name == "session_id"
            else pa.array(starts).view(one.schema.field(name).type)
            if name in ("start_timestamp", "end_timestamp")
            else one.column(name).take(pa.array(np.zeros(number, np.int32)))
            for name in MOVED.names
        ],
        schema=MOVED,
    )
    combine = PersonCombineFn(SMALL_METRICS, SESSIONS_SCHEMA, tables.PERSONS.under(SMALL_METRICS).content)
    accumulator = combine.add_input(combine.create_accumulator(), (number, pack_rows(rows)))
    [found] = combine.extract_output(accumulator).to_pylist()
    assert (found["total_sessions"], found["total_taps"], found["bought_sum"]) == (number, number, number)
    assert found["days_since_first_session"] == (number - 1) / 86_400


def test_several_persons_in_one_batch_and_in_several_blocks() -> None:
    rows = [session(1), session(2, person_id="q"), session(3), *(session(n, person_id=f"r{n}") for n in range(4, 30))]
    [(_, (size, packed))] = deal(batch(rows), MOVED, 1)
    assert size == 29
    found = COMBINE.extract_output((size, 100, [packed])).to_pylist()
    assert {row["person_id"]: row["total_sessions"] for row in found if row["person_id"] in "pq"} == {"p": 2, "q": 1}
    assert list(deal(batch([]), MOVED, 1)) == []
    blocks = list(deal(batch(rows), MOVED, 5))
    assert len({block for block, _ in blocks}) == len(blocks) == 5
    assert all(unpack_rows(packed, MOVED).num_rows == size for _, (size, packed) in blocks)
    assert sum(size for _, (size, _) in blocks) == 29
