"""Jobs for Prism and Flink, as far as no engine is needed: what is missing is one line, and nothing is left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import grpc
import pytest
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker import worker_pool_main

from pipeline.command_line import parse
from pipeline.errors import RunError
from pipeline.launcher import main
from pipeline.runners import engines
from pipeline.runners.engines import check_engine, engine, finish
from tests.builders import event, has_published, write_events

ENDPOINT = "--job_endpoint=localhost:1"
FLINK = ["--runner=FlinkRunner", ENDPOINT]


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["--runner=FlinkRunner"], "FlinkRunner needs --job_endpoint HOST:PORT of a job server, or --flink_job_server"),
        (["--runner=PrismRunner"], "PrismRunner needs --job_endpoint HOST:PORT of a job server, or --prism_location"),
        (["--runner=PrismRunner", "--prism_location=/nowhere"], "--prism_location '/nowhere' is no file"),
        (["--runner=PortableRunner"], "PortableRunner needs --job_endpoint HOST:PORT of a job server; see docs"),
        (["--runner=PortableRunner", ENDPOINT], "PortableRunner needs --environment_type, for example EXTERNAL"),
        ([*FLINK, "--environment_type=EXTERNAL"], "EXTERNAL needs --environment_config, HOST:PORT of a worker pool"),
        ([*FLINK, "--environment_type=PROCESS"], "PROCESS needs --environment_config, the command of a worker"),
    ],
)
def test_what_is_missing_is_one_line(argv: list[str], told: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
    assert err.endswith("see docs/engines.md\n")


@pytest.mark.parametrize("argv", [[], ["--runner=DataflowRunner"], FLINK, ["--runner=PrismRunner", ENDPOINT]])
def test_what_is_enough_passes(argv: list[str]) -> None:
    check_engine(parse(argv))


def test_a_run_without_its_job_server_is_one_line_and_leaves_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "_PATIENCE", 0.2)
    warehouse = write_events(tmp_path, [event(1)])
    assert main([*FLINK, "--warehouse", str(warehouse)]) == 1
    assert capfd.readouterr().err == "pipeline: no job server answers at localhost:1; see docs/engines.md\n"
    assert not has_published(warehouse)
    assert sorted(path.name for path in (warehouse / ".posthog_aggregated").iterdir()) == ["lock", "publish.lock"]


def test_no_other_runner_is_touched() -> None:
    with engine(parse([])) as runner:
        assert runner is None


def engine_of(argv: list[str], monkeypatch: pytest.MonkeyPatch, server: Mock | None = None) -> Any:
    monkeypatch.setattr(engines, "_look_for", lambda _: None)
    monkeypatch.setattr(engines, "create_runner", lambda _: SimpleNamespace(default_job_server=lambda _: server))
    return engine(parse(argv))


def test_a_job_server_that_the_run_has_started_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Mock()
    with pytest.raises(KeyboardInterrupt), engine_of(["--runner=PrismRunner"], monkeypatch, server) as runner:
        assert runner.default_job_server(parse([])) is server
        server.stop.assert_not_called()
        raise KeyboardInterrupt
    server.stop.assert_called_once_with()


def test_what_an_engine_says_of_a_job_is_quiet_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with engine_of(FLINK, monkeypatch):
        logging.error("a row")
        logging.getLogger("pipeline").error("a line of ours")
    logging.error("after it")
    assert [record.message for record in caplog.records] == ["a line of ours", "after it"]


def test_workers_in_the_launcher_listen_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    bound: list[str] = []
    server = SimpleNamespace(add_insecure_port=bound.append)
    monkeypatch.setattr(grpc, "server", lambda *_, **__: server)
    with engine_of(FLINK, monkeypatch):
        worker_pool_main.grpc.server().add_insecure_port("[::]:7")
    assert bound == ["localhost:7"]
    assert worker_pool_main.grpc is grpc


def test_a_job_server_that_is_lost_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost(grpc.RpcError):
        def code(self) -> grpc.StatusCode:
            return grpc.StatusCode.UNAVAILABLE

    told = pytest.raises(RunError, match=r"^the job server was lost \(UNAVAILABLE\): run again$")
    with told, engine_of(FLINK, monkeypatch):
        raise Lost


class Job:
    """A job of an engine as Beam's runner shows it."""

    def __init__(self, wait: Callable[[], None], states: list[str]) -> None:
        self.wait_until_finish, self._states, self.cancelled = wait, states, 0

    @property
    def state(self) -> str:
        return self._states.pop(0) if len(self._states) > 1 else self._states[0]

    def cancel(self) -> None:
        self.cancelled += 1


def raising(error: BaseException) -> Callable[[], None]:
    def wait() -> None:
        raise error

    return wait


def test_a_job_whose_wait_is_interrupted_is_cancelled_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_LOOK_SECONDS", 0)
    running = [PipelineState.RUNNING, PipelineState.CANCELLING, PipelineState.CANCELLED]
    job: Any = Job(raising(KeyboardInterrupt()), running)
    with pytest.raises(KeyboardInterrupt):
        finish(job, parse(FLINK))
    assert job.cancelled == 1
    assert running == [PipelineState.CANCELLED]


def test_a_job_that_failed_for_a_cause_of_ours_tells_it() -> None:
    job: Any = Job(raising(RuntimeError("java.lang.X: Traceback\npipeline.errors.RunError: too many\n")), ["FAILED"])
    with pytest.raises(RuntimeError, match="RunError: too many"):
        finish(job, parse(FLINK))
    assert job.cancelled == 0


def test_a_job_that_failed_otherwise_tells_no_row() -> None:
    job: Any = Job(raising(RuntimeError("java.lang.X: a row")), ["FAILED"])
    with pytest.raises(RunError, match=r"^the engine ended the job as FAILED; its own log says why") as caught:
        finish(job, parse(FLINK))
    assert "row" not in str(caught.value)


def test_errors_of_the_local_runner_pass() -> None:
    job: Any = Job(raising(RuntimeError("of a worker")), ["FAILED"])
    with pytest.raises(RuntimeError, match="of a worker"):
        finish(job, parse([]))
