"""Whole processes, measured from outside: wall time, CPU time and memory of a command and all its children."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import psutil

#: Memory is looked at so often; a peak that is shorter can be missed.
_EVERY = 0.2


@dataclass(frozen=True)
class Measured:
    """One or more runs of one command; medians."""

    name: str
    events: int
    seconds: float
    cpu_seconds: float
    megabytes: float
    """Peak of the proportional set sizes of all processes together."""

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


def run_once(name: str, events: int, arguments: Sequence[str], python: str = sys.executable) -> Measured:
    """Run `python -m` with these arguments to its end; SystemExit when it fails."""
    started = time.monotonic()
    process = psutil.Popen([python, "-m", *arguments], stdout=subprocess.DEVNULL)
    peaks = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_EVERY):
            peaks.append(_memory(process))

    watcher = threading.Thread(target=watch)
    watcher.start()
    before = _children_cpu()
    code = process.wait()
    seconds = time.monotonic() - started
    done.set()
    watcher.join()
    if code:
        raise SystemExit(f"{name} failed with exit code {code}: python -m {' '.join(arguments)}")
    return Measured(name, events, seconds, _children_cpu() - before, max(peaks))


def medians(runs: Sequence[Measured]) -> Measured:
    """The median of each figure."""
    first = runs[0]
    seconds, cpu, megabytes = (
        statistics.median(getattr(one, figure) for one in runs) for figure in ("seconds", "cpu_seconds", "megabytes")
    )
    return Measured(first.name, first.events, seconds, cpu, megabytes)


def paired(number: int, *commands: Callable[[], Measured]) -> list[Measured]:
    """Each command so many times, in turns, so that a slow minute of the machine is shared; medians."""
    runs = [[command() for command in commands] for _ in range(number)]
    return [medians(column) for column in zip(*runs, strict=True)]


def pipeline(warehouse: Path, *options: str) -> list[str]:
    """The pipeline's command on a warehouse."""
    return ["pipeline", "--runner", "DirectRunner", "--quiet", "--warehouse", str(warehouse), *options]


def first_load(name: str, warehouse: Path, events: int, *options: str) -> Measured:
    """A full load where nothing is published yet, as nothing is for a peer."""
    forget(warehouse)
    return run_once(name, events, pipeline(warehouse, "--full_load", *options))


def first_event(name: str, warehouse: Path) -> Measured:
    """The same until the first batch of events is decoded."""
    forget(warehouse)
    return run_once(name, 1, ["benchmarks.first_event", str(warehouse)])


def forget(warehouse: Path) -> None:
    """Remove what is published."""
    shutil.rmtree(warehouse / ".posthog_aggregated", ignore_errors=True)
    (warehouse / "posthog_aggregated").unlink(missing_ok=True)


#: The Python of the pandas peer: where pandas is installed, every process of ours would import it.
PEERS_PYTHON = ".venv-peers/bin/python"
ONE_WORKER = "--direct_num_workers=1"
TWO_WORKERS = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def environment(started: datetime) -> str:
    """Where the figures come from."""
    names = ("apache-beam", "pyarrow", "msgspec", "numpy", "duckdb")
    peers = re.findall(r"^(pandas|chdb)==(\S+)", Path("requirements-peers.txt").read_text(), re.MULTILINE)
    versions = ", ".join(f"{name} {number}" for name, number in [*((name, version(name)) for name in names), *peers])
    took = timedelta(seconds=round((datetime.now() - started).total_seconds()))
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{started:%Y-%m-%d}, {os.cpu_count()} cores, {memory_gb:.0f} GiB, {platform.machine()}, Python "
        f"{platform.python_version()}, {versions}; {took} in all"
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


def _memory(process: psutil.Process) -> float:
    total = 0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    return total / 1e6


def _children_cpu() -> float:
    times = psutil.Process().cpu_times()
    return float(times.children_user + times.children_system)
