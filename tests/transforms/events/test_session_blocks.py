"""Sessions are dealt by their ids: events, facts and published rows of one session meet."""

from __future__ import annotations

import uuid

import pyarrow as pa
import pytest

from tests.builders import METRICS, event, events_batch
from transforms.events.decoder import EventDecoder
from transforms.events.session_blocks import LEAST_BOUND, Blocks, session_blocks
from transforms.machinery.blocks import block_of
from transforms.machinery.uuids import mix


@pytest.mark.parametrize("number", [1, 7, 2_048])
def test_a_session_id_has_the_block_of_its_events(number: int) -> None:
    ids = [str(uuid.UUID(int=n * 0x9E3779B97F4A7C15F39CC0605CEDC834 % 2**128)) for n in range(1, 51)]
    ids += ["s1", "Session", "0191D2C07B7E7C38A5F46A9A0D6A1F11", ids[0].upper()]
    kept = EventDecoder(METRICS).decode(events_batch([event(n, session) for n, session in enumerate(ids)])).kept
    of_events = block_of(mix(kept.numbers["session_high"], kept.numbers["session_low"]), number)
    assert of_events.tolist() == session_blocks(pa.array(ids), number).tolist()
    assert session_blocks(pa.array([None, "s1"]), number).tolist()[0] == -1
    assert of_events[0] == of_events[-1]


def test_an_accumulator_may_hold_twice_what_is_planned_and_a_million_at_least() -> None:
    assert Blocks().bound == Blocks(7, 2, LEAST_BOUND // 2).bound == LEAST_BOUND
    assert Blocks(rows=LEAST_BOUND).bound == 2 * LEAST_BOUND
