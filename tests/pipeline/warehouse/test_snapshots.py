"""Snapshots of a folder: one link, one lock, what a reader sees, and what a run leaves behind."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.warehouse.snapshots import Snapshots

HOME = ".out"


def publish(snapshots: Snapshots, run_id: str) -> None:
    """One run that writes one file."""
    snapshots.begin(run_id)
    snapshots.assemble(run_id, [staged(snapshots, run_id)])
    snapshots.switch(run_id)


def staged(snapshots: Snapshots, run_id: str, name: str = "part.parquet") -> Path:
    """A file that a worker of the run has written."""
    folder = snapshots.staging(run_id) / "sessions"
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(run_id)
    return folder / name


def kept(root: Path) -> list[str]:
    """What the snapshots' own folder holds, the locks aside."""
    return sorted(path.name for path in (root / HOME).iterdir() if not path.name.endswith("lock"))


def seen(root: Path) -> str:
    """What a reader finds through the link."""
    return (root / "out" / "sessions" / "part.parquet").read_text()


@contextlib.contextmanager
def locked(root: Path) -> Iterator[Snapshots]:
    found = Snapshots(root / "out")
    found.lock()
    yield found
    found.unlock()


@pytest.fixture
def snapshots(tmp_path: Path) -> Iterator[Snapshots]:
    with locked(tmp_path) as found:
        yield found


@pytest.fixture(params=["absolute", "relative", "through a link", "below the working folder"])
def named(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One folder, by the names that a user may give it."""
    real = tmp_path / "real" / "warehouse"
    real.mkdir(parents=True)
    if request.param == "absolute":
        return real
    if request.param == "through a link":
        (tmp_path / "link").symlink_to(real)
        return tmp_path / "link"
    monkeypatch.chdir(real if request.param == "relative" else real.parent)
    return Path() if request.param == "relative" else Path("warehouse")


def test_the_snapshot_before_stays_for_readers_until_the_next_switch(named: Path) -> None:
    with locked(named) as snapshots:
        assert snapshots.current() is None
        publish(snapshots, "run-1")
        reader = (named / "out").resolve()
        publish(snapshots, "run-2")
        assert (reader / "sessions" / "part.parquet").read_text() == "run-1"
        assert kept(named) == ["run-1", "run-2"]
        assert seen(named) == "run-2"
        publish(snapshots, "run-3")
        assert kept(named) == ["run-2", "run-3"]


def test_a_killed_run_is_removed_when_the_next_begins(snapshots: Snapshots, tmp_path: Path) -> None:
    publish(snapshots, "run-1")
    snapshots.begin("killed")
    (snapshots.staging("killed") / "sessions").mkdir()
    (tmp_path / HOME / "link-killed").symlink_to("nowhere")
    (tmp_path / f"{HOME}-link").symlink_to("nowhere")
    snapshots.begin("run-2")
    assert kept(tmp_path) == ["run-1", "staging-run-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [HOME, "out"]


def test_a_run_that_fails_leaves_nothing_wherever_it_stopped(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(snapshots, "run-1")
    for name in ("rename", "replace"):
        with monkeypatch.context() as broken:
            broken.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
            with pytest.raises(OSError, match="Input/output"):
                publish(snapshots, "run-2")
        snapshots.abandon("run-2")
        assert kept(tmp_path) == ["run-1"]
        assert sorted(path.name for path in tmp_path.iterdir()) == [HOME, "out"]
        assert seen(tmp_path) == "run-1"


def test_what_an_attempt_that_was_given_up_has_written_is_not_published(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.begin("run-1")
    counts = staged(snapshots, "run-1")
    staged(snapshots, "run-1", "part-of-a-lost-attempt.parquet")
    snapshots.assemble("run-1", [counts])
    late = staged(snapshots, "run-1", "part-of-a-worker-that-does-not-know.parquet")
    snapshots.switch("run-1")
    assert [path.name for path in (tmp_path / "out").rglob("*.parquet")] == [counts.name]
    assert not late.exists()
    assert kept(tmp_path) == ["run-1"]


@pytest.mark.parametrize("name", ["rename", "replace"])
def test_publishing_is_tried_again_wherever_it_was_stopped(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    publish(snapshots, "run-1")
    snapshots.begin("run-2")
    counts = staged(snapshots, "run-2")
    with monkeypatch.context() as broken:
        broken.setattr(os, name, lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
        snapshots.assemble("run-2", [counts])
        with pytest.raises(OSError, match="Input/output"):
            snapshots.switch("run-2")
    assert seen(tmp_path) == "run-1"
    snapshots.assemble("run-2", [counts])
    snapshots.switch("run-2")
    assert seen(tmp_path) == "run-2"
    assert kept(tmp_path) == ["run-1", "run-2"]


def test_nothing_is_published_of_a_run_whose_files_another_has_removed(snapshots: Snapshots, tmp_path: Path) -> None:
    snapshots.begin("run-1")
    lost = staged(snapshots, "run-1")
    snapshots.begin("run-2")  # the launcher of run-1 was killed, its job was not
    with pytest.raises(RunError, match=r"part\.parquet was staged and is gone: nothing is published"):
        snapshots.assemble("run-1", [lost])
    assert snapshots.current() is None


def test_nothing_is_removed_while_another_process_switches(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots.begin("run-1")
    counts = staged(snapshots, "run-1")
    other = Snapshots(tmp_path / "out")
    monkeypatch.setattr("pipeline.warehouse.snapshots._PATIENCE", 0.2)
    with snapshots.alone():
        with pytest.raises(RunError, match=r"another process is publishing to .*out and does not end"):
            other.begin("run-2")
        snapshots.assemble("run-1", [counts])
        snapshots.switch("run-1")
    other.begin("run-2")
    assert seen(tmp_path) == "run-1"


def test_what_is_published_is_never_abandoned(snapshots: Snapshots, tmp_path: Path) -> None:
    publish(snapshots, "run-1")
    snapshots.abandon("run-1")
    assert seen(tmp_path) == "run-1"


def test_one_run_at_a_time(snapshots: Snapshots, tmp_path: Path) -> None:
    other = Snapshots(tmp_path / "out")
    with pytest.raises(RunError, match="another run is at work"):
        other.lock()
    snapshots.unlock()
    other.lock()
    other.unlock()


def test_tables_that_a_run_does_not_write_are_carried_over(snapshots: Snapshots, tmp_path: Path) -> None:
    publish(snapshots, "run-1")
    snapshots.begin("run-2")
    snapshots.assemble("run-2", [])
    snapshots.carry_over("run-2", ["sessions", "persons"])
    snapshots.switch("run-2")
    assert seen(tmp_path) == "run-1"
    assert not (tmp_path / "out" / "persons").exists()


def test_files_are_copied_where_they_cannot_be_linked(
    snapshots: Snapshots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    publish(snapshots, "run-1")
    monkeypatch.setattr(os, "link", refused)
    snapshots.begin("run-2")
    snapshots.assemble("run-2", [])
    snapshots.carry_over("run-2", ["sessions"])
    snapshots.switch("run-2")
    assert seen(tmp_path) == "run-1"
    assert (tmp_path / "out" / "sessions" / "part.parquet").stat().st_nlink == 1


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_of_the_user_is_not_replaced(tmp_path: Path, exists: bool) -> None:
    disk = tmp_path / "disk"
    if exists:
        disk.mkdir()
    (tmp_path / "out").symlink_to(disk)
    with pytest.raises(RunError, match=r"out is a link to .*disk that this pipeline did not make: .*link \S*\.out"):
        Snapshots(tmp_path / "out").lock()
    assert (tmp_path / "out").readlink() == disk
    assert not (tmp_path / HOME).exists()


def test_snapshots_may_lie_on_another_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = os.replace

    def within_a_disk(source: Path, target: Path) -> None:
        if Path(source).parent.resolve() != Path(target).parent.resolve():
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        honest(source, target)

    monkeypatch.setattr(os, "replace", within_a_disk)
    disk = tmp_path / "disk"
    disk.mkdir()
    (tmp_path / HOME).symlink_to(disk)
    for run_id in ("run-1", "run-2", "run-3"):
        with locked(tmp_path) as snapshots:  # the link is known as the pipeline's own
            publish(snapshots, run_id)
        assert seen(tmp_path) == run_id
    assert sorted(path.name for path in disk.iterdir()) == ["lock", "publish.lock", "run-2", "run-3"]


def test_a_folder_in_the_place_of_the_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match="is a folder, not a link"):
        Snapshots(tmp_path / "out").lock()
