"""What of a run's counts deserves a look, by the names that the steps give to them."""

from __future__ import annotations

import pyarrow as pa

from pipeline.notable import ENOUGH, differing, nulled, silent
from tests.builders import METRICS, event, events_batch
from transforms.events.decoder import EventDecoder
from transforms.events.outcomes import MATCHING, NULLED
from transforms.incremental.window import EVERYTHING
from transforms.sessions.owners import DIFFERS, IN_BOTH, OF_POSTHOG, differences


def test_columns_that_differ_are_told_by_their_names() -> None:
    counts = {IN_BOTH: 90, f"{OF_POSTHOG}end{DIFFERS}": 7, f"{OF_POSTHOG}start{DIFFERS}": 0, f"other.end{DIFFERS}": 3}
    assert differing(counts) == {"end": 7}
    assert differing({}) == {}


def test_a_metric_is_silent_only_where_many_rows_say_so() -> None:
    counts = {f"{MATCHING}b": 0, f"{MATCHING}a": 0, f"{MATCHING}c": 1, "kept": 0}
    assert silent(counts, ENOUGH) == ["a", "b"]
    assert silent(counts, ENOUGH - 1) == []


def test_values_that_are_nulled_are_counted_over_all_properties() -> None:
    assert nulled({f"{NULLED}$touch_y": 3, f"{NULLED}$city": 4, "unreadable_values.users.email": 9}) == 7


def test_the_names_are_those_that_steps_give() -> None:
    odd = event(1, properties={"$touch_y": {}, "$screen_height": 100}, name="$autocapture")
    decoded = EventDecoder(METRICS, frozenset(), EVERYTHING).decode(events_batch([odd]))
    assert nulled(decoded.counts) == 1
    schema = pa.schema([("session_id", pa.string()), ("end_timestamp", pa.timestamp("us", "UTC"))])
    ours, theirs = (pa.Table.from_pylist([{"session_id": "s", "end_timestamp": end}], schema) for end in (1, 2))
    found = differences(ours, theirs)
    assert (found[IN_BOTH], differing(found)) == (1, {"end_timestamp": 1})
