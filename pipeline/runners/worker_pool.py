"""Workers of an engine on this machine: `python -m pipeline.runners.worker_pool --port 50000`.

An engine with `--environment_type EXTERNAL --environment_config localhost:50000` asks the pool for a worker whenever it
wants one, and the pool starts a process. Beam has a pool of its own, which listens on all interfaces, though whoever
reaches it can start processes, and whose workers outlive it.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline.runners.worker_process import start

#: Seconds that a worker has to end by itself when the engine needs it no more.
_PATIENCE = 5.0
_PORTS = range(2**16)


class WorkerPool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Starts and stops worker processes when an engine asks."""

    def __init__(self) -> None:
        self._workers: dict[str, list[subprocess.Popen[bytes]]] = {}

    def StartWorker(  # noqa: N802 (the name is gRPC's)
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: object
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        """Start one; it connects to the engine by itself."""
        try:
            process = start(request.worker_id, request.control_endpoint, request.logging_endpoint, quiet=True)
        except OSError as error:
            return beam_fn_api_pb2.StartWorkerResponse(error=f"no worker process: {error.strerror}")
        self._workers.setdefault(request.worker_id, []).append(process)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(  # noqa: N802
        self, request: beam_fn_api_pb2.StopWorkerRequest, context: object
    ) -> beam_fn_api_pb2.StopWorkerResponse:
        """End one that has not ended with its connection to the engine.

        Several task managers of a machine give their workers the same ids: whose worker is meant nobody can tell then,
        and all are left to end with their connections.
        """
        there = [process for process in self._workers.pop(request.worker_id, []) if process.poll() is None]
        if len(there) == 1:
            _end(there.pop())
        if there:
            self._workers[request.worker_id] = there
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """End all."""
        for process in [one for some in self._workers.values() for one in some]:
            process.kill()
            process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextlib.contextmanager
def serving(port: int = 0) -> Iterator[str]:
    """A pool that serves engines on this machine while the block runs; where, as HOST:PORT.

    Args:
      port: 0 takes one that is free.

    Raises:
      RuntimeError: the port is taken.
    """
    pool = WorkerPool()
    # one thread, which lives as long as the pool: Linux ends a worker when the thread that has started it ends
    server = grpc.server(ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    bound = server.add_insecure_port(f"localhost:{port}")
    server.start()
    try:
        yield f"localhost:{bound}"
    finally:
        server.stop(None).wait()
        pool.close()


def main(argv: Sequence[str]) -> int:
    """Serve until a signal ends it; workers end with it."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.worker_pool", description="Workers of an engine.")
    parser.add_argument("--port", type=int, default=50_000, help="where the engine asks for them (default 50000)")
    port = parser.parse_args(argv).port
    if port not in _PORTS:  # gRPC would take another, without a word
        parser.error(f"--port {port} is not a port from {_PORTS[0]} to {_PORTS[-1]}")
    ended = threading.Event()
    try:
        with serving(port) as place:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, lambda *_: ended.set())
            sys.stdout.write(f"workers at {place}\n")
            sys.stdout.flush()
            ended.wait()
    except RuntimeError:
        sys.stderr.write(f"pipeline: port {port} of localhost is taken\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
