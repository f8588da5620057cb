"""Runs of the pipeline in processes of their own, forked from one that has imported it: no interpreter and no Beam has
to start, and nothing that a test does in a run's process is left for another."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import apache_beam.runners.portability.fn_api_runner.fn_runner  # noqa: F401 (a run would import it)

from pipeline.launcher import main

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])
_BEGIN_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """A run that has ended; a negative code is the signal that ended it."""

    code: int
    err: str


def run_apart(folder: Path, *command_lines: list[str], before: Callable[[], None] | None = None) -> list[Ended]:
    """Run command lines at once, each in a new process; all begin at the same moment.

    Args:
      folder: for what they print.
      command_lines: the arguments of each run.
      before: called in every process before its run; can be pickled.
    """
    barrier = _FORKS.Barrier(len(command_lines))
    files = [folder / f"err-{number}" for number in range(len(command_lines))]
    processes: list[ForkServerProcess] = []
    for command_line, file in zip(command_lines, files, strict=True):
        process = _FORKS.Process(target=_run, args=(command_line, file, barrier, before))
        process.start()
        processes.append(process)
    return [_end_of(process, file) for process, file in zip(processes, files, strict=True)]


def _run(command_line: list[str], err: Path, barrier: Barrier, before: Callable[[], None] | None) -> None:
    with err.open("wb") as file, open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if before:
        before()
    barrier.wait(_BEGIN_SECONDS)
    sys.exit(main(command_line))


def _end_of(process: ForkServerProcess, err: Path) -> Ended:
    process.join()
    assert process.exitcode is not None, "it has ended"
    ended = Ended(process.exitcode, err.read_text())
    process.close()
    return ended
