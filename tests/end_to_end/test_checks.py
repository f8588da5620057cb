"""Checks over whole runs: five weeks of events, and a day that is not as such days are."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.builders import START, event, ledger, published, run, write_events
from transforms.machinery.times import from_micros, micros
from transforms.metrics.file import PACKAGED

README = Path(__file__).parents[2] / "README.md"
A_DAY = 86_400
METRICS = """
[metrics.shared]
kind = "flag"
events = ["share"]
description = "Shared."
[checks.sessions]
measure = "sessions"
minimum = 4
[checks.events]
measure = "sessions_with"
minimum = 4
action = "ACTION"
[checks.rejected]
measure = "rejected"
minimum = 1
within = 0.1
"""


def day(number: int, *, shares: bool = True) -> list[dict[str, Any]]:
    """Six sessions of a day."""
    return [
        event(
            number * 6 + one,
            f"s{number}-{one}",
            name="share" if shares else "shared",
            seconds=number * A_DAY + one * 600,
        )
        for one in range(6)
    ]


@pytest.fixture
def warehouse(tmp_path: Path, place: str) -> Path:
    """Four weeks, published, on both; no single row moves the watermark, which is on the day before the last."""
    (tmp_path / "warn.toml").write_text(METRICS.replace("ACTION", "warn"))
    (tmp_path / "fail.toml").write_text(METRICS.replace("ACTION", "fail"))
    write_events(tmp_path, [one for number in range(29) for one in day(number)])
    assert run(tmp_path, f"--metrics_file={tmp_path / 'warn.toml'}") == 0
    return tmp_path


def found(warehouse: Path) -> dict[str, dict[str, Any]]:
    """What the checks of the last run found, by check."""
    return {one["check"]: one for one in json.loads(ledger(warehouse)[-1]["checks"])}


def statuses(warehouse: Path) -> dict[str, str]:
    return {name: one["status"] for name, one in found(warehouse).items()}


def add_days(warehouse: Path, *, shares: bool) -> None:
    """A day, and two more, so that it is over."""
    write_events(warehouse, [*day(29, shares=shares), *day(30), *day(31)], name="part-1")


def test_a_day_like_its_weekday_is_fine(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert statuses(warehouse) == {"sessions": "ok", "events.shared": "ok", "rejected": "unjudged"}
    add_days(warehouse, shares=True)
    capsys.readouterr()
    assert run(warehouse, f"--metrics_file={warehouse / 'fail.toml'}") == 0
    assert "not as expected" not in capsys.readouterr().out
    assert statuses(warehouse) == {"sessions": "ok", "events.shared": "ok", "rejected": "unjudged"}
    before = found(warehouse)
    assert before["events.shared"] | {"date": ""} == {
        "check": "events.shared",
        "date": "",
        "value": 6,
        "expected": 6,
        "lower": 3,
        "upper": 9,
        "status": "ok",
    }
    assert run(warehouse, f"--metrics_file={warehouse / 'warn.toml'}", "--full_load") == 0
    assert {**found(warehouse), "rejected": 0} == {**before, "rejected": 0}  # a full load finds what increments do
    assert published(warehouse, "sessions").num_rows == 32 * 6


def test_one_that_warns_is_in_the_summary_and_the_ledger(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    add_days(warehouse, shares=False)
    capfd.readouterr()
    assert run(warehouse, f"--metrics_file={warehouse / 'warn.toml'}") == 0
    told = capfd.readouterr()
    assert "  note       not as expected: events.shared (view checks)" in told.out
    assert statuses(warehouse) == {"sessions": "ok", "events.shared": "warn", "rejected": "unjudged"}
    assert found(warehouse)["events.shared"]["value"] == 0


@pytest.mark.on_bigquery
def test_one_that_fails_publishes_nothing(warehouse: Path, capfd: pytest.CaptureFixture[str]) -> None:
    add_days(warehouse, shares=False)
    before = published(warehouse, "sessions", run_columns=True)
    capfd.readouterr()
    assert run(warehouse, f"--metrics_file={warehouse / 'fail.toml'}") == 1
    date = from_micros(micros(START) + 29 * A_DAY * 1_000_000).date()
    line = f"pipeline: check events.shared: 0 on {date}, expected 3 to 9; nothing is published"
    assert capfd.readouterr().err.splitlines()[-1].startswith(line)
    assert published(warehouse, "sessions", run_columns=True).equals(before)
    assert len(ledger(warehouse)) == 1
    assert run(warehouse, f"--metrics_file={warehouse / 'fail.toml'}", "--ignore_checks") == 0
    assert statuses(warehouse)["events.shared"] == "fail"


def test_the_metric_and_the_check_of_the_readme_go_into_the_packaged_file(tmp_path: Path) -> None:
    text = README.read_text()
    parts = [re.search(pattern, text, re.DOTALL) for pattern in ("<<'END'\n(.*?)END\n", r"```toml\n(\[checks.*?)```")]
    file = tmp_path / "metrics.toml"
    file.write_text("\n".join([PACKAGED.read_text(), *(part[1] for part in parts if part)]))
    write_events(tmp_path, [{**one, "event": "share_event"} for number in range(3) for one in day(number)])
    assert run(tmp_path, f"--metrics_file={file}") == 0
    assert {"shared", "events.shared_event"} <= set(found(tmp_path))
