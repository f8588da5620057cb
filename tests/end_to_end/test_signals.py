"""A run that is interrupted, killed, or loses a worker: ends within seconds, one line, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.warehouse.snapshots import Snapshots
from tests.builders import event, write_events
from tests.end_to_end.held import PROCESSES, SECRET, THREADS, Held, held, wait_until

#: 127.0.0.1, ::ffff:127.0.0.1 and ::1, as in /proc/net/tcp and tcp6.
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
#: Seconds that a run has to end.
SOON = 12


@pytest.fixture
def warehouse(tmp_path: Path) -> Path:
    return write_events(tmp_path / "warehouse", [event(n, f"s{n % 7}") for n in range(60)])


def assert_nothing_left(run: Held, warehouse: Path, folder: Path, staging: int = 0) -> None:
    """No process, no temporary folder, no staged table, no published one, and the lock is free."""
    wait_until(lambda: not run.workers(), SOON)
    assert list((folder / "tmp").iterdir()) == []
    home = warehouse / ".posthog_aggregated"
    assert len([path for path in home.iterdir() if not path.name.endswith("lock")]) == staging
    assert not (warehouse / "posthog_aggregated").is_symlink()
    lock = Snapshots(warehouse / "posthog_aggregated")
    lock.lock()
    lock.unlock()


def to_the_parent(number: signal.Signals) -> Callable[[Held], None]:
    return lambda run: os.kill(run.process.pid, number)


def to_all(number: signal.Signals) -> Callable[[Held], None]:
    return lambda run: os.killpg(run.process.pid, number)


@pytest.mark.parametrize(
    ("options", "send", "code", "line"),
    [
        (PROCESSES, to_the_parent(signal.SIGINT), 130, "pipeline: interrupted; nothing is published\n"),
        (PROCESSES, to_all(signal.SIGINT), 130, "pipeline: interrupted; nothing is published\n"),
        (PROCESSES, to_the_parent(signal.SIGTERM), 143, "pipeline: terminated; nothing is published\n"),
        (PROCESSES, to_the_parent(signal.SIGKILL), -9, ""),
        (THREADS, to_the_parent(signal.SIGTERM), 143, "pipeline: terminated; nothing is published\n"),
        ((), to_the_parent(signal.SIGINT), 130, "pipeline: interrupted; nothing is published\n"),
    ],
    ids=["int", "int-all", "term", "kill", "threads-term", "one-process-int"],
)
def test_a_signal_ends_the_run_and_its_workers(
    options: tuple[str, ...],
    send: Callable[[Held], None],
    code: int,
    line: str,
    warehouse: Path,
    tmp_path: Path,
) -> None:
    with held(warehouse, tmp_path, *options) as run:
        wait_until(run.decoding)
        assert len(run.workers()) == (2 if options == PROCESSES else 0)
        assert run.listens_at() <= LOOPBACK
        assert bool(run.listens_at()) == bool(options)
        send(run)
        assert run.end(SOON) == (code, line)
        # nobody can tidy up after SIGKILL: the next run removes what was staged
        assert_nothing_left(run, warehouse, tmp_path, staging=1 if code == -9 else 0)


def test_a_signal_while_the_workers_start(warehouse: Path, tmp_path: Path) -> None:
    with held(warehouse, tmp_path, *PROCESSES) as run:
        wait_until(lambda: bool(run.workers()))
        os.kill(run.process.pid, signal.SIGINT)
        assert run.end(SOON) == (130, "pipeline: interrupted; nothing is published\n")
        assert_nothing_left(run, warehouse, tmp_path)


def test_a_signal_before_anything_has_begun(warehouse: Path, tmp_path: Path) -> None:
    with held(warehouse, tmp_path) as run:
        status = Path(f"/proc/{run.process.pid}/status")
        caught = 1 << (signal.SIGTERM - 1)
        wait_until(lambda: bool(int(status.read_text().split("SigCgt:\t")[1].split()[0], 16) & caught))
        os.kill(run.process.pid, signal.SIGTERM)
        assert run.end(SOON) == (143, "pipeline: terminated; nothing is published\n")


def test_a_worker_that_is_killed_is_an_error_of_the_run(warehouse: Path, tmp_path: Path) -> None:
    with held(warehouse, tmp_path, *PROCESSES) as run:
        wait_until(run.decoding)
        for pid in run.workers():
            os.kill(pid, signal.SIGKILL)
        assert run.end(SOON) == (
            1,
            "pipeline: a worker process was ended by SIGKILL (too little memory?); nothing is published\n",
        )
        assert_nothing_left(run, warehouse, tmp_path)


@pytest.mark.parametrize("options", [PROCESSES, THREADS, ()], ids=["processes", "threads", "one-process"])
def test_a_run_that_fails_tells_one_line(options: tuple[str, ...], warehouse: Path, tmp_path: Path) -> None:
    with held(warehouse, tmp_path, *options, by="error") as run:
        code, told = run.end(60)
        assert code == 1
        assert told.startswith("pipeline: unexpected ")
        assert told.count("\n") == 1
        assert SECRET not in told
        assert_nothing_left(run, warehouse, tmp_path)
