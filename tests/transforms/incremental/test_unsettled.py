"""What waits for a backfill is remembered from run to run: ids up to a limit, days always."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.incremental import unsettled as module
from transforms.incremental.unsettled import ListUnsettled, Unsettled, unsettled_of, unsettled_rows
from transforms.incremental.window import EVERYTHING, NEVER, Window
from transforms.machinery.times import micros


def moment(day: int, hour: int = 0) -> int:
    return micros(datetime(2026, 1, day, hour, tzinfo=UTC))


#: (day of January, session) of sessions that wait.
WAITS = st.lists(st.tuples(st.integers(1, 4), st.sampled_from("abcdefgh")), unique=True)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTED", 5)


@given(st.lists(WAITS, min_size=1, max_size=4), st.integers(1, 3))
def test_the_list_is_that_of_all_parts(parts: list[list[tuple[int, str]]], size: int) -> None:
    function = ListUnsettled()
    accumulators = []
    for part in parts:
        accumulator = function.create_accumulator()
        for begin in range(0, len(part), size):
            days, sessions = zip(*part[begin : begin + size], strict=True)
            rows = unsettled_rows(sessions, [moment(day, 5) for day in days], days)
            accumulator = function.add_input(accumulator, rows)
        accumulators.append(function.compact(accumulator))
    waits = [(f"2026-01-0{day}", session) for part in parts for day, session in part]
    found = function.extract_output(function.merge_accumulators(accumulators))
    assert found == unsettled_of(waits, Counter(day for day, _ in waits))
    assert list(zip(found.session_days, found.sessions, strict=True)) == sorted(waits)[:5]
    assert found.total == len(waits)


def test_an_id_may_hold_blanks_and_a_day_before_the_epoch() -> None:
    function = ListUnsettled()
    rows = unsettled_rows(["a b", "c"], [moment(3, 23), -1], [0, 0])
    found = function.extract_output(function.add_input(function.create_accumulator(), rows))
    assert found.numbers == {"2026-01-03": 1, "1969-12-31": 1}
    assert (list(found.sessions), list(found.session_days)) == (["c", "a b"], ["1969-12-31", "2026-01-03"])
    [before, later] = found.rows().to_pylist()
    assert (before["session_id"], before["newest"]) == ("c", NEVER)  # whatever was seen, it waits
    assert later["timestamp"] == datetime(2026, 1, 3, tzinfo=UTC)


WAITING = Unsettled(["a", "b"], ["2026-01-01", "2026-01-02"], json.dumps({"2026-01-01": 1, "2026-01-02": 4}))


@pytest.mark.parametrize(
    ("window", "left"),
    [
        (Window(moment(9), new_from=moment(13), undated_from=moment(12)), {"2026-01-02": 3}),
        (Window(moment(2), new_from=moment(6), undated_from=moment(5)), {}),
        (Window(moment(2), new_from=moment(6), undated_from=moment(5), whole_from=moment(3)), {"2026-01-02": 3}),
        (Window(moment(1), moment(4), days=(moment(2), moment(3))), {}),
        (Window(moment(2), moment(5), days=(moment(3), moment(4))), {"2026-01-02": 3}),
        (EVERYTHING, {}),
    ],
)
def test_those_without_a_name_wait_until_their_day_is_read(window: Window, left: dict[str, Any]) -> None:
    assert WAITING.not_listed(window) == left


def test_numbers_add_up() -> None:
    both = Unsettled(["c"], ["2026-01-02"], '{"2026-01-02": 1}').with_others({"2026-01-02": 3, "2026-01-05": 1})
    assert (both.total, both.numbers, both.sessions) == (5, {"2026-01-02": 4, "2026-01-05": 1}, ["c"])


def test_a_backfill_of_a_day_reaches_them() -> None:
    assert WAITING.reach(Window(moment(1), moment(4), days=(moment(2), moment(3))))
    assert not WAITING.reach(Window(moment(2), moment(5), days=(moment(3), moment(4))))
