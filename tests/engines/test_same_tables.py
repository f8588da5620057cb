"""The same tables on Prism and on Flink as on the local runner, and the same words when a run fails."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.orders import write_variant
from pipeline import tables
from sample import write_sample
from tests.builders import event, ledger, run, write_events, write_table
from tests.engines.comparison import assert_equal, copy_of
from tests.engines.servers import Engine, Pool

pytestmark = pytest.mark.engine

NIGHTS = 4
SECRET = "+4915123456789"
_FUTURE = pa.scalar(datetime(2030, 1, 1, tzinfo=UTC), pa.timestamp("us", "UTC"))


def nights_of(warehouse: Path) -> Iterator[None]:
    """The sample: most of it, then a night's arrivals more each time."""
    write_sample(warehouse, events=10_000)
    folder = warehouse / "posthog_etl" / "events"
    events = pq.read_table(folder).sort_by("bq_ingested_timestamp")
    events = events.filter(pc.less(events["timestamp"], _FUTURE).fill_null(True))
    shutil.rmtree(folder)
    folder.mkdir()
    begins = [0, *(events.num_rows * (6 + night) // 10 for night in range(1, NIGHTS)), events.num_rows]
    for night in range(NIGHTS):
        part = events.slice(begins[night], begins[night + 1] - begins[night])
        pq.write_table(part, folder / f"part-{night}.parquet", row_group_size=1_000)
        yield


def test_a_full_load_and_three_nights(engine: Engine, pool: Pool, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for _ in nights_of(here):
        shutil.copytree(here / "posthog_etl", there / "posthog_etl", dirs_exist_ok=True)
        shutil.copytree(here / "firebase_etl_prod", there / "firebase_etl_prod", dirs_exist_ok=True)
        assert run(here) == 0
        assert run(there, *engine.options, *pool.options) == 0
        assert_equal(there, here)
    assert [row["mode"] for row in ledger(there)] == ["full", *["incremental"] * (NIGHTS - 1)]
    assert all(row["sessions_inserted"] and row["rows_read"] for row in ledger(there))


def test_days_without_events(engine: Engine, pool: Pool, tmp_path: Path) -> None:
    here = write_events(tmp_path / "here", [])
    there = copy_of(here, tmp_path / "there")
    for number in range(3):  # nothing yet; the first events; nothing new
        if number == 1:
            for warehouse in (here, there):
                write_events(warehouse, [event(n, f"s{n % 3}") for n in range(9)], name="part-1")
        assert run(here) == 0
        assert run(there, *engine.options, *pool.options) == 0
        assert_equal(there, here)
    assert [row["sessions_inserted"] for row in ledger(there)] == [0, 3, 0]


def bad_rows(warehouse: Path) -> Path:
    """A broken row for every step that reads rows, among good ones."""
    good = [event(n, f"s{n % 7}", distinct_id=f"a{n % 3}") for n in range(60)]
    bad = [
        event(100, "s1", distinct_id=None),
        event(101, None),
        event(102, "s1", properties="{"),
        event(103, "s1", properties="[" * 5_000),
        event(104, "s1", properties='{"$session_id": "\\ud83d", "$lib": "posthog-react-native"}'),
        event(105, "s1", properties={"$screen_height": float("inf"), "$screen_name": "\x00" + "x" * 100_000}),
        event(106, "s1", distinct_id="undefined"),
        {**event(107, "s1"), "uuid": None},
        {**event(108, "s1"), "timestamp": datetime(9999, 12, 31, tzinfo=UTC)},
    ]
    users = [
        {"user_id": None, "phoneNumber": SECRET},
        {"user_id": "a1", "phoneNumber": "no number"},
        {"user_id": "a1", "phoneNumber": SECRET},
        {"user_id": "b2", "phoneNumber": SECRET},
    ]
    social = [{"userId": None}, {"userId": "a1"}, {"userId": "b2", "createdAt": good[5]["timestamp"]}]
    write_events(warehouse, [*good, *bad])
    for table, rows in ((tables.USERS, users), (tables.FIREBASE_EVENTS, social), (tables.POSTHOG_SESSIONS, [{}])):
        names = [field.name for field in table.bare]
        full = [{name: row.get(name) for name in names} for row in rows]
        write_table(warehouse, "posthog_etl" if table.source == "posthog" else "firebase_etl_prod", table, full)
    return warehouse


def test_a_bad_row_in_every_step(engine: Engine, pool: Pool, tmp_path: Path) -> None:
    here = bad_rows(tmp_path / "here")
    there = copy_of(here, tmp_path / "there")
    options = ["--max_rejected_ratio=0.5"]
    assert run(here, *options) == 0
    assert run(there, *options, *engine.options, *pool.options) == 0
    assert_equal(there, here)
    [row] = ledger(there)
    assert row["rows_rejected"] >= 6
    assert SECRET not in engine.log()


def test_a_run_that_fails_says_why_in_one_line(
    engine: Engine, pool: Pool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    warehouse = bad_rows(tmp_path / "warehouse")
    assert run(warehouse, "--max_rejected_ratio=0.001", *engine.options, *pool.options) == 1
    told = capfd.readouterr().err
    assert told.startswith("pipeline: ")
    assert "rows were rejected" in told
    assert told.count("\n") == 1
    assert not (warehouse / "posthog_aggregated").is_symlink()


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["flink"], indirect=True)
def test_two_million_rows_in_random_order(engine: Engine, pool: Pool, tmp_path: Path) -> None:
    write_sample(tmp_path / "sample", events=2_000_000)
    write_variant("random", tmp_path / "sample", tmp_path / "here")
    there = copy_of(tmp_path / "here", tmp_path / "there")
    assert run(there, *engine.options, *pool.options) == 0
    assert run(tmp_path / "here", "--direct_num_workers=1") == 0
    assert_equal(there, tmp_path / "here")
