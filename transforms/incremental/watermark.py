"""How far the arrivals have come: the watermark, of which one row alone is no evidence.

A watermark that is too low only makes the next run read more; one that is too high hides news for good. So it is an
arrival that `SUPPORT` rows have reached, or more than half of the rows where a run has few: no single row with a wrong
clock can move it past what the others say. Arrivals after the run's own clock say nothing at all (`Window.clock`).
Every row counts, so that the outcome does not depend on how rows are split into batches.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

#: So many rows must have arrived then or later.
SUPPORT = 10
#: More than these the rule never looks at.
_KEPT = 2 * SUPPORT - 1

#: The greatest arrivals of some rows, µs, descending; at most `_KEPT`.
Latest = tuple[int, ...]


def latest(arrivals: npt.NDArray[np.int64]) -> Latest:
    """The greatest of these arrivals."""
    if len(arrivals) > _KEPT:
        arrivals = np.partition(arrivals, -_KEPT)[-_KEPT:]
    return tuple(sorted(arrivals.tolist(), reverse=True))


def merge_latest(parts: Iterable[Latest]) -> Latest:
    """The greatest arrivals of all rows, from those of their parts; commutative and associative."""
    return tuple(heapq.nlargest(_KEPT, itertools.chain.from_iterable(parts)))


def watermark(arrivals: Sequence[int]) -> int | None:
    """The greatest arrival that enough rows have reached; None without rows.

    Args:
      arrivals: what `merge_latest` gives.
    """
    return arrivals[min(SUPPORT, len(arrivals) // 2 + 1) - 1] if arrivals else None
