"""Engines that take a job through Beam's job API and are awaited: Prism and Flink.

What they are told, what they were not told, and their failures as one line each. An engine's workers are processes of
other machines or of this one (`pipeline.runners.worker_pool`), so a folder must be one that all of them share.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

import grpc
from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    PrismRunnerOptions,
    StandardOptions,
)
from apache_beam.runners.runner import PipelineResult, PipelineState, create_runner
from apache_beam.runners.worker import worker_pool_main

from pipeline.errors import RunError, UsageError, cause_of
from pipeline.runners.flink import cancel_on_cluster
from pipeline.runners.workers import LoopbackGrpc

_NAMES = ("Prism", "Flink", "Portable")
_PAGE = "see docs/engines.md"
#: Seconds that a job server has to answer, and a job to end once it is cancelled.
_PATIENCE = 8.0
_LOOK_SECONDS = 0.2
_LOG = logging.getLogger(__name__)


def is_engine(options: PipelineOptions) -> bool:
    """Whether the runner hands the job to an engine and waits for it."""
    return any(name in _runner(options) for name in _NAMES)


def check_engine(options: PipelineOptions) -> None:
    """Find out what an engine lacks before anything is looked at; nothing for other runners.

    Raises:
      UsageError: there is no job server, or no workers; Beam would download the one and look for Docker for the other.
    """
    if not is_engine(options):
        return
    runner, portable = _runner(options), options.view_as(PortableOptions)
    flag, file = None, None
    if "Prism" in runner:
        flag, file = "--prism_location", options.view_as(PrismRunnerOptions).prism_location
    elif "Flink" in runner:
        flag, file = "--flink_job_server_jar", options.view_as(FlinkRunnerOptions).flink_job_server_jar
    if not portable.job_endpoint:
        if not file:
            other = f", or {flag} FILE" if flag else ""
            raise UsageError(f"--runner {runner} needs --job_endpoint HOST:PORT of a job server{other}; {_PAGE}")
        if not os.path.isfile(file):
            raise UsageError(f"{flag} {file!r} is no file; {_PAGE}")
    if portable.environment_type in ("EXTERNAL", "PROCESS") and not portable.environment_config:
        what = "HOST:PORT of a worker pool" if portable.environment_type == "EXTERNAL" else "the command of a worker"
        raise UsageError(f"--environment_type {portable.environment_type} needs --environment_config, {what}; {_PAGE}")
    if "Portable" in runner and not portable.environment_type:
        raise UsageError(f"--runner {runner} needs --environment_type, for example EXTERNAL; {_PAGE}")


@contextlib.contextmanager
def engine(options: PipelineOptions) -> Iterator[Any]:
    """The runner of an engine, None for other runners; a job server that it starts ends with the block.

    What it starts on this machine listens on loopback only, and what it logs of a job, which may quote rows, is quiet
    unless Beam's own log is wanted.

    Raises:
      RunError: the job server does not answer, or the engine gave the job up.
    """
    if not is_engine(options):
        yield None
        return
    portable = options.view_as(PortableOptions)
    if portable.job_endpoint:
        _look_for(portable.job_endpoint)
    runner = create_runner(_runner(options))
    with contextlib.ExitStack() as stack:
        make = runner.default_job_server

        def owned(of: PipelineOptions) -> Any:
            server = make(of)
            stack.callback(server.stop)
            return server

        runner.default_job_server = owned
        worker_pool_main.grpc = LoopbackGrpc
        stack.callback(setattr, worker_pool_main, "grpc", grpc)
        stack.enter_context(_quiet())
        try:
            yield runner
        except grpc.RpcError as error:
            raise RunError(f"the job server was lost ({_status(error)}): run again") from error


def _look_for(endpoint: str) -> None:
    """Beam would look for five minutes."""
    with grpc.insecure_channel(endpoint) as channel:
        try:
            grpc.channel_ready_future(channel).result(_PATIENCE)
        except grpc.FutureTimeoutError as error:
            raise RunError(f"no job server answers at {endpoint}; {_PAGE}") from error


def finish(result: PipelineResult, options: PipelineOptions) -> None:
    """Wait until the job is done; cancel it when the wait is interrupted.

    Raises:
      RunError: an engine ended the job otherwise. Its workers may have raised one with a cause of its own, which is
        the message then.
    """
    try:
        result.wait_until_finish()
    except BaseException as error:
        if not is_engine(options):
            raise
        state = _end(result)
        cancel_on_cluster(options.view_as(FlinkRunnerOptions).flink_master, str(getattr(result, "_job_id", "")))
        if not isinstance(error, RuntimeError) or cause_of(error) is not None:
            raise
        _LOG.debug("what the engine says", exc_info=error)
        raise RunError(
            f"the engine ended the job as {state}; its own log says why (--verbose shows what it told); nothing is "
            "published"
        ) from error


def _end(result: PipelineResult) -> str:
    """Cancel a job that is at work still; the state it is in."""
    until, state = time.monotonic() + _PATIENCE, PipelineState.UNKNOWN
    with contextlib.suppress(grpc.RpcError, RuntimeError):  # what does not answer cannot be cancelled
        state = result.state
        if not PipelineState.is_terminal(state):
            result.cancel()
        while not PipelineState.is_terminal(state) and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
            state = result.state
    return str(state)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Beam logs an engine's messages with the root logger itself, and its own log is off unless details are wanted."""
    root = logging.getLogger()
    if _LOG.isEnabledFor(logging.DEBUG):
        yield
        return
    root.addFilter(_none)
    try:
        yield
    finally:
        root.removeFilter(_none)


def _none(record: logging.LogRecord) -> bool:
    return False


def _status(error: grpc.RpcError) -> str:
    code = getattr(error, "code", None)
    return code().name if callable(code) else type(error).__name__


def _runner(options: PipelineOptions) -> str:
    return options.view_as(StandardOptions).runner or ""
