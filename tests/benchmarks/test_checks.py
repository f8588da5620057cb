"""A peer that makes other tables is none: every difference that could flatter it stops the benchmark."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.checks import OURS_ALONE, check_orders, check_peers
from pipeline import tables
from tests.builders import METRICS

Rows = list[dict[str, Any]]
SESSIONS: Rows = [
    {"session_id": "s1", "event_count": 3, "duration": 2.5, "scrolled": True, "city": "Rome", "_run_id": "1"},
    {"session_id": "s2", "event_count": 4, "duration": None, "scrolled": False, "city": None, "_run_id": "1"},
]
PERSONS: Rows = [{"person_id": "p", "sessions": 2, "_run_id": "1"}]


def write(folder: Path, sessions: Rows, persons: Rows = PERSONS, *, ours: bool) -> None:
    for name, rows in (("sessions", sessions), ("persons", persons)):
        place = folder / "posthog_aggregated" / name / "part-0.parquet" if ours else folder / f"{name}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        content = pa.Table.from_pylist(rows)
        if ours:
            content = content.append_column("_loaded_at", pa.array([1] * len(rows)))
        pq.write_table(content, place)


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    write(tmp_path, SESSIONS, ours=True)
    return tmp_path


def changed(**values: Any) -> Rows:
    return [{**SESSIONS[0], **values}, SESSIONS[1]]


def test_the_same_tables_pass_whatever_they_lack_of_ours_alone(warehouse: Path) -> None:
    check_peers(warehouse)  # none has run
    write(warehouse / "peers" / "duckdb", [{**row, "_run_id": "x"} for row in SESSIONS], ours=False)
    check_peers(warehouse)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (SESSIONS[:1], r"count\(\*\) of sessions in .*duckdb is 1, ours is 2"),
        (changed(event_count=4), r'sum\("event_count"::double\) of sessions'),
        (changed(duration=float("nan")), r'sum\("duration"::double\) of sessions'),
        (changed(city=None), r'count\("city"\) of sessions'),
        (changed(scrolled=False), r'sum\("scrolled"::double\) of sessions'),
    ],
)
def test_other_tables_stop_it(rows: Rows, told: str, warehouse: Path) -> None:
    write(warehouse / "peers" / "duckdb", rows, ours=False)
    with pytest.raises(SystemExit, match=told):
        check_peers(warehouse)


@pytest.mark.parametrize(
    "harm",
    [lambda rows: rows[:1], lambda rows: [*rows, rows[0]], lambda rows: [{**rows[0], "city": "Bonn"}, rows[1]]],
)
def test_both_orders_give_the_same_rows(harm: Callable[[Rows], Rows], warehouse: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other, [{**row, "_run_id": "2"} for row in reversed(SESSIONS)], ours=True)
    check_orders(warehouse, other)
    write(other, harm(SESSIONS), ours=True)
    with pytest.raises(SystemExit, match="rows of sessions differ"):
        check_orders(warehouse, other)


def test_what_peers_do_not_make_are_columns_of_ours() -> None:
    ours = {name for output in (tables.SESSIONS, tables.PERSONS) for name in output.under(METRICS).schema.names}
    assert ours > OURS_ALONE
