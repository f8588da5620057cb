"""A pool of workers for an engine: it starts and stops them, on loopback only."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from unittest.mock import Mock

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2

from pipeline.runners import worker_pool


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Processes in the place of workers, in the order of their start."""
    found: list[subprocess.Popen[bytes]] = []

    def sleeper(*_: object, **__: object) -> subprocess.Popen[bytes]:
        found.append(subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"]))
        return found[-1]

    monkeypatch.setattr(worker_pool, "start", sleeper)
    return found


def test_a_pool_starts_and_stops_workers(started: list[subprocess.Popen[bytes]]) -> None:
    with worker_pool.serving() as place, grpc.insecure_channel(place) as channel:
        pool = beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        control = endpoints_pb2.ApiServiceDescriptor(url="localhost:1")
        for worker_id in ("1-1", "2-1", "2-1", "3-1"):
            request = beam_fn_api_pb2.StartWorkerRequest(worker_id=worker_id, control_endpoint=control)
            assert not pool.StartWorker(request).error
        for worker_id in ("1-1", "2-1", "unknown"):
            pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=worker_id))
        # which of two with one id is meant, nobody can tell
        assert [process.poll() for process in started] == [-signal.SIGTERM, None, None, None]
    assert [process.poll() for process in started] == [-signal.SIGTERM, *[-signal.SIGKILL] * 3]


def test_a_worker_that_cannot_start_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_pool, "start", Mock(side_effect=OSError(12, "Cannot allocate memory")))
    answer = worker_pool.WorkerPool().StartWorker(beam_fn_api_pb2.StartWorkerRequest(worker_id="1"), None)
    assert answer.error == "no worker process: Cannot allocate memory"


def test_a_pool_listens_on_loopback_and_ends_with_a_signal() -> None:
    command = [sys.executable, "-m", "pipeline.runners.worker_pool", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("workers at localhost:")
        os.kill(process.pid, signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.parametrize("port", ["-1", "99999", "x"])
def test_what_is_no_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        worker_pool.main([f"--port={port}"])
    assert caught.value.code == 2
    assert port in capsys.readouterr().err.splitlines()[-1]


def test_a_pool_whose_port_is_taken_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with worker_pool.serving() as place:
        port = place.rpartition(":")[2]
        assert worker_pool.main([f"--port={port}"]) == 1
    assert capsys.readouterr().err == f"pipeline: port {port} of localhost is taken\n"
