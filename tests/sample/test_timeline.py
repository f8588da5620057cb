"""What happens: sessions and events as numbers, in order of arrival."""

from __future__ import annotations

import numpy as np

from sample import Plan
from sample.timeline import arrivals, slots


def test_few_events_wait() -> None:
    """What is held back is the late, the repeated and open sessions, not a share of everything."""
    plan = Plan(400_000, days=4)
    made = np.cumsum([len(slot.events) for slot in slots(plan)])
    given = np.cumsum([len(events) for events in arrivals(slots(plan))])
    assert given[-1] == made[-1] == plan.events
    assert (made - given[:-1]).max() < 0.1 * plan.events
