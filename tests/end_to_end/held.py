"""Runs in a process of their own that stop where events are decoded, wherever that is: in this one or in a worker.

A module `sitecustomize`, which Python imports when it starts, reaches worker processes as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from transforms.metrics import file

ROOT = Path(__file__).parents[2]
_METRICS = ("--metrics_file", str(file.PACKAGED))
#: What a row might hold.
SECRET = "SECRET-PII-+12015550199"
PROCESSES = ("--direct_num_workers", "2", "--direct_running_mode", "multi_processing")
THREADS = ("--direct_num_workers", "2", "--direct_running_mode", "multi_threading")
_SITE = f"""
import os, pathlib, time
from transforms.events.decoder import EventDecoder

def decode(self, *args):
    pathlib.Path(os.environ["HELD"], str(os.getpid())).touch()
    if os.environ["HELD_BY"] == "error":
        raise KeyError("{SECRET}")
    time.sleep(600)

EventDecoder.decode = decode
"""
_TCP_LISTENS = "0A"


class Held:
    """A run, started by `held`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process, self._folder = process, folder

    def decoding(self) -> bool:
        """Whether it has come to where it stops."""
        return any(self._folder.iterdir())

    def workers(self) -> list[int]:
        """Process ids of its workers, also when they have lost their parent."""
        wanted = b"\0pipeline.runners.worker_process\0%d\0" % self.process.pid
        return [pid for pid in _processes() if wanted in _read(pid, "cmdline")]

    def listens_at(self) -> set[str]:
        """The addresses at which it and its workers wait for connections, as Linux writes them."""
        found = set()
        for pid in (self.process.pid, *self.workers()):
            inodes = {os.readlink(path)[len("socket:[") : -1] for path in Path(f"/proc/{pid}/fd").iterdir()}
            for table in ("tcp", "tcp6"):
                for line in _read(pid, f"net/{table}").decode().splitlines()[1:]:
                    _, local, _, state, *_, inode = line.split()[:10]
                    if state == _TCP_LISTENS and inode in inodes:
                        found.add(local.split(":")[0])
        return found

    def end(self, seconds: float = 20) -> tuple[int, str]:
        """Its exit code and what it wrote to stderr."""
        _, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, err


@contextlib.contextmanager
def held(warehouse: Path, folder: Path, *options: str, by: str = "sleep") -> Iterator[Held]:
    """A run that comes to a stop, or to an error; whatever is left of it is killed at the end."""
    site, marks, temporary = (folder / name for name in ("site", "marks", "tmp"))
    for path in (site, marks, temporary):
        path.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "--quiet", "--warehouse", str(warehouse), *_METRICS, *options],
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{site}:{ROOT}",
            "TMPDIR": str(temporary),
            "HELD": str(marks),
            "HELD_BY": by,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a shell's background ignores it
    )
    found = Held(process, marks)
    try:
        yield found
    finally:
        for pid in (process.pid, *found.workers()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when it is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended
        return b""
