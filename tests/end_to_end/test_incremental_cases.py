"""What real exports do to incremental runs: odd arrivals, long and reused sessions, lists that change, wrong clocks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import launcher
from tests.builders import at, event, has_published, ledger, notes, published, run, tables_of, write_events
from transforms.incremental.watermark import SUPPORT

HOUR = 3_600
DAY = 24 * HOUR
ON_BOTH = pytest.mark.usefixtures("place")


def bulk(day: float, number: int = 1_000) -> list[dict[str, Any]]:
    """So many events of one session that the watermark comes to this day."""
    first = number + int(day) * SUPPORT
    return [event(first + n, f"bulk-{day}", distinct_id="bulk", seconds=day * DAY) for n in range(SUPPORT)]


def sessions(warehouse: Path) -> dict[str, dict[str, Any]]:
    return {row["session_id"]: row for row in published(warehouse, "sessions").to_pylist()}


def assert_equals_full_load(warehouse: Path, *options: str) -> None:
    found = tables_of(warehouse)
    assert run(warehouse, "--full_load", *options) == 0
    assert tables_of(warehouse) == found


def a_list(folder: Path, *ids: str) -> tuple[str, str]:
    path = folder / f"excluded-{len(ids)}.txt"
    path.write_text("\n".join(ids))
    return "--excluded_users", str(path)


@pytest.mark.parametrize("dated", [True, False])
def test_one_odd_arrival_hides_no_later_news(tmp_path: Path, dated: bool) -> None:
    odd = [event(1, "odd", seconds=0, arrives=days * DAY) for days in (400, 5_500)]
    if not dated:
        odd = [event(n, "odd", seconds=days * DAY, arrives=None) for n, days in enumerate((400, 5_500))]
    undated = {} if dated else {"bq_ingested_timestamp": None}
    write_events(tmp_path, [row | undated for row in (*bulk(1), *odd)])
    assert run(tmp_path) == 0
    write_events(
        tmp_path, [event(5, "bulk-1", seconds=DAY + 600) | undated, event(6, "s2", seconds=2 * DAY) | undated], "part-1"
    )
    assert run(tmp_path) == 0
    assert sessions(tmp_path)["bulk-1"]["event_count"] == SUPPORT + 1
    assert ledger(tmp_path)[-1]["watermark"] < at(10 * DAY)
    assert_equals_full_load(tmp_path)


def test_arrivals_far_behind_are_taken_and_counted_when_they_are_later_than_the_overlap(tmp_path: Path) -> None:
    write_events(tmp_path, [*bulk(10), *[event(n, f"s{n}", seconds=8 * DAY) for n in (1, 2)]])
    assert run(tmp_path) == 0
    behind = [
        event(n, f"s{n - 2}", seconds=8 * DAY + 60, arrives=(10 - days) * DAY) for n, days in ((3, 0.5), (4, 1.5))
    ]
    write_events(tmp_path, behind, name="part-1")
    assert run(tmp_path) == 0
    assert {sessions(tmp_path)[name]["event_count"] for name in ("s1", "s2")} == {2}
    assert json.loads(ledger(tmp_path)[-1]["notes"])["sessions.later_than_overlap"] == 1
    assert_equals_full_load(tmp_path)


@ON_BOTH
def test_a_new_session_across_the_edge_of_the_window_waits_for_a_backfill(tmp_path: Path) -> None:
    write_events(tmp_path, bulk(10))
    assert run(tmp_path) == 0
    edge = 10 * DAY + 60 - (1 + 3 + 1) * DAY
    queue = [event(n, "queue", seconds=edge - 1_500 + n * 600, arrives=10.1 * DAY) for n in range(6)]
    write_events(tmp_path, queue, name="part-1")
    assert run(tmp_path) == 0
    assert "queue" not in sessions(tmp_path)
    row = ledger(tmp_path)[-1]
    assert (row["too_old_sessions"], json.loads(row["too_old_days"])) == (["queue"], {"2025-01-10": 1})
    write_events(tmp_path, [event(9, "queue", seconds=10 * DAY)], name="part-2")
    assert run(tmp_path) == 0  # what is known of the night before is not forgotten
    assert "queue" not in sessions(tmp_path)
    assert run(tmp_path, "--start_date", "2025-01-10", "--end_date", "2025-01-11") == 0
    assert sessions(tmp_path)["queue"]["event_count"] == 7
    assert ledger(tmp_path)[-1]["too_old_sessions"] == []
    assert_equals_full_load(tmp_path)


@ON_BOTH
@pytest.mark.parametrize("day", [0, 3, 7])
def test_a_backfill_keeps_a_session_of_days_whole(tmp_path: Path, day: int) -> None:
    rows = [event(n, "long", seconds=n * 6 * HOUR) for n in range(31)]
    write_events(tmp_path, [*rows, event(50, "reused", seconds=0), event(51, "reused", seconds=7 * DAY)])
    assert run(tmp_path) == 0
    before = tables_of(tmp_path)
    days = [f"2025-01-{5 + day + n:02d}" for n in range(2)]
    assert run(tmp_path, "--start_date", days[0], "--end_date", days[1]) == 0
    assert tables_of(tmp_path) == before
    assert ledger(tmp_path)[-1]["sessions_too_old"] == 0


@ON_BOTH
def test_a_backfill_does_not_conclude_what_is_excluded_in_other_days(tmp_path: Path) -> None:
    mixed = [event(n, "mixed", distinct_id=f"anon-{n}", seconds=n) for n in range(2)]
    write_events(tmp_path, [*mixed, event(3, "pure", distinct_id="anon-0", seconds=0), *bulk(10)])
    assert run(tmp_path) == 0
    listed = a_list(tmp_path, "anon-0")
    assert run(tmp_path, "--start_date", "2025-01-15", "--end_date", "2025-01-16", *listed) == 0
    assert set(sessions(tmp_path)) == {"mixed", "bulk-10"}
    assert run(tmp_path, *listed) == 0
    assert sessions(tmp_path)["mixed"]["distinct_ids"] == ["anon-1"]
    assert_equals_full_load(tmp_path, *listed)


def test_an_excluded_id_among_those_that_were_cut_leaves(tmp_path: Path) -> None:
    rows = [event(n, "crowd", distinct_id=f"id-{n:04d}", seconds=n % 60) for n in range(1_100)]
    write_events(tmp_path, [*rows, *bulk(10, number=9_000)])
    assert run(tmp_path) == 0
    assert "id-1099" not in sessions(tmp_path)["crowd"]["distinct_ids"]
    listed = a_list(tmp_path, "id-1099")
    assert run(tmp_path, *listed) == 0
    assert sessions(tmp_path)["crowd"]["event_count"] == 1_099
    assert_equals_full_load(tmp_path, *listed)


@ON_BOTH
def test_sessions_without_a_row_and_another_list(tmp_path: Path) -> None:
    write_events(tmp_path, [event(1), event(2)])
    assert run(tmp_path, *a_list(tmp_path, "anon-1")) == 0
    assert sessions(tmp_path) == {}
    write_events(tmp_path, [event(3, "s2", distinct_id="anon-2")], name="part-1")
    assert run(tmp_path, *a_list(tmp_path, "anon-1", "anon-3")) == 0
    assert set(sessions(tmp_path)) == {"s2"}


def test_a_forgotten_list_stops_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path, [event(1), event(2, "s2", distinct_id="anon-2")])
    assert run(tmp_path, *a_list(tmp_path, "anon-1")) == 0
    for options in ((), ("--full_load",), ("--start_date", "2025-01-05", "--end_date", "2025-01-06")):
        assert run(tmp_path, *options) == 1
        assert "--excluded_users" in capsys.readouterr().err
    assert set(sessions(tmp_path)) == {"s2"}
    assert run(tmp_path, "--full_load", *a_list(tmp_path)) == 0
    assert set(sessions(tmp_path)) == {"s1", "s2"}
    assert run(tmp_path) == 0


class Ahead(datetime):
    """A clock that is years ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime(2045, 1, 1, tzinfo=UTC)


@ON_BOTH
def test_the_run_before_is_the_one_that_was_published_last_whatever_the_clock_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path, [event(1), event(2, "s2", distinct_id="anon-2")])
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "datetime", Ahead)
        assert run(tmp_path) == 0
    listed = a_list(tmp_path, "anon-1")
    for _ in range(2):
        assert run(tmp_path, *listed) == 0
    assert run(tmp_path) == 1  # the list is remembered, though the run with the greatest id had none
    chain = {row["run_id"]: row["previous_run_id"] for row in ledger(tmp_path)}
    first, second, ahead = sorted(chain)
    assert chain == {ahead: None, first: ahead, second: first}
    assert set(sessions(tmp_path)) == {"s2"}


def test_a_run_that_filters_nearly_everything_stops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path, [event(n) for n in range(20)])
    assert run(tmp_path) == 0
    renamed = [event(100 + n, "s2", lib="posthog-react-native-next", seconds=60 * DAY) for n in range(500)]
    write_events(tmp_path, renamed, name="part-1")
    assert run(tmp_path) == 1
    assert "--max_filtered_ratio" in capsys.readouterr().err
    assert len(ledger(tmp_path)) == 1
    assert run(tmp_path, "--max_filtered_ratio", "1") == 0
    assert run(tmp_path) == 0  # it is as it was in the last run


def test_a_first_run_may_filter_everything(tmp_path: Path) -> None:
    write_events(tmp_path, [event(n, lib="web") for n in range(20)])
    assert run(tmp_path) == 0
    assert has_published(tmp_path)


@ON_BOTH
@pytest.mark.parametrize("odd", [datetime(1970, 1, 1, tzinfo=UTC), datetime(2019, 1, 1, tzinfo=UTC)])
def test_an_arrival_that_cannot_be_makes_a_dead_letter_in_any_run(tmp_path: Path, odd: datetime) -> None:
    write_events(tmp_path, [event(n) for n in range(30)])
    assert run(tmp_path) == 0
    write_events(tmp_path, [event(40) | {"bq_ingested_timestamp": odd}], "later")
    assert run(tmp_path) == 0
    assert published(tmp_path, "rejected_events").column("reason").to_pylist() == ["timestamp_implausible"]
    write_events(tmp_path, [event(n) | {"bq_ingested_timestamp": odd} for n in range(50, 60)], "a-loader-with-zeros")
    assert run(tmp_path) == 1  # most of what is new cannot be read, and that must not pass in silence


@ON_BOTH
def test_history_that_is_loaded_with_its_old_arrivals_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_events(tmp_path, bulk(100))
    assert run(tmp_path) == 0
    write_events(tmp_path, [event(n, f"old-{n}", seconds=n * HOUR) for n in range(500)], "history")
    write_events(tmp_path, bulk(101), "new")
    assert run(tmp_path, "--start_date=2025-04-15", "--end_date=2025-04-16") == 0  # it looks for no news
    assert "events.never_read" not in notes(tmp_path)
    assert run(tmp_path) == 0
    told = notes(tmp_path)["events.never_read"]
    assert 500 - 2 * SUPPORT <= told <= 500  # at least so many: what the window has was there before
    assert f"note       {told:,} events came too late and old for any run: --full_load" in capsys.readouterr().out
    assert run(tmp_path) == 0
    assert "events.never_read" not in notes(tmp_path)
    assert run(tmp_path, "--full_load") == 0
    assert len(sessions(tmp_path)) == 502


@ON_BOTH
def test_nobody_who_is_left_out_stays_or_comes_in_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_events(tmp_path, [event(n, f"s{n}", distinct_id=f"anon-{n}") for n in range(6)])
    assert run(tmp_path) == run(tmp_path, "--limit=6") == 0
    assert published(tmp_path, "sessions_sample").num_rows == 6
    assert run(tmp_path) == 0
    assert published(tmp_path, "sessions_sample").num_rows == 6
    listed = a_list(tmp_path, "anon-1")
    assert run(tmp_path, *listed) == 0
    assert rows_of_sample(tmp_path) == 0
    assert run(tmp_path, "--limit=6") == 1
    assert "--excluded_users" in capsys.readouterr().err
    assert rows_of_sample(tmp_path) == 0
    assert run(tmp_path, "--limit=6", *listed) == 0
    assert "anon-1" not in published(tmp_path, "sessions_sample").column("distinct_id").to_pylist()
    assert rows_of_sample(tmp_path) == 5


def rows_of_sample(warehouse: Path) -> int:
    """Its sessions; a table that is gone has none."""
    try:
        return int(published(warehouse, "sessions_sample").num_rows)
    except AssertionError:
        return 0
