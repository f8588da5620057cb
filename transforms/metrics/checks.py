"""Checks: whether the last finished day is as such days are. Pure.

A day is compared with the same weekday of the four weeks before, because weekdays differ more than weeks do: what is
expected is the median of these days, so that one odd week (a holiday, an outage) changes nothing. What a check measures
is a number of the day, or the share that one number is of another one.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Literal, TypeAlias

import msgspec

#: Day → name → number. Of sessions: `sessions`, `users`, `anonymous`, `with.<flag or count>`; of the run whose last
#: finished day it is: `rows`, `rejected`, `nulled`.
Numbers: TypeAlias = Mapping[date, Mapping[str, int]]
Measure = Literal["sessions", "users", "sessions_with", "anonymous", "rejected", "nulled"]
Status = Literal["ok", "warn", "fail", "unjudged"]

WEEKS = 4
#: Fewer such days are no expectation.
_LEAST_WEEKS = 2
#: Measures that are shares: of what.
_OF = {"anonymous": "sessions", "rejected": "rows", "nulled": "rows"}
#: Names of `Numbers` that only a run has, so that a day without a run has none.
_OF_RUNS = ("rejected", "nulled")
#: What a wrong value of a key should have been, for messages.
WANTED = {
    "measure": "one of sessions, users, sessions_with, anonymous, rejected, nulled",
    "metric": "the name of a flag or count, with measure sessions_with only",
    "within": "a number above 0, at most 100",
    "minimum": "a whole number from 1 on",
    "action": "one of warn, fail",
}


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry `[checks.NAME]` of a metrics file."""

    name: str
    measure: Measure
    """`sessions` and `users` of a day, its sessions with a metric, or the share of anonymous sessions; of the run's
    rows, the share that was rejected, or values that were set to null a row."""
    metric: str | None = None
    """A flag or count; without, `sessions_with` is a check of each."""
    within: Annotated[float, msgspec.Meta(gt=0, le=100)] = 0.5
    """How far from the expected a day may be: of a number as a share of it, of a share as a difference."""
    minimum: Annotated[int, msgspec.Meta(ge=1)] = 200
    """A number is judged where so many are expected, a share where it is of so many."""
    action: Literal["warn", "fail"] = "warn"

    def __post_init__(self) -> None:
        if self.metric is not None and self.measure != "sessions_with":
            raise ValueError("wrong `metric`")

    @property
    def number(self) -> str:
        """The name of what it measures, in `Numbers`."""
        return f"with.{self.metric}" if self.measure == "sessions_with" else self.measure

    @property
    def base(self) -> str | None:
        """The name of what that is a share of."""
        return _OF.get(self.measure)


@dataclass(frozen=True)
class Finding:
    """What a check found of a day."""

    check: str
    date: date
    value: float | None
    """None where there is nothing to measure."""
    expected: float | None
    lower: float | None
    upper: float | None
    status: Status


def for_each(checks: Iterable[Check], metrics: Sequence[str]) -> Iterator[Check]:
    """The checks, those of every metric (named `NAME.<metric>`) one by one; `metrics` are all flags and counts."""
    for check in checks:
        if check.measure == "sessions_with" and check.metric is None:
            for metric in metrics:
                yield msgspec.structs.replace(check, name=f"{check.name}.{metric}", metric=metric)
        else:
            yield check


def judge(checks: Iterable[Check], numbers: Numbers, day: date) -> tuple[Finding, ...]:
    """What the checks find of a finished day, in their order."""
    begin = min((one for one, some in numbers.items() if some.get("sessions")), default=day)
    return tuple(_finding(check, numbers, day, begin) for check in checks)


def _finding(check: Check, numbers: Numbers, day: date, begin: date) -> Finding:
    before = [day - timedelta(weeks=week) for week in range(1, WEEKS + 1)]
    known = [value for one in before if (value := _value(check, numbers, one, begin)) is not None]
    value = _value(check, numbers, day, begin)
    if value is None or len(known) < _LEAST_WEEKS:
        return Finding(check.name, day, value, None, None, None, "unjudged")
    expected = statistics.median(known)
    distance = check.within if check.base else check.within * expected
    lower, upper = max(0.0, expected - distance), expected + distance
    of = _number(numbers, day, check.base) if check.base else expected
    status: Status = "ok" if lower <= value <= upper else check.action
    return Finding(check.name, day, value, expected, lower, upper, status if of >= check.minimum else "unjudged")


def _value(check: Check, numbers: Numbers, day: date, begin: date) -> float | None:
    """Of a day; one without sessions has 0 of them, but not one before the first (`begin`)."""
    if check.base not in numbers.get(day, {}) if check.measure in _OF_RUNS else day < begin:
        return None
    number = _number(numbers, day, check.number)
    if check.base is None:
        return float(number)
    base = _number(numbers, day, check.base)
    return number / base if base else None


def _number(numbers: Numbers, day: date, name: str) -> int:
    return numbers.get(day, {}).get(name, 0)
