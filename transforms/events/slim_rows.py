"""What an event is on its way to its session: what the declared metrics need of it, each once, and nothing else."""

from __future__ import annotations

import numpy as np

from transforms.machinery.columns import Layout
from transforms.metrics.definitions import Metrics

#: `lag` of a row whose arrival is null.
NO_ARRIVAL = np.iinfo(np.int64).min
#: Conditions that one column of bits holds.
WORD = 64


def layout(metrics: Metrics) -> Layout:
    """The columns of slim event rows.

    * `session_high`, `session_low`, `uuid_high`, `uuid_low`: the ids as 128 bits (`transforms.machinery.uuids`);
    * `time`: µs since the epoch, UTC; `lag`: µs from there to the arrival, or `NO_ARRIVAL`;
    * `rows`: how many input rows the row stands for; `later`: how many µs after its own arrival (its time where that is
      null) the latest of them counts as arrived, by `Window.as_arrivals`;
    * `bits<i>`: bit j is whether the event matches condition 64 i + j of `metrics.needs`;
    * `number <i>`: number i of `metrics.needs`, NaN for none, and where `metrics.needed_of` needs none;
    * texts: the event's name, its distinct id, session id and uuid where they are no UUIDs, and the properties that
      `metrics.needs` names, as `text <property>`, null where `metrics.needed_of` needs none.
    """
    conditions, texts, numbers = metrics.needs
    fixed = {
        "session_high": "u8",
        "session_low": "u8",
        "uuid_high": "u8",
        "uuid_low": "u8",
        "time": "i8",
        "lag": "i8",
        "rows": "i4",
        "later": "i8",
    }
    bits = {f"bits{i}": "u8" for i in range(-(-len(conditions) // WORD))}
    return Layout(
        fixed | bits | {f"number {i}": "f8" for i in range(len(numbers))},
        ("event", "distinct_id", "session_id", "uuid", *(f"text {name}" for name in texts)),
    )
