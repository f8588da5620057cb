"""The set of a block's events: one event out of its copies, in order, and what a pruned set must keep."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import SMALL_METRICS, event, events_batch
from transforms.events.decoder import EventDecoder
from transforms.events.event_sets import EventSet, prune, resolve
from transforms.machinery.columns import Columns
from transforms.machinery.uuids import uuid_texts

#: (uuid, session, second, arrival) of rows.
ROWS = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from(["s1", "s2"]), st.integers(0, 4), st.integers(60, 63)), min_size=1
)


def slim(rows: list[dict[str, Any]]) -> Columns:
    """Slim rows."""
    return Columns.concat([EventDecoder(SMALL_METRICS).decode(events_batch(rows)).kept])


def events_of(found: EventSet) -> list[list[tuple[int, str]]]:
    """Per session (µs, uuid) of its events, in order."""
    rows = found.rows
    ids = uuid_texts(rows.numbers["uuid_high"], rows.numbers["uuid_low"]).to_pylist()
    pairs = list(zip(rows.numbers["time"].tolist(), ids, strict=True))
    return [pairs[begin:end] for begin, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True)]


@given(ROWS, st.randoms(use_true_random=False))
def test_each_event_is_once_in_order_whatever_the_order_of_rows(rows: list[Any], rng: random.Random) -> None:
    made = [event(n, session, seconds=second, arrives=arrival) for n, session, second, arrival in rows]
    found = resolve(slim(made), SMALL_METRICS)
    latest: dict[tuple[str, int], tuple[int, int]] = {}
    for n, session, second, arrival in rows:  # the latest arrival decides, then the earliest time
        known = latest.get((session, n))
        if known is None or (-arrival, second) < (-known[0], known[1]):
            latest[session, n] = arrival, second
    assert sorted(len(events) for events in events_of(found)) == sorted(
        sum(one == session for one, _ in latest) for session in {session for session, _ in latest}
    )
    for events in events_of(found):
        assert events == sorted(events)
    assert int(found.input_rows.sum()) == len(rows)
    assert not found.oversized.any()
    rng.shuffle(made)
    assert events_of(resolve(slim(made * 2), SMALL_METRICS)) == events_of(found)


@given(ROWS, st.integers(1, 4))
def test_a_pruned_set_says_the_same(rows: list[Any], limit: int) -> None:
    made = slim([event(n, session, seconds=second, arrives=arrival) for n, session, second, arrival in rows])
    metrics = dataclasses.replace(SMALL_METRICS, max_events_per_session=limit)
    left = prune(made, limit)
    assert len(left) <= min(len(made), 2 * (limit + 3))
    found, wanted = resolve(left, metrics), resolve(made, metrics)
    assert events_of(found) == events_of(wanted)
    assert found.oversized.tolist() == wanted.oversized.tolist()
    assert found.first_time.tolist() == wanted.first_time.tolist()
    assert found.last_time.tolist() == wanted.last_time.tolist()


@pytest.mark.parametrize(("lag", "ahead"), [(60, False), (-5, True), (0, False)])
def test_an_event_is_ahead_when_it_arrived_before_it_happened(lag: int, ahead: bool) -> None:
    found = resolve(slim([event(1, seconds=100, arrives=100 + lag)]), SMALL_METRICS)
    assert found.ahead.tolist() == [ahead]
