"""What single kinds do at their edges; that each keeps the laws is in `sessions/test_facts` and `persons/test_rows`."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import SMALL_METRICS, at, event, events_batch, facts_of_slices, slices_of
from transforms.events.decoder import EventDecoder
from transforms.metrics.file import parse_metrics
from transforms.metrics.kinds import KINDS
from transforms.metrics.kinds.numbers import exact_sum


def session(keys: str, *rows: dict[str, Any]) -> dict[str, Any]:
    """The facts of one session of these events, under an entry with these keys."""
    metrics = parse_metrics(f"libraries = ['*']\n[metrics.x]\ndescription = 'X.'\n{keys}")
    kept = EventDecoder(metrics).decode(events_batch(rows)).kept
    [row] = facts_of_slices(slices_of(kept, metrics), metrics).to_pylist()
    return {name: value for name, value in row.items() if name.startswith("x")}


def values(*given: Any, **more: Any) -> list[dict[str, Any]]:
    """An event for each value of the property p."""
    return [event(number, properties={"p": value}, **more) for number, value in enumerate(given)]


def test_the_small_file_whose_laws_are_tried_has_one_of_every_kind() -> None:
    assert {type(entry) for entry in SMALL_METRICS.entries} == {*KINDS.values()}


@pytest.mark.parametrize(
    ("wanted", "value", "found"),
    [
        ('"a"', "a", True),
        ('"a"', "A", False),
        ('["b", "a"]', "a", True),
        ("1", 1, True),
        ("1", "1", True),
        ("1", 1.0, False),
        ("1.0", 1.0, True),
        ("1.5", 1.50, True),
        ("1e3", 1000.0, True),
        ("true", True, True),
        ("true", "true", True),
        ("true", 1, False),
        ("[false, 2]", False, True),
        ('"a"', None, False),
        ('"a"', ["a"], False),
    ],
)
def test_where_compares_json_texts(wanted: str, value: Any, found: bool) -> None:
    keys = f'kind = "flag"\nwhere = {{ p = {wanted} }}'
    assert session(keys, event(1, properties={"p": value})) == {"x": found}


@pytest.mark.parametrize(
    ("keys", "number"),
    [
        ('events = ["a", "b"]', 3),
        ('events = ["a", "b"]\nscreens = ["Home"]', 2),
        ('screens = ["Home"]', 3),
        ('name_contains = ["B"]', 1),
        ('events = ["a"]\nname_contains = ["b"]', 0),
        ('events = ["a", "b"]\nproperty = "p"', 2),
        ('screens = ["Home"]\nwhere = { p = 1 }', 1),
        ('screens = ["Home"]\nwhere = { p = 1, event = ["a", "c"] }', 1),
        ('events = ["a"]\nwhere = { event = "c" }', 0),
        ('where = { "$screen_name" = "Chat" }', 1),
        ('property = "event"', 4),
    ],
)
def test_all_conditions_of_an_entry_hold(keys: str, number: int) -> None:
    rows = [
        event(1, name="a", properties={"$screen_name": "Home", "p": 1}),
        event(2, name="a", properties={"$screen_name": "Home", "p": 2}),
        event(3, name="b", properties={"$screen_name": "Chat"}),
        event(4, name="c", properties={"$screen_name": "Home"}),
    ]
    assert session(f'kind = "count"\n{keys}', *rows) == {"x": number}


def test_more_conditions_than_a_word_has_bits() -> None:
    entries = "".join(f"[metrics.m{i}]\nkind = 'count'\nwhere = {{ p = {i} }}\ndescription = 'x'\n" for i in range(130))
    metrics = parse_metrics(f"libraries = ['*']\n{entries}")
    kept = EventDecoder(metrics).decode(events_batch(values(3, 64, 64, 129, None))).kept
    [row] = facts_of_slices(slices_of(kept, metrics), metrics).to_pylist()
    counted = {name: number for name, number in row.items() if name.startswith("m") and number}
    assert counted == {"m3": 1, "m64": 2, "m129": 1}


def test_a_first_a_distinct_and_a_minimum_of_some_events() -> None:
    rows = [*values("b", "a", "a", name="other"), event(9, name="mine", properties={"p": "c"})]
    assert session('kind = "first"\nproperty = "p"\nevents = ["mine"]', *rows) == {"x": "c"}
    assert session('kind = "distinct"\nproperty = "p"\nevents = ["other"]', *rows) == {"x": 2}
    assert session('kind = "last"\nproperty = "event"', *rows) == {"x": "mine"}
    numbers = [*values(5, -7, name="other"), event(9, name="mine", properties={"p": 3})]
    assert session('kind = "min"\nproperty = "p"\nevents = ["mine"]', *numbers) == {"x": 3.0}


def test_sums_are_of_rounded_numbers_and_count_a_repeated_event_once() -> None:
    keys = 'kind = "sum"\nproperty = "p"\ndecimals = 2'
    rows = values(*[0.1] * 10, 0.004, 0.006, None)
    assert session(keys, *rows, *rows[:5]) == {"x": 1.01}
    assert session(keys, event(1)) == {"x": None}


@given(st.lists(st.floats(-(2.0**63), 2.0**63, exclude_max=True), min_size=1, max_size=9), st.integers(0, 9))
def test_sums_are_exact_however_large(numbers: list[float], decimals: int) -> None:
    scale = 10**decimals
    wanted = float(Fraction(sum(int(np.rint(number * scale)) for number in numbers), scale))
    assert exact_sum(np.array(numbers), np.array([0]), scale).to_pylist() == [wanted]
    assert exact_sum(np.array([math.nan, *numbers]), np.array([0, 1]), scale).to_pylist() == [None, wanted]


def test_values_are_cut_at_their_limit() -> None:
    keys = 'kind = "values"\nproperty = "p"\nlimit = 3'
    assert session(keys, *values("b", 10, True, "b")) == {"x": ["10", "b", "true"], "x_is_cut": False}
    assert session(keys, *values("b", 10, True, "a")) == {"x": ["10", "a", "b"], "x_is_cut": True}
    assert session(keys, event(1)) == {"x": [], "x_is_cut": False}


@pytest.mark.parametrize(
    ("names", "step", "started", "finished", "attempts"),
    [
        ("abc", 3, 0, 2, 1),
        ("cba", 1, 2, None, 1),
        ("bacb", 2, 1, None, 1),
        ("axbxxc", 3, 0, 5, 1),
        ("aabcc", 3, 0, 3, 2),
        ("bc", 0, None, None, 0),
        ("abbaca", 3, 0, 4, 3),
    ],
)
def test_steps_are_reached_in_order(
    names: str, step: int, started: int | None, finished: int | None, attempts: int
) -> None:
    rows = [event(number, name=name) for number, name in enumerate(names)]
    assert session('kind = "sequence"\nsteps = ["a", "b", "c"]', *rows) == {
        "x_step": step,
        "x_started_at": None if started is None else at(started),
        "x_finished_at": None if finished is None else at(finished),
        "x_duration": None if started is None or finished is None else finished - started,
        "x_attempts": attempts,
    }


def test_an_event_takes_one_step_only_and_those_of_one_time_go_by_uuid() -> None:
    twice = 'kind = "sequence"\nsteps = ["a", "a"]'
    assert session(twice, event(1, name="a"))["x_step"] == 1
    assert session(twice, event(1, name="a", seconds=0), event(2, name="a", seconds=0))["x_duration"] == 0.0


@pytest.mark.parametrize(
    ("marks", "seconds"),
    [
        ({0: "e", 10: "e"}, 10),
        ({0: "e", 10: "pause", 40: "resume", 50: "e"}, 20),
        ({0: "e", 10: "pause", 20: "e", 40: "resume", 50: "e"}, 20),
        ({0: "e", 10: "pause", 20: "pause", 40: "resume", 50: "e"}, 20),
        ({0: "e", 10: "pause", 50: "e"}, 10),
        ({0: "pause", 10: "e"}, 0),
        ({0: "resume", 10: "e", 20: "resume", 30: "pause"}, 30),
        ({0: "pause"}, 0),
    ],
)
def test_pauses_last_until_they_end_or_the_session_does(marks: dict[int, str], seconds: float) -> None:
    rows = [event(number, name=name) for number, name in marks.items()]
    before = event(100, "another", name="pause", seconds=-5)
    metrics = parse_metrics(
        "libraries = ['*']\n[metrics.x]\ndescription = 'X.'\n"
        "kind = 'duration'\npauses = ['pause']\nresumes = ['resume']"
    )
    kept = EventDecoder(metrics).decode(events_batch([before, *rows])).kept
    found = {row["session_id"]: row["x"] for row in facts_of_slices(slices_of(kept, metrics), metrics).to_pylist()}
    assert found == {"s1": seconds, "another": 0.0}


def test_a_number_can_be_a_text_too() -> None:
    rows = values(3, "x", 1.5, True, 3)
    number = "[metrics.x_sum]\nkind = 'sum'\nproperty = 'p'\ndecimals = 1\ndescription = 'S.'"
    assert session(f"kind = 'values'\nproperty = 'p'\n{number}", *rows) == {
        "x": ["1.5", "3", "true", "x"],
        "x_is_cut": False,
        "x_sum": 7.5,
    }


def test_there_can_be_many_flags_and_counts() -> None:
    keys = "kind = 'count'\nevents = ['e0']\n"
    keys += "".join(
        f"[metrics.x{n}]\nkind = '{('flag', 'count')[n % 2]}'\nevents = ['e{n}']\ndescription = 'X.'\n"
        for n in range(1, 150)
    )
    found = session(keys, *(event(n, name=f"e{n}") for n in range(0, 150, 3)))
    assert found == {"x": 1} | {f"x{n}": type(False if n % 2 == 0 else 0)(n % 3 == 0) for n in range(1, 150)}
