"""How sessions are dealt into blocks: by the 128 bits of their ids, the same for events, facts and published rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from transforms.ids.posthog_rules import canonical_session_id
from transforms.machinery.blocks import Ints, block_of, without_nulls
from transforms.machinery.uuids import hash_texts, mix, parse_uuids

#: Rows of a block that wait for nothing: beyond, and beyond what was planned for it, repetitions are dropped first.
LEAST_BOUND = 500_000


class Blocks(NamedTuple):
    """How the sessions of a run are dealt: `number` blocks, shuffled in `shuffles` parts, of about `rows` rows each."""

    number: int = 1
    shuffles: int = 1
    rows: int = 0

    @property
    def bound(self) -> int:
        """How many rows an accumulator may hold before repetitions and the events of oversized sessions are dropped."""
        return max(LEAST_BOUND, 2 * self.rows)


def session_blocks(session_ids: pa.Array, blocks: int) -> Ints:
    """The block of each session id, −1 for null: the same as for the events of the session."""
    ids = parse_uuids(session_ids, dashless=False)
    high, low = ids.high, ids.low
    others = np.flatnonzero(~ids.is_uuid)
    if len(others):
        texts = session_ids.take(pa.array(others)).to_pylist()
        high[others], low[others] = hash_texts([canonical_session_id(text or "") for text in texts])
    return without_nulls(block_of(mix(high, low), blocks), session_ids)
