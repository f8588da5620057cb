"""Counters have fixed names and the values of the ledger; the summary tells them."""

from __future__ import annotations

import contextlib
import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline import launcher, notable, summary
from pipeline.summary import counters, summary_lines
from pipeline.tables import OUTPUTS
from tests.builders import event, ledger, run, write_events
from transforms.events.outcomes import FILTERED, REJECTED


class Told(NamedTuple):
    """A run, its counters as Beam and as the graph have them, and its output."""

    warehouse: Path
    found: dict[str, int]
    exact: dict[str, int]
    out: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A run over a repeated event, one of another library and one that is none."""
    warehouse, found, exact = tmp_path_factory.mktemp("told"), dict[str, int](), dict[str, int]()

    def remember(of_run: Any, result: Any, where: str, counted: dict[str, int]) -> str:
        found.update(counters(result))
        exact.update(counted)
        return summary.summary_text(of_run, result, where, counted)

    rows = [event(n) for n in range(50)] + [event(3), event(60, lib="web"), event(61, properties="nope")]
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as out:
        patch.setattr(launcher, "summary_text", remember)
        assert run(write_events(warehouse, rows)) == 0
    return Told(warehouse, found, exact, out.getvalue())


def test_counters_are_those_of_the_ledger(told: Told) -> None:
    found, exact = told.found, told.exact
    [row] = ledger(told.warehouse)
    assert (found["read"], found["kept"], found["duplicates"]) == (53, 50, 1)
    assert found["filtered.library"] == 1
    assert json.loads(row["rejected"]) == {"properties_invalid": found["rejected.properties_invalid"]}
    assert found["sessions.inserted"] == row["sessions_inserted"] == 1
    assert exact["read"] == 53
    assert {name: found.get(name, 0) for name in exact} == exact
    known = {f"rejected.{name}" for name in REJECTED} | {f"filtered.{name}" for name in FILTERED}
    assert {name for name in found if name.startswith(("rejected.", "filtered."))} <= known


def test_the_summary_adds_up_and_says_where_to_look(told: Told) -> None:
    for part in (
        "full (first run",
        "kept       50",
        "duplicates 1",
        "= read     53",
        "sessions   1 (1 inserted)",
        "/*.parquet",
        "absent",
    ):
        assert part in told.out


def test_a_metric_that_no_event_matches_is_told_in_a_large_run(
    told: Told, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told.found["matches.autocapture_count"] == 0
    assert "no event matches" not in told.out
    monkeypatch.setattr(notable, "ENOUGH", 5)
    assert run(write_events(tmp_path, [event(n, name="view_event") for n in range(5)])) == 0
    [line] = [line for line in capfd.readouterr().out.splitlines() if "no event matches" in line]
    assert "no event matches autocapture_count and " in line


def summary_of(counts: dict[str, int]) -> list[str]:
    return summary_lines(counts, [output for output in OUTPUTS if output.in_ledger], 2.0, "the tables")


def test_differences_from_posthogs_sessions_are_told() -> None:
    counts = {
        "posthog_sessions.matched": 2_000,
        "posthog_sessions.end_timestamp_differs": 30,
        "posthog_sessions.screen_count_differs": 1_200,
        "posthog_sessions.start_timestamp_differs": 0,
    }
    lines = summary_of(counts)
    told = "  PostHog    2,000 in both; differ: screen_count 1,200, end_timestamp 30"
    assert told in lines
    alike = summary_of({"posthog_sessions.matched": 7})
    assert "  PostHog    7 in both, all alike" in alike
    assert not [line for line in summary_of({}) if "PostHog" in line]


def test_of_ids_to_leave_out_those_that_were_seen_nowhere_are_told() -> None:
    counts = {"excluded.ids": 3, "excluded.matched": 1, "deletion.requested": 2, "deletion.matched": 2}
    assert summary_of(counts)[-3:-1] == [
        "  excluded   3 ids, 2 of them nowhere in what this run saw",
        "  deletion   2 ids, each of them seen by this run",
    ]


def test_a_summary_fits_a_screen_whatever_happened() -> None:
    every = {f"rejected.{name}": n for n, name in enumerate(REJECTED)} | {f"filtered.{name}": 5 for name in FILTERED}
    every |= {f"matches.metric_{n}": 0 for n in range(40)} | {f"unreadable.users.column_{n}": 1 for n in range(40)}
    every |= {f"nulled.property_{n}": 1 for n in range(40)} | dict.fromkeys(summary._NOTES, 3)
    every |= {"read": 10**10, "kept": 10**10, "excluded.ids": 9, "posthog_sessions.matched": 9}
    lines = summary_of(every)
    assert len(lines) <= 20
    assert max(map(len, lines)) <= 80
    [silent] = [line for line in lines if "no event matches" in line]
    assert "metric_0, metric_1 and 38 more" in silent
    [others] = [line for line in lines if "column notes of the table runs" in line]
    assert f"{1 + 40 + len(summary._NOTES) - 4} more" in others


def test_the_largest_parts_are_named_and_the_others_add_up() -> None:
    assert summary._group("rejected", {"rejected.a": 1, "rejected.b": 5, "other.c": 9, "rejected.d": 0}) == (
        "  rejected   6 (b 5, a 1)"
    )
    parts = {f"rejected.{'long_name_' * 2}{name}": n for n, name in enumerate("abcdef", 1)}
    told = f"  rejected   21 ({'long_name_' * 2}f 6, {'long_name_' * 2}e 5, 4 others 10)"
    assert summary._group("rejected", parts) == told
    assert len(told) <= 80


def test_what_an_engine_has_counted_twice_is_told_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = counters
    monkeypatch.setattr(summary, "counters", lambda result: {name: 2 * n for name, n in honest(result).items()})
    assert run(write_events(tmp_path, [event(1), event(2)])) == 0
    assert re.search(r"= read +2\n", capfd.readouterr().out)
