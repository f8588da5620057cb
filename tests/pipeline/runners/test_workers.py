"""Worker processes as the local runner sees them: when there are any, where they listen, and that a death is told.

Whole runs whose workers are killed are in `tests.end_to_end.test_signals`.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.worker import sdk_worker

from pipeline.command_line import parse
from pipeline.errors import RunError
from pipeline.runners import workers
from pipeline.runners.workers import LoopbackGrpc, WorkerProcess, WorkerProcesses, local_runner, local_workers

PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def test_only_a_run_with_worker_processes_has_a_runner_of_its_own() -> None:
    options = parse(PROCESSES)
    runner = local_runner(options)
    assert isinstance(runner, FnApiRunner)
    assert isinstance(runner._default_environment, WorkerProcesses)
    assert options.view_as(DirectOptions).direct_running_mode is None, "or Beam would take its own environment"
    assert local_runner(parse([])) is None
    assert local_runner(parse([*PROCESSES, "--runner=PrismRunner"])) is None


def test_a_graph_names_the_environment_and_finds_it_again() -> None:
    made = WorkerProcesses(["a"])
    urn, payload = made.to_runner_api_parameter(None)
    assert payload == b""
    again = WorkerProcesses.from_runner_api_parameter(payload, ["a"], [], {}, None)
    assert again.to_runner_api_parameter(None)[0] == urn
    assert worker_handlers.WorkerHandler._registered_environments[urn][0] is WorkerProcess


@pytest.mark.parametrize("address", ["[::]:0", "0.0.0.0:50001", ":7"])
def test_every_port_is_bound_to_loopback(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[str] = []
    monkeypatch.setattr(grpc, "server", lambda *_, **__: SimpleNamespace(add_insecure_port=bound.append))
    LoopbackGrpc.server(None, options=[]).add_insecure_port(address)
    assert bound == [f"localhost:{address.rpartition(':')[2]}"]


def test_what_beam_says_meanwhile_is_for_debugging(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends() -> None:
        raise ValueError("a row")

    before = threading.excepthook
    with caplog.at_level(logging.DEBUG, workers.__name__), local_workers():
        assert worker_handlers.grpc is LoopbackGrpc
        sdk_worker.print("a row", 7)
        thread = threading.Thread(target=ends)
        thread.start()
        thread.join()
    assert [record.message for record in caplog.records] == ["a row 7", "a thread ended"]
    assert capsys.readouterr() == ("", "")
    assert worker_handlers.grpc is grpc
    assert threading.excepthook is before
    assert not hasattr(sdk_worker, "print")


def test_a_worker_that_ended_by_itself_is_the_cause_whatever_the_runner_made_of_it() -> None:
    with pytest.raises(RunError, match=r"^ended by itself$") as caught, local_workers():
        workers._ENDED.append("ended by itself")
        raise RuntimeError("a row")
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError, match="of a step"), local_workers():  # the end of a run before is forgotten
        raise RuntimeError("of a step")
    with pytest.raises(KeyboardInterrupt), local_workers():
        workers._ENDED.append("killed with the run")
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (1, "ended with exit code 1 (--verbose shows details); nothing is published"),
        (0, "ended with exit code 0 (--verbose shows details); nothing is published"),
        (-9, "was ended by SIGKILL (too little memory?); nothing is published"),
        (-11, "was ended by SIGSEGV; nothing is published"),
    ],
)
def test_how_a_process_ended_is_one_line(code: int, told: str) -> None:
    assert workers._end_text(code) == f"a worker process {told}"


def handler(process: Any) -> WorkerProcess:
    """A worker of a runner, without the runner."""
    made = WorkerProcess.__new__(WorkerProcess)
    made._closing, made._process = threading.Event(), process
    made.control_conn = Mock(_futures_by_id={})
    made.data_conn = SimpleNamespace(_to_send=Mock(get=Mock(side_effect=workers.queue.Empty)))
    return made


def test_who_waits_for_a_process_that_died_gets_an_error_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(workers, "_ENDED", [])
    made, answered = handler(None), dict[str, str]()

    class Future:
        """A request that has no answer yet."""

        def is_done(self) -> bool:
            return False

        def set(self, response: Any) -> None:
            answered[response.instruction_id] = response.error
            made._closing.set()

    made.control_conn._futures_by_id["bundle-1"] = Future()
    made._watch(Mock(wait=Mock(return_value=-9)))
    told = "a worker process was ended by SIGKILL (too little memory?); nothing is published"
    assert answered == {"bundle-1": told}
    assert [told] == workers._ENDED


def test_a_process_that_ends_because_the_run_is_over_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ENDED", [])
    made = handler(None)
    made._closing.set()
    made._watch(Mock(wait=Mock(return_value=0)))
    assert workers._ENDED == []


def test_a_failing_run_kills_its_workers_and_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ENDED", [])
    process = Mock(wait=Mock(side_effect=[subprocess.TimeoutExpired("worker", 0.1), -9]))
    made = handler(process)
    with pytest.raises(RuntimeError, match="of a step"):
        try:
            raise RuntimeError("of a step")
        finally:
            made.close()
    process.kill.assert_called_once_with()
    assert workers._ENDED == [], "it was at work: its end is not the cause"
    made.control_conn.push.assert_called_once_with(worker_handlers.BeamFnControlServicer._DONE_MARKER)
    assert made._closing.is_set()


def test_a_worker_that_does_not_end_by_itself_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Mock(wait=Mock(side_effect=[subprocess.TimeoutExpired("worker", 5), -9]))
    handler(process).stop_worker()
    process.kill.assert_called_once_with()
    handler(None).stop_worker()  # one that never started


@pytest.mark.parametrize(
    ("given", "told"), [(None, 1), ("4", 4), ("many", None)], ids=["default", "given", "no number"]
)
def test_runner_and_workers_have_one_heap_each(
    monkeypatch: pytest.MonkeyPatch, given: str | None, told: int | None
) -> None:
    libc = Mock()
    monkeypatch.setattr(workers.ctypes, "CDLL", lambda name: libc)
    monkeypatch.setenv("MALLOC_ARENA_MAX", given or "")
    if given is None:
        monkeypatch.delenv("MALLOC_ARENA_MAX")
    local_runner(parse(PROCESSES))
    assert os.environ["MALLOC_ARENA_MAX"] == (given or "1"), "the workers inherit it"
    assert [call.args for call in libc.mallopt.mock_calls] == ([(-8, told)] if told else [])
