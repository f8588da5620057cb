"""Publishing is atomic: kills, concurrent runs, full disks, read-only folders, samples, plans."""

from __future__ import annotations

import os
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.launcher import main
from pipeline.warehouse.snapshots import Snapshots
from sample import write_sample
from tests.builders import (
    OUTPUTS,
    WAVES_METRICS,
    assert_adds_up,
    event,
    has_published,
    ledger,
    published,
    run,
    tables_of,
    write_events,
)
from tests.end_to_end import killer
from tests.end_to_end.processes import run_apart
from transforms.metrics.file import PACKAGED as PACKAGED_METRICS


def command(warehouse: Path, *options: str) -> list[str]:
    return ["--runner", "DirectRunner", "--quiet", "--warehouse", str(warehouse), *options]


def contents(folder: Path) -> dict[str, int]:
    """Every file below a folder with its size, links not followed."""
    return {str(path.relative_to(folder)): path.lstat().st_size for path in sorted(folder.rglob("*"))}


def used(warehouse: Path) -> Path:
    """A warehouse after a first run, with events that arrived since."""
    write_events(warehouse, [event(n, f"s{n % 7}", distinct_id=f"a{n % 3}") for n in range(60)])
    assert run(warehouse) == 0
    return write_events(warehouse, [event(100 + n, f"s{n % 9}") for n in range(30)], name="part-1")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return used(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def clean(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after a second run that nothing disturbed."""
    warehouse = copy_of(base, tmp_path_factory.mktemp("clean"))
    assert run(warehouse) == 0
    return warehouse


def copy_of(warehouse: Path, target: Path) -> Path:
    shutil.copytree(warehouse, target, symlinks=True, dirs_exist_ok=True)
    return target


@pytest.mark.parametrize("point", killer.POINTS)
def test_a_kill_leaves_the_old_or_the_new_tables_and_the_next_run_heals(
    point: str, base: Path, clean: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    warehouse = copy_of(base, tmp_path)
    [died] = run_apart(tmp_path_factory.mktemp("killed"), command(warehouse), before=partial(killer.arm, point))
    assert died.code == -9, died.err
    assert tables_of(warehouse) == tables_of(clean if point in killer.PUBLISHED else base)
    assert run(warehouse) == 0
    assert tables_of(warehouse) == tables_of(clean)
    for row in ledger(warehouse):
        assert_adds_up(row)
    left = [path.name for path in (warehouse / ".posthog_aggregated").iterdir()]
    assert not [name for name in left if name.startswith(("staging-", "next-", "link-"))]
    assert len(left) <= 4  # two locks, the snapshot, the one before


def test_two_runs_at_once_never_mix(base: Path, clean: Path, tmp_path: Path) -> None:
    wins = 0
    for attempt in range(10):
        warehouse = copy_of(base, tmp_path / str(attempt))
        both = run_apart(tmp_path, command(warehouse), command(warehouse))
        codes = sorted(ended.code for ended in both)
        assert codes in ([0, 1], [0, 0])  # [0, 0]: one began after the other had ended
        if codes == [0, 1]:
            wins += 1
            [loser] = [ended.err for ended in both if ended.code]
            assert loser.startswith("pipeline: another run is at work on ")
            assert loser.count("\n") == 1
        assert tables_of(warehouse) == tables_of(clean)
        assert len(ledger(warehouse)) == 3 - codes[1]
    assert wins


def test_a_run_that_loses_leaves_no_trace(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = copy_of(base, tmp_path)
    other = Snapshots(warehouse / "posthog_aggregated")
    other.lock()
    before = contents(warehouse)
    assert run(warehouse) == 1
    assert "another run is at work" in capfd.readouterr().err
    assert contents(warehouse) == before
    other.unlock()
    assert run(warehouse) == 0


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_plan_only_touches_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = used(tmp_path / "used")
    before = contents(warehouse), tables_of(warehouse), ledger(warehouse)
    assert run(warehouse, "--plan_only") == 0
    out = capfd.readouterr().out
    assert "incremental (what arrived from" in out
    assert "of 90 rows" in out
    assert (contents(warehouse), tables_of(warehouse), ledger(warehouse)) == before
    fresh = write_events(tmp_path / "fresh", [event(1)])
    assert run(fresh, "--plan_only") == 0
    assert "first run" in capfd.readouterr().out
    assert not has_published(fresh)
    assert not (fresh / ".posthog_aggregated").exists()


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_limit_publishes_samples_and_moves_nothing(tmp_path: Path) -> None:
    warehouse = used(tmp_path)
    before = tables_of(warehouse), ledger(warehouse)
    for limit in (20, 5):
        assert run(warehouse, "--limit", str(limit)) == 0
        assert sum(published(warehouse, "sessions_sample")["event_count"].to_pylist()) == limit
        assert (tables_of(warehouse), ledger(warehouse)) == before
    sample = warehouse / "posthog_aggregated"
    assert {path.name for path in sample.iterdir() if path.is_dir()} == {*OUTPUTS, "persons_sample", "sessions_sample"}
    assert run(warehouse) == 0
    assert published(warehouse, "sessions_sample").num_rows


@pytest.mark.on_bigquery
@pytest.mark.usefixtures("place")
def test_an_added_metric_asks_for_a_full_load(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = used(tmp_path)
    metrics = tmp_path / "metrics.toml"
    entry = 'kind = "count"\nevents = ["$screen"]\ndescription = "Screens, once more."'
    metrics.write_text(f"{PACKAGED_METRICS.read_text()}\n[metrics.added]\n{entry}\n")
    before = tables_of(warehouse)
    assert run(warehouse, "--metrics_file", str(metrics)) == 1
    assert "metric definitions changed" in capfd.readouterr().err
    assert tables_of(warehouse) == before
    assert run(warehouse, "--metrics_file", str(metrics), "--full_load") == 0
    sessions = published(warehouse, "sessions")
    assert sessions["added"].to_pylist() == sessions["event_count"].to_pylist()


def test_other_metrics_replace_the_tables_of_a_folder(base: Path, tmp_path: Path) -> None:
    warehouse = copy_of(base, tmp_path)
    assert run(warehouse, "--metrics_file", str(WAVES_METRICS), "--full_load") == 0
    assert "succeeded" in tables_of(warehouse)["sessions"].schema.names


def test_a_folder_in_the_place_of_the_link_is_not_touched(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = write_events(tmp_path, [event(1)])
    (warehouse / "posthog_aggregated").mkdir()
    assert run(warehouse) == 1
    assert "is a folder, not a link" in capfd.readouterr().err


@pytest.mark.parametrize("where", ["_WriteParquet.process", "LocalWarehouse.publish"])
def test_a_full_disk_leaves_the_tables_as_they_were(
    where: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    warehouse = copy_of(base, tmp_path)
    monkeypatch.setattr(f"pipeline.warehouse.local.{where}", full)
    assert run(warehouse) == 1
    err = capfd.readouterr().err
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert tables_of(warehouse) == tables_of(base)
    monkeypatch.undo()
    assert run(warehouse) == 0


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (
            OSError(5, "Input/output error"),
            1,
            "pipeline: Input/output error; the run's tables are published all the same",
        ),
        (ValueError("a row"), 1, "pipeline: unexpected ValueError (--verbose shows details); the run's tables are"),
        (KeyboardInterrupt(), 130, "pipeline: interrupted; the run's tables are published all the same"),
    ],
)
def test_what_fails_after_the_switch_takes_nothing_back(
    error: BaseException,
    code: int,
    line: str,
    base: Path,
    clean: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    honest = Snapshots.switch

    def switch(snapshots: Snapshots, run_id: str) -> None:
        honest(snapshots, run_id)
        raise error

    warehouse = copy_of(base, tmp_path)
    monkeypatch.setattr(Snapshots, "switch", switch)
    assert run(warehouse) == code
    assert capfd.readouterr().err.startswith(line)
    assert tables_of(warehouse) == tables_of(clean)


def test_ctrl_c_in_a_program_that_calls_the_pipeline(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    warehouse = copy_of(base, tmp_path)
    monkeypatch.setattr("transforms.events.decoder.EventDecoder.decode", interrupted)
    assert run(warehouse) == 130
    assert capfd.readouterr().err == "pipeline: interrupted; nothing is published\n"
    assert tables_of(warehouse) == tables_of(base)


def test_what_is_written_is_the_owners_only(tmp_path: Path) -> None:
    warehouse = used(tmp_path)
    before = os.umask(0o022)
    try:
        assert run(warehouse) == 0
        assert run(warehouse, "--limit", "5") == 0
        assert os.umask(0o022) == 0o022  # as it was, for whatever else this process writes
    finally:
        os.umask(before)
    home = warehouse / ".posthog_aggregated"
    modes = {path: oct(path.stat().st_mode & 0o777) for path in [home, *home.rglob("*")]}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {"0o700"}
    assert {mode for path, mode in modes.items() if path.is_file()} == {"0o600"}
    assert len(modes) > 10


def test_a_lock_that_cannot_be_opened(base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    warehouse = copy_of(base, tmp_path)
    lock = warehouse / ".posthog_aggregated" / "lock"
    lock.unlink()
    lock.mkdir()
    assert run(warehouse) == 1
    assert "cannot write to" in capfd.readouterr().err
    assert tables_of(warehouse) == tables_of(base)


def test_a_read_only_folder(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    honest = Path.mkdir

    def read_only(path: Path, *args: Any, **options: Any) -> None:
        if path.name.startswith("staging-"):  # root may write anywhere: stand in for the kernel
            raise OSError(30, "Read-only file system")
        honest(path, *args, **options)

    warehouse = copy_of(base, tmp_path)
    monkeypatch.setattr(Path, "mkdir", read_only)
    assert run(warehouse) == 1
    err = capfd.readouterr().err
    assert "cannot write to" in err
    assert "Read-only file system" in err
    assert tables_of(warehouse) == tables_of(base)


def test_the_default_warehouse_is_a_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sample.write_sample", lambda root: write_sample(root, events=1_000))
    assert main([]) == 0
    out = capfd.readouterr().out
    assert "writing a sample" in out
    assert "Done in" in out
    assert main([]) == 0
    assert "incremental" in capfd.readouterr().out


def test_without_the_generator_a_warehouse_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sample", None)  # an installed package has none beside it
    assert main([]) == 2
    out, err = capfd.readouterr()
    [line] = err.splitlines()
    assert "--warehouse DIR" in line
    assert out == ""
    assert list(tmp_path.iterdir()) == []
