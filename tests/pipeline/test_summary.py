"""Counters have fixed names and the values of the ledger; the summary tells them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import launcher, summary
from pipeline.progress import progress_text
from pipeline.summary import counters
from tests.builders import event, ledger, run, write_events
from transforms.events.decoder import FILTERED, REJECTED


def test_counters_are_those_of_the_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: dict[str, int] = {}

    def remember(of_run: Any, result: Any, where: str) -> str:
        found.update(counters(result))
        return summary.summary_text(of_run, result, where)

    monkeypatch.setattr(launcher, "summary_text", remember)
    rows = [event(n) for n in range(50)] + [event(3), event(60, lib="web"), event(61, properties="nope")]
    assert run(write_events(tmp_path, rows)) == 0
    [row] = ledger(tmp_path)
    assert (found["read"], found["kept"], found["duplicates"]) == (53, 50, 1)
    assert found["filtered.library"] == 1
    assert json.loads(row["rejected"]) == {"properties_invalid": found["rejected.properties_invalid"]}
    assert found["sessions.inserted"] == row["sessions_inserted"] == 1
    known = {f"rejected.{name}" for name in REJECTED} | {f"filtered.{name}" for name in FILTERED}
    assert {name for name in found if name.startswith(("rejected.", "filtered."))} <= known


def test_the_summary_adds_up_and_says_where_to_look(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(write_events(tmp_path, [event(1), event(2)])) == 0
    told = capfd.readouterr().out
    for part in ("full (first run", "kept      2", "= read    2", "sessions  1 (1 inserted)", "/*.parquet", "absent"):
        assert part in told


def test_a_metric_that_no_event_matches_is_told_in_a_large_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path, [event(n, name="view_event") for n in range(5)])
    assert run(tmp_path) == 0
    assert "no event matches" not in capfd.readouterr().out
    monkeypatch.setattr(summary, "_ENOUGH", 5)
    assert run(tmp_path, "--full_load") == 0
    [line] = [line for line in capfd.readouterr().out.splitlines() if "no event matches" in line]
    assert "joined_event" in line
    assert "viewed_event" not in line


def test_progress_tells_rows_and_rate() -> None:
    assert progress_text(500, 2_000, 2) == "500 of 2,000 events read (25%), 250 a second"
    assert progress_text(2_000, 2_000, 2).startswith("2,000 events read; joining")
