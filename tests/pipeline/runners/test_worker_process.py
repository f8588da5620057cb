"""A worker process: what it is told when it starts, and that it ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from apache_beam.portability.api import endpoints_pb2
from google.protobuf import text_format

from pipeline.runners import worker_process
from pipeline.runners.worker_process import MODULE, start

CONTROL = endpoints_pb2.ApiServiceDescriptor(url="localhost:7")
#: A parent that ends at once, whose child would sleep; both write to the same pipe.
_PARENT = """
import os, time
from pipeline.runners.worker_process import end_with
parent = os.getpid()
if os.fork():
    os.waitpid(-1, os.WNOHANG)
    os._exit(0)
end_with(parent)
time.sleep(60)
"""


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, Any]]]:
    """Commands that were started, with their options; none is."""
    found: list[tuple[list[str], dict[str, Any]]] = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **options: found.append((command, options)))
    return found


@pytest.mark.parametrize(("quiet", "stderr"), [(True, subprocess.DEVNULL), (False, None)])
def test_it_is_told_its_name_its_work_and_its_parent(
    started: list[tuple[list[str], dict[str, Any]]], quiet: bool, stderr: int | None
) -> None:
    start("worker-3", CONTROL, quiet=quiet)
    [(command, options)] = started
    assert command == [sys.executable, "-m", MODULE, str(os.getpid())]
    assert options["env"]["WORKER_ID"] == "worker-3"
    told = text_format.Parse(options["env"]["CONTROL_API_SERVICE_DESCRIPTOR"], endpoints_pb2.ApiServiceDescriptor())
    assert told == CONTROL
    assert "LOGGING_API_SERVICE_DESCRIPTOR" not in options["env"], "it logs to nowhere"
    assert options["env"].items() >= os.environ.items()
    assert (options["stdin"], options["stdout"], options["stderr"]) == (*[subprocess.DEVNULL] * 2, stderr)


def test_an_engines_worker_logs_to_where_it_says(started: list[tuple[list[str], dict[str, Any]]]) -> None:
    start("worker-3", CONTROL, endpoints_pb2.ApiServiceDescriptor(url="localhost:8"), quiet=True)
    assert 'url: "localhost:8"' in started[0][1]["env"]["LOGGING_API_SERVICE_DESCRIPTOR"]


def test_it_looks_by_itself_whether_its_parent_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no system sees to it, and when the parent had ended before it could be asked."""
    parents, codes = [5, 5, 1], list[int]()
    monkeypatch.setattr(worker_process, "_LOOK_SECONDS", 0)
    monkeypatch.setattr(os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(os, "_exit", codes.append)
    worker_process._end_after(5)
    assert (parents, codes) == ([], [1])


def test_it_ends_with_its_parent() -> None:
    """The pipe is closed, and the call comes back, when both are gone."""
    subprocess.run([sys.executable, "-S", "-c", _PARENT], stdout=subprocess.PIPE, check=True, timeout=20)
