"""What the ledger remembers of late events, and what of it is news to the next run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import METRICS, at, event, events_batch
from transforms.events.decoder import EventDecoder
from transforms.incremental import seen as module
from transforms.incremental.seen import NOTHING, Seen, found, merge_found, new_since, news_only, seen_after
from transforms.incremental.unsettled import unsettled_rows
from transforms.incremental.window import EVER, NEVER, UNSEEN, Window
from transforms.machinery.times import micros

#: (arrival, hash) of late rows.
ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 2**50)), max_size=20)
#: What arrived from 4 on is new, and from 2 before the watermark is new once more.
WINDOW = Window(0, new_from=4, overlap=2, lateness=3)


def found_of(rows: list[tuple[int, int]]) -> pa.RecordBatch:
    return found(np.array([row[0] for row in rows], np.int64), np.array([row[1] for row in rows], np.uint64))


def seen_of(window: Window, rows: list[tuple[int, int]], reached: int | None = 6) -> Seen | None:
    return seen_after(window, found_of(rows), reached)


@given(ROWS, st.randoms(use_true_random=False), st.integers(1, 4), st.sampled_from([3, 10_000]))
def test_any_order_and_split_gives_the_same(rows: list[tuple[int, int]], rng: Any, size: int, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST", most)
        whole = found_of(rows)
        assert whole.num_rows == min(most, len({arrival for arrival, _ in rows}))
        rng.shuffle(rows)
        parts = [found_of(rows[begin : begin + size]) for begin in range(0, len(rows), size)]
        while len(parts) > 1:
            parts = [merge_found(parts[begin : begin + 3]) for begin in range(0, len(parts), 3)]
        assert (parts[0] if parts else NOTHING).equals(whole)


@given(st.dictionaries(st.integers(0, 2**51), st.integers(-(2**63), 2**63 - 1)), st.integers(), st.integers())
def test_the_ledger_gives_back_what_it_was_given(sums: dict[int, int], since: int, lateness: int) -> None:
    known = Seen(since, lateness, sums)
    assert Seen.of(known.text()) == known


def test_a_ledger_of_an_earlier_version_knows_nothing() -> None:
    assert Seen.of(None) is None
    assert new_since(WINDOW, None, NOTHING) == 4


@given(ROWS, ROWS)
def test_up_to_the_first_other_arrival_nothing_is_news(before: list[tuple[int, int]], more: list[Any]) -> None:
    known = seen_of(WINDOW, before)
    assert known is not None
    assert known.since == 4
    assert new_since(WINDOW, known, found_of(before)) == UNSEEN
    first = min((arrival for arrival, _ in more if arrival >= 4), default=UNSEEN)
    assert new_since(WINDOW, known, found_of([*before, *more])) == first


def test_a_row_that_is_gone_is_told_as_well() -> None:
    assert new_since(WINDOW, seen_of(WINDOW, [(5, 1), (7, 1), (7, 2)]), found_of([(5, 1), (7, 1)])) == 7


@pytest.mark.parametrize(
    ("window", "known"),
    [
        (Window(0, new_from=4, lateness=2), seen_of(WINDOW, [(5, 1)])),  # the sums are of other rows
        (Window(0, new_from=3, lateness=3), seen_of(WINDOW, [(5, 1)])),  # the overlap has become longer
        (WINDOW, seen_of(WINDOW, [(5, 1)], reached=8)),  # the watermark went back
    ],
)
def test_where_it_cannot_be_known_all_is_news(window: Window, known: Seen | None) -> None:
    assert new_since(window, known, found_of([(5, 1)])) == window.new_from


def test_more_arrivals_than_are_remembered_are_news(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    rows = [(arrival, 1) for arrival in range(4, 9)]
    known = seen_of(WINDOW, rows)
    assert known == Seen(6, 3, {6: 1, 7: 1, 8: 1})
    assert new_since(WINDOW, known, found_of(rows)) == 4
    assert new_since(Window(0, new_from=7, lateness=3), known, found_of(rows[3:])) == UNSEEN


def test_a_run_of_some_days_waits_for_all_and_says_nothing() -> None:
    days = Window(0, 9, days=(1, 8))
    assert new_since(days, seen_of(WINDOW, [(5, 1)]), NOTHING) == EVER
    assert seen_of(days, [(5, 1)]) is None
    assert seen_of(WINDOW, [], reached=None) is None


def test_sessions_wait_for_news_only() -> None:
    waiting = unsettled_rows(["known", "news", "in time", "listed"], [0] * 4, [5, 7, 5 + UNSEEN, NEVER])
    before = seen_of(WINDOW, [(5, 1)])
    for more, wanted in (([(7, 1)], ["news", "in time", "listed"]), ([], ["in time", "listed"])):
        [left] = news_only(waiting, WINDOW, before, found_of([(5, 1), *more]))
        assert left.column("session_id").to_pylist() == wanted


def test_rows_are_remembered_whatever_becomes_of_them() -> None:
    day = 86_400
    window = Window(micros(at(0)), new_from=micros(at(4 * day)), lateness=3 * day * 1_000_000)
    rows = [
        event(1, seconds=-day, arrives=5 * day),  # before the window
        event(2, seconds=day, arrives=5 * day),  # in it
        event(3, seconds=day, arrives=6 * day, distinct_id="left-out"),
        event(4, seconds=day, arrives=7 * day, properties="{"),
        event(5, seconds=day, arrives=3.9 * day),  # no news
        event(6, seconds=3 * day, arrives=4.5 * day),  # in time
        event(7, seconds=8 * day, arrives=6 * day),  # implausible
        event(8, seconds=day, arrives=8 * day) | {"bq_ingested_timestamp": None},
    ]
    excluded, nobody = (EventDecoder(METRICS, ids, window) for ids in (frozenset({"left-out"}), frozenset[str]()))
    decoded = excluded.decode(events_batch(rows))
    arrivals = [micros(at(days * day)) for days in (5, 6, 7)]
    assert decoded.seen.column("arrival").to_pylist() == arrivals
    assert decoded.seen.equals(nobody.decode(events_batch(rows)).seen)
    assert decoded.seen.equals(merge_found(nobody.decode(events_batch([row])).seen for row in rows))
    for n, changes in ((0, {"uuid": "other"}), (1, {"timestamp": at(day + 1)})):
        other = nobody.decode(events_batch([{**row, **changes} if i == n else row for i, row in enumerate(rows)])).seen
        assert not decoded.seen.equals(other)
