"""Figures of several runs: medians, in turns; and a process that fails is no measurement."""

from __future__ import annotations

import sys

import pytest

from benchmarks.measure import Measured, medians, paired, run_once, table


def measured(seconds: float, cpu: float = 1.0, megabytes: float = 1.0) -> Measured:
    return Measured("a", 100, seconds, cpu, megabytes)


def test_each_figure_has_its_own_median() -> None:
    found = medians([measured(1, 9, 5), measured(2, 8, 900), measured(50, 7, 6)])
    assert (found.seconds, found.cpu_seconds, found.megabytes) == (2, 8, 6)
    assert found.rate == 50


def test_commands_are_run_in_turns() -> None:
    order: list[str] = []

    def command(name: str) -> Measured:
        order.append(name)
        return measured(len(order))

    first, second = paired(3, lambda: command("a"), lambda: command("b"))
    assert order == ["a", "b"] * 3
    assert (first.seconds, second.seconds) == (3, 4)


def test_a_table_is_markdown() -> None:
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_a_process_is_measured_to_its_end_and_its_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_once("a", 10, ["this"])
    assert found.seconds > 0
    assert found.cpu_seconds >= 0
    with pytest.raises(SystemExit, match=r"^b failed with exit code 1: python -m benchmarks\.none$"):
        run_once("b", 10, ["benchmarks.none"], sys.executable)
