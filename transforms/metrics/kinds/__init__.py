"""The kinds of session metrics: a class each.

A kind is what its entry in a metrics file may say (fields with their types; unknown keys are refused), what it needs of
every event, its columns as a function of a session's events in order of (time, uuid), and what it gives to persons.
There is no merge: a session is the set of its events, and the set is what meets (`transforms.events.event_sets`).

A new kind is a class in one of these modules and its name in `KINDS`.
"""

from __future__ import annotations

from transforms.metrics.kinds.kind import Kind
from transforms.metrics.kinds.numbers import Max, Min, Sum
from transforms.metrics.kinds.occurrences import Count, Flag
from transforms.metrics.kinds.texts import Distinct, First, Last, Values
from transforms.metrics.kinds.times import Duration, FirstTime, LastTime, Sequence

#: Every kind by the name that a metrics file gives it; flags and counts lead the columns of persons.
KINDS: dict[str, type[Kind]] = {
    "flag": Flag,
    "count": Count,
    "distinct": Distinct,
    "first": First,
    "last": Last,
    "max": Max,
    "min": Min,
    "sum": Sum,
    "values": Values,
    "first_time": FirstTime,
    "last_time": LastTime,
    "sequence": Sequence,
    "duration": Duration,
}
