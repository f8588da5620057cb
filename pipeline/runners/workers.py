"""Worker processes of a run on this machine: how they start, and that they end with their run.

Beam's own way starts each through a shell, with a logging service of its own on all interfaces, waits for them without
a limit, and never learns that one has died. Here a process is Beam's harness (`worker_process`, beside this) without a
shell, is killed when the run fails or is interrupted, and its death is an error of the run. The seams are Beam's own:
an environment, and the handler that is registered for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import grpc
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_fn_api_pb2, endpoints_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, worker_handlers
from apache_beam.runners.worker import sdk_worker
from apache_beam.transforms.environments import Environment, python_sdk_capabilities

from pipeline import signals
from pipeline.errors import RunError
from pipeline.runners.worker_process import start

#: Beam's name of its runner in this process.
IN_PROCESS = "FnApiRunner"

_URN = "sessions:worker_process:v1"
#: Seconds that a worker without work has to end by itself.
_PATIENCE = 5.0
_LOOK_SECONDS = 0.1
#: glibc's variable, and its name for the same in a process that runs already.
_HEAPS, _M_ARENA_MAX = "MALLOC_ARENA_MAX", -8
_LOG = logging.getLogger(__name__)
#: How worker processes ended that nobody had asked to.
_ENDED: list[str] = []


def local_runner(options: PipelineOptions) -> FnApiRunner | None:
    """The runner of a run with worker processes; None: the one that the options name, as Beam makes it."""
    direct = options.view_as(DirectOptions)
    if options.view_as(StandardOptions).runner != IN_PROCESS or direct.direct_running_mode != "multi_processing":
        return None
    direct.direct_running_mode = None  # or the runner would take Beam's own environment
    one_heap()
    return FnApiRunner(default_environment=WorkerProcesses(python_sdk_capabilities()))


def one_heap() -> None:
    """Let this process and the workers that it starts have one heap each, unless the environment says otherwise.

    By default glibc's malloc keeps what a thread frees in a heap of that thread, and these processes have many threads:
    together they would hold a fifth more memory.
    """
    number = os.environ.setdefault(_HEAPS, "1")
    with contextlib.suppress(OSError, AttributeError, ValueError):  # another libc has no such heaps
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, int(number))


@contextlib.contextmanager
def local_workers() -> Iterator[None]:
    """While entered, what Beam's local runner starts listens on loopback only, is quiet, and its death is an error.

    Its gRPC services know no authentication and listen on all interfaces: who reaches the machine could forge log
    lines and read the state of a run. Workers find them by the name localhost. What a worker raises comes to the
    runner; what Beam prints beside that, or lets end a thread, is logged for --verbose, because it may quote rows.

    Raises:
      RunError: a worker process has ended by itself.
    """
    _ENDED.clear()
    hook = threading.excepthook
    worker_handlers.grpc, sdk_worker.print, threading.excepthook = LoopbackGrpc, _printed, _thread_ended
    try:
        yield
    except Exception as error:
        if _ENDED:  # whatever the runner made of it
            raise RunError(_ENDED[0]) from error
        raise
    finally:
        worker_handlers.grpc = grpc
        if not signals.received():  # or its threads end with the process, after this
            threading.excepthook = hook
        del sdk_worker.print


class LoopbackGrpc:
    """What Beam's modules that serve workers use of grpc."""

    @staticmethod
    def server(*args: Any, **options: Any) -> grpc.Server:
        """A server that binds every port to loopback."""
        made = grpc.server(*args, **options)
        bind = made.add_insecure_port
        made.add_insecure_port = lambda address: bind(f"localhost:{address.rpartition(':')[2]}")
        return made


def _printed(*parts: object, **_: object) -> None:
    _LOG.debug(" ".join(str(part) for part in parts))


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    _LOG.debug("a thread ended", exc_info=args.exc_value)


@Environment.register_urn(_URN, bytes)
class WorkerProcesses(Environment):
    """The environment of a graph whose steps run in worker processes of this machine."""

    def to_runner_api_parameter(self, context: Any) -> tuple[str, bytes]:
        """See Beam."""
        return _URN, b""

    @staticmethod
    def from_runner_api_parameter(
        payload: bytes, capabilities: Any, artifacts: Any, resource_hints: Any, context: Any
    ) -> WorkerProcesses:
        """See Beam."""
        return WorkerProcesses(capabilities, artifacts, resource_hints)


@worker_handlers.WorkerHandler.register_environment(_URN, bytes)
class WorkerProcess(worker_handlers.GrpcWorkerHandler):
    """One worker process, as the runner sees it."""

    def __init__(self, payload: bytes, *args: Any) -> None:
        super().__init__(*args)
        self._closing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start_worker(self) -> None:
        """Start it; it connects to the runner by itself."""
        control = endpoints_pb2.ApiServiceDescriptor(url=self.control_address)
        verbose = logging.getLogger("pipeline").isEnabledFor(logging.DEBUG)
        self._process = start(self.worker_id, control, quiet=not verbose)
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def close(self) -> None:
        """End it: what it still does when the run fails is in vain."""
        failing = sys.exc_info()[0] is not None
        if failing and self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # the runner may have seen its end first
                _ENDED.append(_end_text(self._process.wait(_LOOK_SECONDS)))
        self._closing.set()
        if not failing:
            super().close()
        else:  # the other end may not answer: nothing waits for it
            self._kill()
            self.control_conn.push(worker_handlers.BeamFnControlServicer._DONE_MARKER)

    def stop_worker(self) -> None:
        """Wait for its end, which closing its connections has begun."""
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE)
            self._kill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Answer in place of a process that has ended by itself, until the runner has noticed."""
        text = _end_text(process.wait())
        if not self._closing.is_set():
            _ENDED.append(text)
        while not self._closing.wait(_LOOK_SECONDS):
            with contextlib.suppress(RuntimeError):  # the runner may add a request meanwhile: look again
                for number, future in list(self.control_conn._futures_by_id.items()):
                    if not future.is_done():
                        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=number, error=text))
            with contextlib.suppress(queue.Empty):  # or the runner would wait for room in what nobody takes
                while True:
                    self.data_conn._to_send.get(timeout=_LOOK_SECONDS)


def _end_text(code: int) -> str:
    if code >= 0:
        return f"a worker process ended with exit code {code} (--verbose shows details); nothing is published"
    name = signal.Signals(-code).name
    hint = " (too little memory?)" if name == "SIGKILL" else ""
    return f"a worker process was ended by {name}{hint}; nothing is published"
