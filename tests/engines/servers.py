"""Engines on this machine: Prism, and a Flink cluster of processes with Beam's job server before it.

`make test-engines` has put them into a folder. All listen on loopback, on ports that are free, and end with the block
that has started them.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

#: Where `make test-engines` puts them.
FOLDER = Path(os.environ.get("ENGINES", Path(__file__).parents[2] / ".engines"))
_START_SECONDS = 300
_LOOK_SECONDS = 0.1
_OPENED = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.net", "java.nio", "java.time", "java.util", "java.util.concurrent", "sun.nio.ch")
]
#: A cluster that restarts what fails soon and a few times, and soon sees that one of its own is gone. One lost worker
#: fails several stages, each of which counts as an attempt, and a stage that starts before all of them have noticed
#: gets the lost worker again.
_FLINK = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: localhost
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
blob.server.port: 0
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.cpu.cores: 1
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 1024m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
io.tmp.dirs: {folder}
parallelism.default: {slots}
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 10
restart-strategy.fixed-delay.delay: 3 s
pekko.ask.timeout: 120 s
client.timeout: 120 s
heartbeat.interval: 1000
heartbeat.timeout: 20000
resourcemanager.taskmanager-timeout: 300000
slot.request.timeout: 300000
classloader.resolve-order: parent-first
"""


@dataclass
class Server:
    """A process, and what it has written."""

    process: psutil.Popen
    log: Path

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except psutil.TimeoutExpired:
                self.kill()


@dataclass
class Engine:
    """An engine that takes jobs: the options that send a run there, and its processes."""

    name: str
    options: Sequence[str]
    job_server: Server
    folder: Path
    stack: contextlib.ExitStack
    """Ends its processes."""
    rest: int = 0
    """The port of a cluster's own interface; 0 for no cluster."""
    task_managers: list[Server] = field(default_factory=list)

    def jobs(self) -> list[str]:
        """States of the jobs that a cluster has had."""
        return [job["state"] for job in _asked(self.rest, "jobs/overview")["jobs"]] if self.rest else []

    def log(self) -> str:
        """What its processes have written, and those of its workers."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("*.log")))


@dataclass
class Pool:
    """Python workers for an engine: the options of a run that uses them, and the pool's process."""

    options: Sequence[str]
    server: Server

    def workers(self) -> list[psutil.Process]:
        """Those that are alive."""
        return [worker for worker in self.server.process.children() if worker.status() != psutil.STATUS_ZOMBIE]


@contextlib.contextmanager
def prism(folder: Path) -> Iterator[Engine]:
    """Prism; it gives all of a job to one worker."""
    port = free_port()
    command = [str(FOLDER / "prism"), f"--job_port={port}", "--serve_http=false", "--log_kind=text"]
    with contextlib.ExitStack() as stack:
        server = _start(stack, command, folder / "prism.log")
        _wait_for(port, server)
        yield Engine("prism", ["--runner=PrismRunner", f"--job_endpoint=localhost:{port}"], server, folder, stack)


@contextlib.contextmanager
def flink(folder: Path, *, task_managers: int = 2) -> Iterator[Engine]:
    """A standalone Flink cluster of task managers, with a slot and a worker each, and Beam's job server before it."""
    rpc, rest, jobs, artifacts, expansion = (free_port() for _ in range(5))
    configuration = folder / "flink"
    configuration.mkdir()
    (configuration / "config.yaml").write_text(_FLINK.format(rpc=rpc, rest=rest, folder=folder, slots=task_managers))
    with contextlib.ExitStack() as stack:
        entry = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
        command = [*_java(512), entry, "--configDir", str(configuration)]
        _wait_for(rest, _start(stack, command, folder / "job-manager.log"))
        driver = ["org.apache.beam.runners.flink.FlinkJobServerDriver", f"--flink-master=localhost:{rest}"]
        ports = [f"--job-port={jobs}", f"--artifact-port={artifacts}", f"--expansion-port={expansion}"]
        places = [
            f"--artifacts-dir={folder / 'artifacts'}",
            f"--flink-conf-dir={configuration}",
            "--job-host=localhost",
        ]
        server = _start(stack, [*_java(512), *driver, *ports, *places], folder / "job-server.log")
        options = [
            "--runner=FlinkRunner",
            f"--job_endpoint=localhost:{jobs}",
            f"--flink_master=localhost:{rest}",
            f"--parallelism={task_managers}",
        ]
        engine = Engine("flink", options, server, folder, stack, rest)
        for _ in range(task_managers):
            start_task_manager(engine)
        _wait_for(jobs, server)
        wait_until(lambda: _known(rest) == task_managers, _START_SECONDS, "task managers")
        yield engine


@contextlib.contextmanager
def pool(engine: Engine, fault: Sequence[str] = ()) -> Iterator[Pool]:
    """A pool of workers; with the arguments of `tests.engines.armed_pool`, of workers in which something happens."""
    port = free_port()
    module = ["tests.engines.armed_pool", *fault] if fault else ["pipeline.runners.worker_pool"]
    with contextlib.ExitStack() as stack:
        server = _start(stack, [sys.executable, "-m", *module, f"--port={port}"], engine.folder / f"pool-{port}.log")
        _wait_for(port, server)
        yield Pool(["--environment_type=EXTERNAL", f"--environment_config=localhost:{port}"], server)


def start_task_manager(engine: Engine) -> None:
    """One more task manager of a cluster."""
    entry = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
    log = engine.folder / f"task-manager-{free_port()}.log"
    command = [*_java(640), entry, "--configDir", str(engine.folder / "flink")]
    engine.task_managers.append(_start(engine.stack, command, log))


def free_port() -> int:
    """A port of loopback that nobody listens at."""
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return int(one.getsockname()[1])


def wait_until(there: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until a function gives something true; AssertionError after so many seconds."""
    until = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < until, f"{what}: not within {seconds} seconds"
        time.sleep(_LOOK_SECONDS)


def _known(rest: int) -> int:
    """Task managers that the job manager knows."""
    return len(_asked(rest, "taskmanagers")["taskmanagers"])


def _asked(rest: int, what: str) -> Any:
    with urllib.request.urlopen(f"http://localhost:{rest}/{what}", timeout=10) as answer:
        return json.load(answer)


def _java(megabytes: int) -> list[str]:
    jars = FOLDER / "flink" / "*"
    shown = "-Dorg.slf4j.simpleLogger.showDateTime=true"
    return ["java", f"-Xmx{megabytes}m", "-XX:+UseSerialGC", shown, *_OPENED, "-cp", str(jars)]


def _start(stack: contextlib.ExitStack, command: list[str], log: Path) -> Server:
    with log.open("wb") as file:
        process = psutil.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    server = Server(process, log)
    stack.callback(server.end)
    return server


def _wait_for(port: int, server: Server) -> None:
    def answers() -> bool:
        assert server.process.poll() is None, f"it ended while it started:\n{server.log.read_text()[-2000:]}"
        with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
            return True
        return False

    wait_until(answers, _START_SECONDS, server.log.name)
